"""From what PyTorch raises to what a guest reads: the gist in one line, without paths; and no memory kept alive."""

from __future__ import annotations

import re
import traceback

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError

_LONGEST_GIST = 300

#: TorchScript reports its own traceback, then the error, as Python would print it.
_TORCHSCRIPT = "in the TorchScript interpreter"
_RAISED = re.compile(r"^(?:builtins\.)?(?P<type>[\w.]*(?:Error|Exception)): (?P<message>.*)$", re.MULTILINE)

#: Two separators at least, so that "and/or" is none.
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.+\-@~]*(?:[\\/]+[\w.+\-@]+){2,}")

_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)
_ASKED_FOR = re.compile(r"tried to allocate (?P<amount>[\d.]+ ?\w+)", re.IGNORECASE)


def gist(error: BaseException) -> str:
    """Return what an exception says, in one short line, without paths of the host and without a traceback."""
    kind, text = type(error).__name__, str(error)
    if _TORCHSCRIPT in text:
        *_, last = _RAISED.finditer(text) or (None,)
        if last is not None:
            kind, text = last["type"], last["message"]
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    # Cut before the search, whose time grows with the square of the length.
    line = _PATH.sub("<path>", line[: 2 * _LONGEST_GIST])
    # A RuntimeError is what PyTorch raises for everything: its name says nothing.
    said = line if kind == "RuntimeError" and line else f"{kind}: {line}".removesuffix(": ")
    return said if len(said) <= _LONGEST_GIST else said[:_LONGEST_GIST] + "…"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out; inside TorchScript that is a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory(error: BaseException, device: torch.device, doing: str) -> str:
    """Return a text that says how much was asked for, where, and what was being done."""
    asked = _ASKED_FOR.search(str(error))
    amount = asked["amount"] if asked else "an unknown amount"
    return f"out of memory on {device} while {doing}: {amount} more was asked for"


def as_nn_error(error: Exception, device: torch.device, doing: str) -> NnError:
    """Return what a guest is told of an exception that a model raised; a fresh object that refers to no frame."""
    if isinstance(error, NnError):
        return NnError(error.code, error.text)
    if is_out_of_memory(error):
        text = f"{out_of_memory(error, device, doing)}; drop tensors or use smaller ones"
        return NnError(ErrorCode.TOO_LARGE, text)
    return NnError(ErrorCode.RUNTIME_ERROR, f"the model failed while {doing}: {gist(error)}")


def release_frames(error: BaseException) -> None:
    """Clear the local variables of all frames that an exception passed through, its causes' too.

    A frame that keeps its own exception in a variable is a cycle, and would keep tensors until a garbage collection.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        pending += [one.__cause__, one.__context__]
