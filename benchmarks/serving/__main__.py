"""Compares the servers with each other, in one run: requests a second and latencies, at 1 to 64 clients."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.serving.load import load
from benchmarks.serving.servers import SHAPE

CLIENTS = (1, 4, 16, 64)
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


def plain(path: str, body: bytes, headers: str = "") -> bytes:
    """A request with these bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def protocol(body: bytes, name: str) -> bytes:
    """The same as a request of the Open Inference Protocol, with binary data."""
    described = {"name": name, "shape": SHAPE, "datatype": "FP32", "parameters": {"binary_data_size": len(body)}}
    text = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    return plain("/v2/models/net/infer", text + body, f"Inference-Header-Content-Length: {len(text)}\r\n")


@contextmanager
def running(name: str, model: Path) -> Iterator[tuple[str, int]]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.serving.servers", name, str(model)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


def compare(title: str, model: Path, seconds: float) -> None:
    """Print one row for each number of clients; the servers take turns."""
    body = bytes(4 * math.prod(SHAPE))
    requests = {"direct": plain("/", body), "ours": protocol(body, "x")}
    with ExitStack() as stack:
        at = {each: stack.enter_context(running(each, model)) for each in requests}
        for clients in CLIENTS:
            found = [
                {each: load(at[each], requests[each], clients, seconds) for each in requests} for _ in range(ROUNDS)
            ]
            best = {each: max((row[each] for row in found), key=lambda row: row.rate) for each in requests}
            ours, direct = best["ours"], best["direct"]
            print(
                f"{title:12} {clients:3} clients: direct {direct.rate:7.1f}/s p50 {direct.p50 * 1e3:7.2f} ms, "
                f"ours {ours.rate:7.1f}/s p50 {ours.p50 * 1e3:7.2f} p99 {ours.p99 * 1e3:7.2f} ms; "
                f"rate x {ours.rate / direct.rate:.2f}, p50 x {ours.p50 / direct.p50:.2f}",
                flush=True,
            )


def main() -> None:
    """Compare on a module that does hardly anything, and on a small network, both with 602 kB for each request."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    with tempfile.TemporaryDirectory() as folder:
        for title, module in (("mean", Mean()), ("network", Network().eval())):
            model = Path(folder, f"{title}.pt2")
            torch.export.save(torch.export.export(module, (torch.zeros(SHAPE),)), model)
            compare(title, model, seconds)


if __name__ == "__main__":
    main()
