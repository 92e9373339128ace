"""Measuring our code against its baselines, and the table of the results.

Our code and the baselines take turns, so that other load on the machine affects all of them. pytest-benchmark times
our code; the baselines are timed while it sets up a round.
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
    """Work that one call does `times` times; it is called with that number."""

    call: Callable[[int], object]
    times: int = 1

    def __call__(self) -> None:
        self.call(self.times)

    def seconds(self) -> float:
        """Time one call, and return the seconds for doing the work once."""
        started = time.perf_counter()
        self()
        return (time.perf_counter() - started) / self.times


#: Seconds, one number for each round.
Samples = Sequence[float]


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` is None if there is no goal; `spread` is a fraction of the median.

    `spell` has the two numbers for people, which are seconds or something else.
    """

    what: str
    baseline: str
    baseline_seconds: float
    ours_seconds: float
    figure: str
    goal: str
    reached: bool | None
    spread: float
    spell: Callable[[float], str]


class Comparison:
    """Measures, and collects lines of the table."""

    def __init__(self, benchmark: BenchmarkFixture, rows: list[Row]) -> None:
        self._benchmark = benchmark
        self._rows = rows

    def measure(self, ours: Work, *others: Work, rounds: int, warm_up: bool = True) -> list[Samples]:
        """Time everything in turns, and return the samples of ours, then those of the others in their order."""
        seconds: list[list[float]] = [[] for _ in others]

        def set_up() -> None:
            for each, samples in zip(others, seconds, strict=True):
                samples.append(each.seconds())

        self._benchmark.pedantic(ours, setup=set_up, rounds=rounds, iterations=1, warmup_rounds=int(warm_up))
        here = [total / ours.times for total in self._benchmark.stats.stats.data]
        return [here, *(samples[-rounds:] for samples in seconds)]

    def faster(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float, most: float = 0) -> None:
        """Add a line with the factor by which ours is faster; with `most`, it may not take more seconds than that."""
        ratio = _ratio(baseline, ours)
        text, reached = f"≥ {goal:,.0f} x faster", ratio >= goal
        if most:
            text, reached = f"{text}, ≤ {duration(most)}", reached and median(ours) <= most
        self._add(what, name, baseline, ours, f"{ratio:,.1f} x faster", text, reached)

    def within(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float | None) -> None:
        """Add a line with the time of ours as a multiple of the baseline's."""
        ratio = _ratio(ours, baseline)
        reached = None if goal is None else ratio <= goal
        self._add(what, name, baseline, ours, f"{ratio:,.3g} x", "" if goal is None else f"≤ {goal:g} x", reached)

    def rate(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float | None) -> None:
        """Add a line with how often ours is done in a second, as a multiple of the baseline's rate."""
        ratio = _ratio(baseline, ours)
        reached = None if goal is None else ratio >= goal
        text = "" if goal is None else f"≥ {goal:g} x the rate"
        self._add(what, name, baseline, ours, f"{ratio:.2f} x the rate", text, reached, per_second)

    def above(self, what: str, name: str, baseline: Samples, ours: Samples, goal: float) -> None:
        """Add a line with the seconds that ours takes in addition to the baseline."""
        more = median(difference(ours, baseline))
        self._add(what, name, baseline, ours, f"+ {duration(more)}", f"≤ + {duration(goal)}", more <= goal)

    def bandwidth(self, what: str, name: str, baseline: Samples, ours: Samples, size: int) -> None:
        """Add a line with the bytes that cross in a second; the goal is only that it works."""
        figure = f"{size / median(ours) / 1e9:.1f} GB/s"
        self._add(what, name, baseline, ours, figure, "works", True)

    def memory(self, what: str, name: str, baseline: int, ours: int) -> None:
        """Add a line with the bytes of ours as a multiple of the baseline's, of which nothing is timed."""
        self._benchmark.pedantic(lambda: None)
        self._add(what, name, [baseline], [ours], f"{ours / baseline:,.3g} x", "", None, size)

    def _add(
        self,
        what: str,
        name: str,
        baseline: Samples,
        ours: Samples,
        figure: str,
        goal: str,
        reached: bool | None,
        spell: Callable[[float], str] | None = None,
    ) -> None:
        row = Row(what, name, median(baseline), median(ours), figure, goal, reached, _spread(ours), spell or duration)
        self._benchmark.extra_info[what] = {"baseline": row.baseline_seconds, "ours": row.ours_seconds}
        self._rows.append(row)


def difference(longer: Samples, shorter: Samples) -> Samples:
    """The difference between two in each round."""
    return [more - less for more, less in zip(longer, shorter, strict=True)]


def table(rows: Sequence[Row]) -> Table:
    """The table of all lines, for people."""
    shown = Table("what", "baseline", "baseline takes", "ours takes", "±", "ratio", "goal", "reached")
    for column in shown.columns[2:6]:
        column.justify = "right"
    for row in rows:
        reached = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.reached]
        times = row.spell(row.baseline_seconds), row.spell(row.ours_seconds), f"{row.spread:.0%}"
        shown.add_row(row.what, row.baseline, *times, row.figure, row.goal, reached)
    return shown


def duration(seconds: float) -> str:
    """A time as people write it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:,.3g} {unit}"
    return f"{seconds * 1e6:.2g} µs"


def per_second(seconds: float) -> str:
    """How often something is done in a second, if it takes so long."""
    return f"{1 / seconds:,.0f}/s"


def size(nbytes: float) -> str:
    """A number of bytes as people write it."""
    return f"{nbytes / 1e6:,.3g} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:,.3g} kB"


def _ratio(above: Samples, below: Samples) -> float:
    """The median of the ratios in each round."""
    return median(one / other for one, other in zip(above, below, strict=True))


def _spread(samples: Samples) -> float:
    """Half the distance between the quartiles, as a fraction of the median."""
    if len(samples) < 4:
        return (max(samples) - min(samples)) / 2 / median(samples)
    low, middle, high = quantiles(samples)
    return (high - low) / 2 / middle
