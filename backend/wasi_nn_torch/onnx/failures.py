"""The translation of ONNX Runtime's exceptions for guests and the operator: one line, without paths of the host."""

from __future__ import annotations

import re

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import one_line

_LONGEST_GIST = 300

_PREFIX = re.compile(r"(?:Error in execution: )?(?:\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : )?(?:Error in execution: )?")
#: A place in its source, and the signature of a function, as its checks report them.
_SOURCE = re.compile(r"/?\S*onnxruntime\S*?\.(?:cc|h|cu):\d+ (?:.*?\))?(?: \[with [^\]]*\])? ?")
#: A path has at least two separators, so that "and/or" is not one.
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.+\-@~]*(?:[\\/]+[\w.+\-@]+){2,}")
_OUT_OF_MEMORY = re.compile(r"bad_alloc|failed to allocate memory|out of memory", re.IGNORECASE)


def gist(error: BaseException) -> str:
    """The message of an exception in one short line, without paths of the host and of ONNX Runtime's source."""
    text = one_line(error, 4 * _LONGEST_GIST)  # cut before the searches
    for pattern in (_PREFIX, _SOURCE):
        text = pattern.sub("", text)
    return one_line(_PATH.sub("<path>", text), _LONGEST_GIST) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out."""
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None


def as_nn_error(error: Exception, place: str, doing: str) -> NnError:
    """The error that a guest gets for an exception; a new object that does not refer to any frame."""
    if isinstance(error, NnError):
        return NnError(error.code, error.text, error.limit)
    if is_out_of_memory(error):
        text = f"out of memory on {place} while {doing}; drop tensors or use smaller ones"
        return NnError(ErrorCode.TOO_LARGE, text)
    return NnError(ErrorCode.RUNTIME_ERROR, f"the model failed while {doing}: {gist(error)}")
