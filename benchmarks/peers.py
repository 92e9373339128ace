"""Wasmtime's own host of wasi-nn, in Rust on OpenVINO, compared with ours: `make bench-peers`.

All run the same component, which times itself: with a model that adds 1, and with the network of
`make demo`. They therefore differ only in the host, and for an inference also in its library: on our host PyTorch and
ONNX Runtime. They take turns.
"""

from __future__ import annotations

import logging
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import wasmtime
from rich.console import Console
from rich.table import Table

from benchmarks.comparison import duration
from benchmarks.guests import command
from wasi_nn_torch import Engine

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "build/peers"
ROUNDS = 15
FEW_ROUNDS = 3
WITHIN = 2.0


@dataclass(frozen=True)
class Case:
    """A model and its shape, the number of times for each step, and whether its cost is mainly that of its bytes."""

    name: str
    inference: str
    label: str
    shape: tuple[int, ...]
    times: int
    is_large: bool
    make: Callable[[], torch.nn.Module]


class Add(torch.nn.Module):
    """Adds 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take and return a tensor of any shape."""
        return x + 1


def network() -> torch.nn.Module:
    """The network of the demo."""
    sys.path.insert(0, str(ROOT / "examples/classify"))
    from export_model import efficientnet_lite0

    made: torch.nn.Module = efficientnet_lite0()
    return made


PHOTO = (1, 3, 224, 224)
CASES = (
    Case("small", "inference of a model that adds 1, 1x4 each way", "1x4", (1, 4), 30, False, Add),
    Case("large", "inference of a model that adds 1, 602 kB each way", "602 kB", PHOTO, 8, True, Add),
)
#: A model whose inferences take long: their processor time is compared, which other programs do not change much.
NETWORK = Case("network", "inference of EfficientNet-lite0, batch 1, processor time", "", PHOTO, 60, False, network)
STEPS = ("{} tensor in", "{} tensor in and out again")


class Missing(Exception):
    """The peer cannot run; the text says what is missing."""


#: One number for each of `STEPS`, and one for the inference.
Seconds = Sequence[float]
#: A host that runs a guest once.
Run = Callable[[Case, Path], Seconds]


def seconds(output: bytes, case: Case) -> Seconds:
    """The seconds for doing each step once, from the output of a guest."""
    return [nanoseconds / case.times / 1e9 for nanoseconds in struct.unpack(f"<{len(STEPS) + 1}Q", output)]


def write_models() -> None:
    """Write the model of each case, as an exported program and as ONNX."""
    logging.disable(logging.WARNING)
    for case in (*CASES, NETWORK):
        directory = PEERS / "peer" / case.name
        directory.mkdir(parents=True, exist_ok=True)
        module, given = case.make().eval(), (torch.zeros(case.shape),)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(torch.export.export(module, given), directory / "model.pt2")
            torch.onnx.export(module, given, directory / "model.onnx", external_data=False, verbose=False)
    logging.disable(logging.NOTSET)


def peer() -> Run:
    """A function that runs one case on Wasmtime's host; raises `Missing`."""
    python = PEERS / "bin/python"
    ready = _run(
        [str(python), str(ROOT / "benchmarks/peer_setup.py"), str(PEERS / "peer"), *(c.name for c in (*CASES, NETWORK))]
    )
    program = ready.decode().strip()
    environment = os.environ | {"LD_LIBRARY_PATH": str(PEERS / "peer/lib")}

    def run(case: Case, guest: Path) -> Seconds:
        model = f"nn-graph=openvino::{PEERS / 'peer' / case.name / 'model'}"
        return seconds(_run([program, "run", "-S", "nn", "-S", model, str(guest)], environment), case)

    return run


def ours(file: str) -> Run:
    """A function that runs one case on our host, with the model in the file of this name."""

    def run(case: Case, guest: Path) -> Seconds:
        output: list[bytes] = []
        with Engine("cpu", threads=1) as engine:
            engine.register("model", PEERS / "peer" / case.name / file, warm_up=True)
            with engine.session(stdout=output.append) as session:
                session.run(guest)
        return seconds(b"".join(output), case)

    return run


def _run(words: Sequence[str], environment: dict[str, str] | None = None) -> bytes:
    try:
        done = subprocess.run(words, capture_output=True, check=False, env=environment, timeout=300)
    except OSError as error:
        raise Missing(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise Missing(f"{Path(words[0]).name} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


def rows(case: Case, hosts: Sequence[Run]) -> Sequence[Sequence[str]]:
    """What the table says about a case: for each step the time of each host, and how ours compare with the first.

    That is the least of all rounds, since other programs only make them slower.
    """
    guest = PEERS / f"{case.name}.wasm"
    guest.write_bytes(wasmtime.wat2wasm(command(case.times, *case.shape)))
    rounds = [[host(case, guest) for host in hosts] for _ in range(ROUNDS)]
    table = []
    for index, step in enumerate((*STEPS, case.inference)):
        least = [min(each[host][index] for each in rounds) for host in range(len(hosts))]
        goal = f"≤ {WITHIN:g} x" if case.is_large else ""
        table.append([step.format(case.label), *compared(least), goal])
    return table


def compared(times: Sequence[float]) -> Sequence[str]:
    """The times of the hosts, and how ours compare with the first."""
    return [*map(duration, times), ", ".join(f"{ours / times[0]:.2f} x" for ours in times[1:])]


def processor_seconds(host: Run, case: Case) -> float:
    """The processor time of one inference on a host: what more of them add, in the least of a few rounds."""
    spent = []
    for times in (2, 2 + case.times):
        guest = PEERS / f"{case.name}-{times}.wasm"
        guest.write_bytes(wasmtime.wat2wasm(command(times, *case.shape)))
        rounds = []
        for _ in range(FEW_ROUNDS):
            began = _spent()
            host(case, guest)
            rounds.append(_spent() - began)
        spent.append(min(rounds))
    return (spent[1] - spent[0]) / case.times


def _spent() -> float:
    """The processor time of this process and those that it started and that have ended, in seconds."""
    return sum(os.times()[:4])


def main() -> None:
    """Print the table, or exit with a text that says what is missing."""
    torch.set_num_threads(1)
    names = ("Wasmtime's host in Rust", "ours, PyTorch", "ours, ONNX Runtime")
    table = Table("what", *names, "ratios", "goal")
    for column in table.columns[1:5]:
        column.justify = "right"
    try:
        if not (PEERS / "bin/python").exists():
            raise Missing(f"there is no {PEERS.relative_to(ROOT)}; run `make bench-peers`")
        write_models()
        hosts = (peer(), ours("model.pt2"), ours("model.onnx"))
        for case in CASES:
            for row in rows(case, hosts):
                table.add_row(*row)
        table.add_row(NETWORK.inference, *compared([processor_seconds(host, NETWORK) for host in hosts]))
    except Missing as missing:
        sys.exit(f"the peer cannot be measured: {missing}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
