"""Wasmtime's own host of wasi-nn, in Rust on OpenVINO, compared with ours: `make bench-peers`.

Both run the same component, which times itself, with a model that adds 1. They therefore differ only in the host, and
for an inference also in its library. They take turns.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
import wasmtime
from rich.console import Console
from rich.table import Table

from benchmarks.bench_inference import scripted
from benchmarks.comparison import duration
from benchmarks.guests import command
from wasi_nn_torch import Engine

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "build/peers"
ROUNDS = 7
WITHIN = 2.0


@dataclass(frozen=True)
class Case:
    """One shape, the number of times for each step, and whether its cost is mainly that of its bytes."""

    name: str
    label: str
    shape: tuple[int, ...]
    times: int
    is_large: bool


CASES = (
    Case("small", "1x4", (1, 4), 1000, False),
    Case("large", "602 kB", (1, 3, 224, 224), 200, True),
)
STEPS = ("{} tensor in", "{} tensor in and out again", "inference of a model that adds 1, {} each way")


class Missing(Exception):
    """The peer cannot run; the text says what is missing."""


class Add(torch.nn.Module):
    """Adds 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


#: One number for each of `STEPS`.
Seconds = Sequence[float]


def seconds(output: bytes, case: Case) -> Seconds:
    """The seconds for doing each step once, from the output of a guest."""
    return [nanoseconds / case.times / 1e9 for nanoseconds in struct.unpack(f"<{len(STEPS)}Q", output)]


def peer() -> Callable[[Case, Path], Seconds]:
    """A function that runs one case on Wasmtime's host; raises `Missing`."""
    python = PEERS / "bin/python"
    if not python.exists():
        raise Missing(f"there is no {python.relative_to(ROOT)}; run `make bench-peers`")
    models = [f"{case.name}={'x'.join(map(str, case.shape))}" for case in CASES]
    ready = _run([str(python), str(ROOT / "benchmarks/peer_setup.py"), str(PEERS / "peer"), *models])
    program = ready.decode().strip()
    environment = os.environ | {"LD_LIBRARY_PATH": str(PEERS / "peer/lib")}

    def run(case: Case, guest: Path) -> Seconds:
        model = f"nn-graph=openvino::{PEERS / 'peer' / case.name / 'model'}"
        return seconds(_run([program, "run", "-S", "nn", "-S", model, str(guest)], environment), case)

    return run


def ours(case: Case, guest: Path) -> Seconds:
    """Run one case on our host."""
    output: list[bytes] = []
    with Engine("cpu") as engine:
        engine.register("model", scripted(Add()))
        with engine.session(stdout=output.append) as session:
            session.run(guest)
    return seconds(b"".join(output), case)


def _run(words: Sequence[str], environment: dict[str, str] | None = None) -> bytes:
    try:
        done = subprocess.run(words, capture_output=True, check=False, env=environment, timeout=300)
    except OSError as error:
        raise Missing(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise Missing(f"{Path(words[0]).name} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


def main() -> None:
    """Print the table, or exit with a text that says what is missing."""
    torch.set_num_threads(1)
    table = Table("what", "Wasmtime's host in Rust", "ours", "ratio", "goal", "reached")
    for column in table.columns[1:4]:
        column.justify = "right"
    try:
        theirs = peer()
        for case in CASES:
            guest = PEERS / f"{case.name}.wasm"
            guest.write_bytes(wasmtime.wat2wasm(command(case.times, *case.shape)))
            rounds = [(theirs(case, guest), ours(case, guest)) for _ in range(ROUNDS)]
            for index, step in enumerate(STEPS):
                there, here = (median(each[side][index] for each in rounds) for side in (0, 1))
                ratio = median(each[1][index] / each[0][index] for each in rounds)
                goal = f"≤ {WITHIN:g} x" if case.is_large else ""
                reached = ("yes" if ratio <= WITHIN else "no") if case.is_large else ""
                table.add_row(step.format(case.label), duration(there), duration(here), f"{ratio:.2f} x", goal, reached)
    except Missing as missing:
        sys.exit(f"the peer cannot be measured: {missing}")
    Console().print(table)


if __name__ == "__main__":
    main()
