"""The errors that guests are given, recorded for the operator, since a guest may ignore them.

Every error with which a function of wasi-nn answers, in any version, is logged and counted by its code; the last one is
kept, as the likely reason if the guest fails. To keep a guest from flooding the log, only the first errors of a session
are all logged, and then fewer and fewer of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from wasi_nn_torch.contract.errors import ErrorCode
from wasi_nn_torch.contract.text import printable

#: Has a name that operators can filter by, whatever this module is called.
logger = logging.getLogger("wasi_nn_torch.refusals")

#: The number of errors of a session that are all logged; after that, only those whose number is a power of two.
_MOST_IN_A_ROW = 16
_LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Refusal:
    """An error that a guest was given by `function`: its `code`, as wasi-nn spells it, and its `text`."""

    function: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"

    def after(self, outcome: str) -> str:
        """The `outcome` of a guest, followed by this error as the likely reason unless `outcome` contains it."""
        return outcome if self.text in outcome else f"{outcome}; the last error that it was given: {self}"


class Refusals:
    """The errors that the guest of one session was given; the log calls that guest `guest`."""

    def __init__(self) -> None:
        self.guest = "the guest"
        self.last: Refusal | None = None
        self._counts: dict[str, int] = {}

    @property
    def counts(self) -> dict[str, int]:
        """The number of errors of each code."""
        return dict(self._counts)

    def record(self, function: str, code: str, text: str) -> None:
        """Count the error with which `function` answers, log it unless there were too many, and keep it as the last."""
        self.last = Refusal(function, code, printable(text, _LONGEST_TEXT))
        self._counts[code] = self._counts.get(code, 0) + 1
        number = sum(self._counts.values())
        is_shown = number <= _MOST_IN_A_ROW or number.bit_count() == 1
        level = logging.WARNING if is_shown else logging.DEBUG
        logger.log(level, "%s: %s answered %s%s", self.guest, function, self.last, _remark(number))

    def record_growth(self, text: str) -> None:
        """Record that a memory of the guest could not grow."""
        self.record("memory.grow", ErrorCode.TOO_LARGE.value, text)

    def explain(self, outcome: str) -> str:
        """The `outcome` of the guest, followed by its last error, if there was one, as the likely reason."""
        return outcome if self.last is None else self.last.after(outcome)


def _remark(number: int) -> str:
    """The addition to the log message of the error with this number."""
    if number < _MOST_IN_A_ROW:
        return ""
    if number == _MOST_IN_A_ROW:
        later = f"{2 * number}, {4 * number} and so on"
        return f" (error number {number} of this guest; from now on only numbers {later} are logged)"
    return f" (error number {number} of this guest)"
