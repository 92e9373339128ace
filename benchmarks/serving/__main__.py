"""Compares the servers with each other, in one run: requests a second and latencies, at 1 to 64 clients.

`--write` puts the table into `docs/performance.md`, and the plot beside this folder.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.serving.cases import CASES, ROOT, Case
from benchmarks.serving.plot import save
from benchmarks.serving.running import running
from benchmarks.serving.servers import SERVERS
from benchmarks.serving.starts import seconds_to_start
from benchmarks.serving.table import HEAD, Results, Round, goals, row, table

CLIENTS = (1, 4, 16, 64)
PAGE, PLOT = ROOT / "docs/performance.md", ROOT / "benchmarks/serving.svg"
BEGIN, END = "<!-- the table of servers -->\n", "<!-- the end of the table of servers -->\n"


def compare(case: Case, rounds: int, seconds: float) -> dict[int, Sequence[Round]]:
    """Load the servers of a case, which take turns, and print a row for each number of clients."""
    found: dict[int, Sequence[Round]] = {}
    with ExitStack() as stack:
        model = Path(stack.enter_context(tempfile.TemporaryDirectory()), "model.pt2")
        case.save(model)
        at = {name: stack.enter_context(running(name, case, model)) for name in SERVERS}
        for server in at.values():  # what happens once
            server.measured(4, 1.0)
        for clients in CLIENTS:
            found[clients] = [
                {name: server.measured(clients, seconds) for name, server in at.items()} for _ in range(rounds)
            ]
            print(row(case.title, clients, found[clients]), end="", flush=True)
    return found


def write(results: Results) -> None:
    """Put the table and the plot where the documentation has them."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE} lacks the lines {BEGIN.strip()} and {END.strip()}")
    PAGE.write_text("".join([before, BEGIN, "\n", table(results), "\n", END, after]), encoding="utf-8")
    save(PLOT, results)


def main() -> None:
    """Compare on all cases, or on those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(case.name for case in CASES)}; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.8, help="for each load")
    parser.add_argument("--write", action="store_true", help="rewrite the table and the plot of the documentation")
    options = parser.parse_args()
    chosen = [case for case in CASES if not options.cases or case.name in options.cases]
    print(HEAD, end="")
    results = {case.name: compare(case, options.rounds, options.seconds) for case in chosen}
    print(goals(results, seconds_to_start()))
    if options.write:
        write(results)


if __name__ == "__main__":
    main()
