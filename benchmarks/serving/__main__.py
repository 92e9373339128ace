"""Compares the servers with each other, in one run: requests a second and latencies, at 1 to 64 clients."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.serving.load import Load, load

CLIENTS = (1, 4, 16, 64)
PICTURE, VECTOR = (1, 3, 224, 224), (1, 1024)
ROUNDS = 3


class Mean(torch.nn.Module):
    """Hardly any work: the mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


class Network(torch.nn.Module):
    """A small network of convolutions, which takes about as long as one for mobile phones."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        layers = [
            layer
            for taken, given in pairwise(widths)
            for layer in (torch.nn.Conv2d(taken, given, 3, stride=2, padding=1), torch.nn.ReLU())
        ]
        self.layers = torch.nn.Sequential(*layers)
        self.head = torch.nn.Linear(widths[-1], 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean(dim=(2, 3)))


def perceptron() -> torch.nn.Module:
    """A multilayer perceptron, whose weights take 25 MB: one row at a time, most of the time goes into reading them."""
    return torch.nn.Sequential(
        torch.nn.Linear(1024, 2048),
        torch.nn.ReLU(),
        torch.nn.Linear(2048, 2048),
        torch.nn.ReLU(),
        torch.nn.Linear(2048, 10),
    ).eval()


def plain(path: str, body: bytes, headers: str = "") -> bytes:
    """A request with these bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def protocol(body: bytes, name: str, shape: tuple[int, ...]) -> bytes:
    """The same as a request of the Open Inference Protocol, with binary data."""
    described = {"name": name, "shape": shape, "datatype": "FP32", "parameters": {"binary_data_size": len(body)}}
    text = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    return plain("/v2/models/net/infer", text + body, f"Inference-Header-Content-Length: {len(text)}\r\n")


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    port: int
    process: subprocess.Popen[str]

    def cpu_seconds(self) -> float:
        """The processor time that it has taken so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """The load that a server took, and the processor time for each request, in seconds."""

    load: Load
    cpu: float


def measured(server: Running, request: bytes, clients: int, seconds: float) -> Row:
    """Load a server for some seconds."""
    began = server.cpu_seconds()
    found = load(("127.0.0.1", server.port), request, clients, seconds, warm_up=0)
    return Row(found, (server.cpu_seconds() - began) / (found.rate * seconds))


@contextmanager
def running(name: str, model: Path, shape: tuple[int, ...], batch: int) -> Iterator[Running]:
    """A server for a model."""
    sizes = "x".join(map(str, shape))
    command = [sys.executable, "-m", "benchmarks.serving.servers", name, str(model), sizes, str(batch)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield Running(int(process.stdout.readline()), process)
    finally:
        process.terminate()
        process.wait(30)


def compare(title: str, module: torch.nn.Module, shape: tuple[int, ...], batch: int, seconds: float) -> None:
    """Print one row for each number of clients; the servers take turns."""
    body = bytes(4 * math.prod(shape))
    with ExitStack() as stack:
        model = Path(stack.enter_context(tempfile.TemporaryDirectory()), "model.pt2")
        rows = None if batch == 1 else ({0: torch.export.Dim("rows", max=1024)},)
        program = torch.export.export(
            module, (torch.zeros(shape if batch == 1 else (2, *shape[1:])),), dynamic_shapes=rows
        )
        torch.export.save(program, model)
        requests = {"direct": plain("/", body), "ours": protocol(body, "0", shape)}
        at = {each: stack.enter_context(running(each, model, shape, batch)) for each in requests}
        for each in requests:  # what happens once
            measured(at[each], requests[each], 4, 0.5)
        for clients in CLIENTS:
            rounds = [
                {each: measured(at[each], requests[each], clients, seconds) for each in requests} for _ in range(ROUNDS)
            ]
            print(f"{title:12} {clients:3} clients: {_compared(rounds)}", flush=True)


def _compared(rounds: Sequence[Mapping[str, Row]]) -> str:
    """The medians of the rounds; the ratios are medians of those of each round."""

    def median(of: Callable[[Mapping[str, Row]], float]) -> float:
        return statistics.median(map(of, rounds))

    def row(name: str) -> str:
        rate, p50 = median(lambda each: each[name].load.rate), median(lambda each: each[name].load.p50)
        cpu = median(lambda each: each[name].cpu)
        return f"{name} {rate:7.1f}/s p50 {p50 * 1e3:7.2f} ms cpu {cpu * 1e3:6.2f} ms"

    rate = median(lambda each: each["ours"].load.rate / each["direct"].load.rate)
    p50 = median(lambda each: each["ours"].load.p50 / each["direct"].load.p50)
    cpu = median(lambda each: each["ours"].cpu / each["direct"].cpu)
    return f"{row('direct')}, {row('ours')}; rate x {rate:.2f}, p50 x {p50:.2f}, cpu x {cpu:.2f}"


def main() -> None:
    """Compare on hardly any work and a small network, both with 602 kB for each request, and on batches."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    compare("mean", Mean(), PICTURE, 1, seconds)
    compare("network", Network().eval(), PICTURE, 1, seconds)
    compare("batched MLP", perceptron(), VECTOR, 16, seconds)


if __name__ == "__main__":
    main()
