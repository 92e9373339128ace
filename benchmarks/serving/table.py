"""The table of a run, in Markdown: for each case and number of clients, the medians of the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.serving.cases import CASES
from benchmarks.serving.running import Row

#: One round: the servers, one after the other.
Round = Mapping[str, Row]
#: The rounds, by case and number of clients.
Results = Mapping[str, Mapping[int, Sequence[Round]]]

HEAD = """\
| what | clients | direct: requests, p50, p99 | LitServe | this server | rate, to direct and LitServe | p50, to direct |
| --- | --- | --- | --- | --- | --- | --- |
"""


def table(results: Results) -> str:
    """All rows."""
    titles = {case.name: case.title for case in CASES}
    rows = (row(titles[name], clients, rounds) for name, of in results.items() for clients, rounds in of.items())
    return HEAD + "".join(rows)


def row(title: str, clients: int, rounds: Sequence[Round]) -> str:
    """One row."""
    cells = [_cell(rounds, server) for server in ("direct", "litserve", "ours")]
    rates = [f"{ratio(rounds, _rate, server):.2f} x" for server in ("direct", "litserve")]
    p50 = f"{ratio(rounds, _p50, 'direct'):.2f} x"
    return f"| {' | '.join([title, str(clients), *cells, ', '.join(rates), p50])} |\n"


def rate_of(rounds: Sequence[Round], server: str) -> float:
    """Requests a second."""
    return statistics.median(_rate(each[server]) for each in rounds)


def ratio(rounds: Sequence[Round], of: Callable[[Row], float], server: str) -> float:
    """The median of the ratios of the rounds, of this server to another one."""
    return statistics.median(of(each["ours"]) / of(each[server]) for each in rounds)


def goals(results: Results, seconds_to_start: float) -> str:
    """The goals, and what was measured, as far as it was."""
    lines = []
    for name, clients, of, what, least, most in (
        ("mean", 1, _rate, "requests a second", 0.9, None),
        ("mean", 1, _p50, "p50", None, 1.15),
        ("classifier", 1, _rate, "requests a second", 0.9, None),
        ("classifier", 1, _p50, "p50", None, 1.15),
        ("batched", 16, _rate, "requests a second", 2.0, None),
        ("resize", 1, _p50, "p50", None, 1.3),
        ("resize-network", 1, _p50, "p50", None, 1.3),
    ):
        rounds = results.get(name, {}).get(clients)
        if rounds:
            found = ratio(rounds, of, "direct")
            is_met = found >= least if least is not None else found <= most
            bound = f">= {least}" if least is not None else f"<= {most}"
            lines.append(
                f"{name}, {clients} clients: {what} {found:.2f} x of direct (goal {bound}): {_verdict(is_met)}"
            )
    lines.append(
        f"start of a pipeline: {seconds_to_start * 1e3:.2f} ms (goal <= 1): {_verdict(seconds_to_start <= 1e-3)}"
    )
    return "\n".join(lines)


def _verdict(is_met: bool) -> str:
    return "reached" if is_met else "missed"


def _cell(rounds: Sequence[Round], server: str) -> str:
    p50, p99 = (statistics.median(of(each[server]) for each in rounds) for of in (_p50, _p99))
    return f"{rate_of(rounds, server):,.0f}/s, {_spelled(p50)}, {_spelled(p99)}"


def _spelled(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _rate(row: Row) -> float:
    return row.load.rate


def _p50(row: Row) -> float:
    return row.load.p50


def _p99(row: Row) -> float:
    return row.load.p99
