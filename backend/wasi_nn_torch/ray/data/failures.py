"""The failures of a guest, each with the kind that metrics count."""

from __future__ import annotations

from wasi_nn_torch.contract.text import one_line
from wasi_nn_torch.pipelines.calling import InputError, PipelineFailure
from wasi_nn_torch.pipelines.results import Misfit
from wit_host import GuestError, GuestExit, GuestLimit, GuestTimeout

#: What a failure of a guest raises here; any other exception is a fault of the host.
FAILURES = (GuestError, PipelineFailure, Misfit, InputError)

_LONGEST = 500


class Failure(Exception):
    """A guest did not answer for some rows: the `kind`, and the `reason` in one line."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def failure_of(error: Exception) -> Failure:
    """One of `FAILURES` as a failure; a failure as it is."""
    text = one_line(error, _LONGEST)
    match error:
        case Failure():
            return error
        case PipelineFailure():
            return Failure("refused", f"{text} (status {error.status})")
        case Misfit():
            return Failure("misfit", text)
        case InputError():
            return Failure("input", text)
        case GuestTimeout():
            return Failure("timeout", text)
        case GuestLimit():
            return Failure("limit", text)
        case GuestExit():
            return Failure("exit", text)
        case _:
            return Failure("trap", text)
