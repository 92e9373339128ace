"""How every part of the check says no."""

from wasi_nn_torch.errors import ErrorCode, NnError

_ADVICE = "the operator may register the model by name, or allow guests' models unchecked"
_LONGEST_PLACE = 150


def refusal(where: str, what: str) -> NnError:
    """Return the error for what was found and where: a file inside the archive, and a line of it if it has lines."""
    return NnError(ErrorCode.SECURITY, f"the model is refused: {where[-_LONGEST_PLACE:]}: {what}; {_ADVICE}")
