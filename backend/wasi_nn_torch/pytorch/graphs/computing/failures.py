"""The translation of PyTorch's exceptions for guests: one line without paths, and without keeping memory alive."""

from __future__ import annotations

import re

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import one_line

_LONGEST_GIST = 300

#: TorchScript reports its own traceback, followed by the error as Python prints it.
_TORCHSCRIPT = "in the TorchScript interpreter"
_RAISED = re.compile(r"^(?:builtins\.)?(?P<type>[\w.]*(?:Error|Exception)): (?P<message>.*)$", re.MULTILINE)

#: A path has at least two separators, so that "and/or" is not one.
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.+\-@~]*(?:[\\/]+[\w.+\-@]+){2,}")

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|bad_alloc", re.IGNORECASE)
_ASKED_FOR = re.compile(r"tried to allocate (?P<amount>[\d.]+ ?\w+)", re.IGNORECASE)


def gist(error: BaseException) -> str:
    """The message of an exception in one short line, without paths of the host and without a traceback."""
    kind, text = type(error).__name__, str(error)
    if _TORCHSCRIPT in text:
        *_, last = _RAISED.finditer(text) or (None,)
        if last is not None:
            kind, text = last["type"], last["message"]
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    # Cut before the search, which takes quadratic time.
    line = _PATH.sub("<path>", line[: 2 * _LONGEST_GIST])
    # PyTorch raises RuntimeError for nearly everything, so the name adds nothing.
    return one_line(line if kind == "RuntimeError" and line else f"{kind}: {line}".removesuffix(": "), _LONGEST_GIST)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; inside TorchScript that is a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory(error: BaseException, device: torch.device, doing: str) -> str:
    """The text that says how much memory was requested, on which device, and what for."""
    asked = _ASKED_FOR.search(str(error))
    amount = asked["amount"] if asked else "an unknown amount"
    return f"out of memory on {device} while {doing}: {amount} more was requested"


def as_nn_error(error: Exception, device: torch.device, doing: str) -> NnError:
    """The error that a guest gets for an exception of a model; a new object that does not refer to any frame."""
    if isinstance(error, NnError):
        return NnError(error.code, error.text)
    if is_out_of_memory(error):
        text = f"{out_of_memory(error, device, doing)}; drop tensors or use smaller ones"
        return NnError(ErrorCode.TOO_LARGE, text)
    return NnError(ErrorCode.RUNTIME_ERROR, f"the model failed while {doing}: {gist(error)}")
