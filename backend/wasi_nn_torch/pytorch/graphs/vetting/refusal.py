"""The errors of all parts of the check."""

from __future__ import annotations

from wasi_nn_torch.contract.errors import ErrorCode, NnError

_ADVICE = "the operator can register the model by name, or allow guest-supplied models without a check"
_BY_NAME = "the operator can register it by name"
_LONGEST_PLACE = 150

#: The size in bytes that exceeds a guest's memory, and the range of the older records of a ZIP.
TOO_LARGE_FOR_GUESTS = 1 << 32


def refusal(where: str, what: str) -> NnError:
    """The error for a finding and its place: a file inside the archive, with the line if it has lines."""
    return NnError(ErrorCode.SECURITY, f"the model is refused: {where[-_LONGEST_PLACE:]}: {what}; {_ADVICE}")


def too_large() -> NnError:
    """The error for a valid archive of 4 GiB or more, which does not fit into a guest's memory."""
    return NnError(ErrorCode.TOO_LARGE, "the model has 4 GiB or more, which is too large for a guest; " + _BY_NAME)
