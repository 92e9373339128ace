"""The choice of which models guests may supply, and whether this system can isolate them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.text import quote_all
from wasi_nn_torch.workers.confinement import PARTS, lacking

#: The text of a warning.
DEPRECATION = (
    'the setting "checked" for guest-supplied models is deprecated: a model that passes the check can still crash this '
    'process or read its memory; use "isolated", or "any" for guests that you trust'
)


@dataclass(frozen=True)
class GuestPolicy:
    """The models that guests may supply, and the parts of their confinement that may be lacking.

    `why_none` says what this system lacks, if that is why guests may supply none.
    """

    models: GuestModels
    waive: frozenset[str] = frozenset()
    why_none: str = ""

    @classmethod
    def of(cls, chosen: GuestModels | None, waive: frozenset[str] = frozenset()) -> Self:
        """The policy for a choice of the operator; None stands for the safest one that serves guests' models.

        Raises ValueError if models shall be isolated and this system lacks a part that is not in `waive`, and for an
        unknown part.
        """
        if unknown := waive - PARTS:
            raise ValueError(
                f"the confinement has no part {quote_all(sorted(unknown))}; choose {quote_all(sorted(PARTS))}"
            )
        if chosen not in (None, GuestModels.ISOLATED):
            return cls(chosen, waive)
        missing = "; ".join(reason for part, reason in _lacking() if part not in waive)
        if not missing:
            return cls(GuestModels.ISOLATED, waive)
        if chosen is None:
            return cls(GuestModels.NONE, waive, missing)
        raise ValueError(
            f"guest-supplied models cannot be isolated on this system, which lacks {missing}; choose `none`, or waive "
            "that part of the confinement with `--waive PART`, in Python `Engine(waive={…})`"
        )


@cache
def _lacking() -> tuple[tuple[str, str], ...]:
    """What this system lacks, by part; the part is empty for what cannot be waived."""
    reasons = [(reason.partition(":")[0], reason) for reason in lacking()]
    return tuple((part if part in PARTS else "", reason) for part, reason in reasons)
