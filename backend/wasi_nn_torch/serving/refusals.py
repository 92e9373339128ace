"""What a guest was refused, so that its operator learns it too, whatever the guest makes of it.

In: every error that a function of wasi-nn answers with, in whatever version. Out: a line in the log, counts by code,
and the last one, which is the likely reason if the guest fails. A guest can be refused as often as it likes, so the log
gets the first errors of a session, and then ever fewer of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

from wasi_nn_torch.contract.errors import printable

#: Of a name that operators can filter by.
logger = logging.getLogger("wasi_nn_torch.refusals")

#: So many errors of a session are logged, and then every one whose number is a power of two.
_MOST_IN_A_ROW = 16
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Refusal:
    """An error that a guest was given: by which `function`, the `code` as wasi-nn spells it, and the `text` of it."""

    function: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"

    def after(self, outcome: str) -> str:
        """What became of a guest, and this refusal as the likely reason, unless `outcome` tells it already."""
        return outcome if self.text in outcome else f"{outcome}; the last error that it was given: {self}"


class Refusals:
    """The refusals of one session, whose guest messages call `guest`."""

    def __init__(self) -> None:
        self.guest = "the guest"
        self.last: Refusal | None = None
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many errors of each code there were."""
        return dict(self._counts)

    def record(self, function: str, code: str, text: str) -> None:
        """Count an error that `function` answers with, log it unless there were too many, and remember it."""
        self.last = Refusal(function, code, printable(text, _LONGEST_TEXT))
        self._counts[code] += 1
        number = self._counts.total()
        is_shown = number <= _MOST_IN_A_ROW or number.bit_count() == 1
        level = logging.WARNING if is_shown else logging.DEBUG
        logger.log(level, "%s: %s answered %s%s", self.guest, function, self.last, _remark(number))

    def explain(self, outcome: str) -> str:
        """What became of the guest, and its last error as the likely reason, if there was one."""
        return outcome if self.last is None else self.last.after(outcome)


def _remark(number: int) -> str:
    """What to add to the error of this number."""
    if number < _MOST_IN_A_ROW:
        return ""
    if number == _MOST_IN_A_ROW:
        return (
            f" (error number {number} of this guest; from now on only number {2 * number}, {4 * number} … are logged)"
        )
    return f" (error number {number} of this guest)"
