"""The table of networks that work: `make zoo` tries each one and writes the table in `docs/models.md`.

Each network has random weights. A guest, a component that reads its inputs from files, computes it in every form in
which it can be offered, and the outputs are compared with those of the module called directly.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from benchmarks.zoo.networks import Network, networks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/models.md"
BEGIN, END = "<!-- the table of networks -->\n", "<!-- the end of the table of networks -->\n"
COLUMNS = ("module", "exported", "torchscript", "exported, guest", "torchscript, guest")
PACKAGES = ("torch", "transformers", "timm", "torchvision")
_PATIENCE = 900

Outcome = dict[str, str]


def main() -> None:
    """Try the networks whose names contain one of the arguments; without arguments try all, and write the table."""
    guest, *wanted = sys.argv[1:]
    chosen = [
        (number, network)
        for number, network in enumerate(networks())
        if not wanted or any(part.lower() in f"{network.package} {network.name}".lower() for part in wanted)
    ]
    with ThreadPoolExecutor(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) as pool:
        outcomes = []
        for (_, network), outcome in zip(chosen, pool.map(lambda each: _trial(each[0], guest), chosen), strict=True):
            outcomes.append((network, outcome))
            print(network.package, network.name, json.dumps(outcome), flush=True)
    if not wanted:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text("".join([before, BEGIN, *_table(outcomes), END, after]), encoding="utf-8")


def _trial(number: int, guest: str) -> Outcome:
    command = [sys.executable, "-m", "benchmarks.zoo.trial", str(number), guest]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return dict.fromkeys(COLUMNS, f"did not end within {_PATIENCE} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return dict.fromkeys(COLUMNS, f"status {done.returncode}: {last}")
    outcome: Outcome = json.loads(done.stdout.splitlines()[-1])
    return outcome


def _table(outcomes: list[tuple[Network, Outcome]]) -> Iterator[str]:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    yield f"\nMade with {versions}.\n\n"
    yield "| | network | module | exported | TorchScript | exported, from a guest | TorchScript, from a guest |\n"
    yield "| --- | --- | --- | --- | --- | --- | --- |\n"
    notes: dict[str, int] = {}
    for network, outcome in outcomes:
        cells = (_cell(outcome[column], notes) for column in COLUMNS)
        yield f"| {network.package} | {network.name} | {' | '.join(cells)} |\n"
    yield "\n"
    for note, number in notes.items():
        yield f"{number}. {_escaped(note)}\n"
    yield "\n"


def _cell(outcome: str, notes: dict[str, int]) -> str:
    """`yes`, with how the file was made if that matters, or the number of the note with the reason."""
    if outcome.split()[0] == "ok":
        return " ".join(["yes", *(f"({how})" for how in outcome.split()[1:])])
    prefix = "not made" if outcome.startswith("PyTorch: ") else "no"
    return f"{prefix} ({notes.setdefault(outcome, len(notes) + 1)})"


def _escaped(note: str) -> str:
    note = note.partition("the last error that it was given: ")[2] or note
    return " ".join(note.replace("|", "\\|").replace("<", "&lt;").split())[:300]


if __name__ == "__main__":
    main()
