"""Measuring one thing beside its baselines, and the table of what came out.

What is compared takes turns, so that whatever else the machine does hits all of it. pytest-benchmark times ours; the
baselines are timed while it sets up a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from pytest_benchmark.fixture import BenchmarkFixture
from rich.table import Table


@dataclass(frozen=True)
class Work:
    """Something that does its work a number of times in one call, and is called with that number."""

    call: Callable[[int], object]
    times: int = 1

    def __call__(self) -> None:
        self.call(self.times)

    def seconds(self) -> float:
        """How long it takes to do the work once, without what it costs to begin."""
        started = time.perf_counter()
        self()
        return (time.perf_counter() - started) / self.times


Samples = Sequence[float]
"""Seconds, one number for each round."""


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` is None where there is nothing to reach; `spread` is in parts of the median."""

    what: str
    baseline: str
    baseline_seconds: float
    ours_seconds: float
    figure: str
    goal: str
    reached: bool | None
    spread: float


class Comparison:
    """Measures, and collects lines of the table."""

    def __init__(self, benchmark: BenchmarkFixture, rows: list[Row]) -> None:
        self._benchmark = benchmark
        self._rows = rows

    def measure(self, ours: Work, *others: Work, rounds: int, warm_up: bool = True) -> list[Samples]:
        """Time all of it in turns: ours first in what is returned, then the others in their order."""
        seconds: list[list[float]] = [[] for _ in others]

        def set_up() -> None:
            for each, samples in zip(others, seconds, strict=True):
                samples.append(each.seconds())

        self._benchmark.pedantic(ours, setup=set_up, rounds=rounds, iterations=1, warmup_rounds=int(warm_up))
        here = [total / ours.times for total in self._benchmark.stats.stats.data]
        return [here, *(samples[-rounds:] for samples in seconds)]

    def faster(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float, most: float = 0) -> None:
        """A line that says how many times faster ours is; with `most` it may not take more seconds than that."""
        ratio = _ratio(baseline, ours)
        text, reached = f"≥ {goal:,.0f} x faster", ratio >= goal
        if most:
            text, reached = f"{text}, ≤ {duration(most)}", reached and median(ours) <= most
        self._add(what, name, baseline, ours, f"{ratio:,.1f} x faster", text, reached)

    def within(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float | None) -> None:
        """A line that says how many times the baseline ours takes."""
        ratio = _ratio(ours, baseline)
        reached = None if goal is None else ratio <= goal
        self._add(what, name, baseline, ours, f"{ratio:,.3g} x", "" if goal is None else f"≤ {goal:g} x", reached)

    def above(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float) -> None:
        """A line that says how many seconds ours takes beyond the baseline."""
        more = median(difference(ours, baseline))
        self._add(what, name, baseline, ours, f"+ {duration(more)}", f"≤ + {duration(goal)}", more <= goal)

    def bandwidth(self, what: str, name: str, baseline: Samples, ours: Samples, size: int) -> None:
        """A line that says how many bytes cross in a second; that they do is the goal."""
        figure = f"{size / median(ours) / 1e9:.1f} GB/s"
        self._add(what, name, baseline, ours, figure, "works", True)

    def _add(
        self, what: str, name: str, baseline: Samples, ours: Samples, figure: str, goal: str, reached: bool | None
    ) -> None:
        row = Row(what, name, median(baseline), median(ours), figure, goal, reached, _spread(ours))
        self._benchmark.extra_info[what] = {"baseline": row.baseline_seconds, "ours": row.ours_seconds}
        self._rows.append(row)


def difference(longer: Samples, shorter: Samples) -> Samples:
    """What each round of one took beyond the other."""
    return [more - less for more, less in zip(longer, shorter, strict=True)]


def table(rows: Sequence[Row]) -> Table:
    """The lines for people."""
    shown = Table("what", "baseline", "baseline takes", "ours takes", "±", "ratio", "goal", "reached")
    for column in shown.columns[2:6]:
        column.justify = "right"
    for row in rows:
        reached = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.reached]
        times = duration(row.baseline_seconds), duration(row.ours_seconds), f"{row.spread:.0%}"
        shown.add_row(row.what, row.baseline, *times, row.figure, row.goal, reached)
    return shown


def duration(seconds: float) -> str:
    """A time as people write it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:,.3g} {unit}"
    return f"{seconds * 1e6:.2g} µs"


def _ratio(above: Samples, below: Samples) -> float:
    """The usual ratio of two that were timed one after the other."""
    return median(one / other for one, other in zip(above, below, strict=True))


def _spread(samples: Samples) -> float:
    """Half of what lies between the quartiles, in parts of the median."""
    if len(samples) < 4:
        return (max(samples) - min(samples)) / 2 / median(samples)
    low, middle, high = quantiles(samples)
    return (high - low) / 2 / middle
