"""How every part of the check says no."""

from __future__ import annotations

from wasi_nn_torch.contract.errors import ErrorCode, NnError

_ADVICE = "the operator may register the model by name, or allow guests' models unchecked"
_BY_NAME = "the operator may register it by name"
_LONGEST_PLACE = 150

#: So many bytes are more than a guest's memory can hold, and more than the older records of a ZIP can say.
TOO_LARGE_FOR_GUESTS = 1 << 32


def refusal(where: str, what: str) -> NnError:
    """Return the error for what was found and where: a file inside the archive, and a line of it if it has lines."""
    return NnError(ErrorCode.SECURITY, f"the model is refused: {where[-_LONGEST_PLACE:]}: {what}; {_ADVICE}")


def too_large() -> NnError:
    """Return the error for an archive of 4 GiB or more, which is in order but which no guest can hold."""
    return NnError(ErrorCode.TOO_LARGE, "the model has 4 GiB or more, which is too large for a guest; " + _BY_NAME)
