"""Compares the same serve.toml behind Ray Serve's proxy and behind the command: `python -m benchmarks.ray_serving`.

Beside them, behind the proxy too, is an application that sends the body of a request back, to tell what Serve itself
takes. All run during the whole measurement and take turns. The model does hardly any work, so the figures are about the
way that requests go. Give the seconds of each measurement, and the number of replicas, to change them.
"""

from __future__ import annotations

import math
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import ray
import torch
from ray import serve

from benchmarks.serving.__main__ import plain, protocol
from benchmarks.serving.load import Load, load
from wasi_nn_torch.ray import deployment, run

CLIENTS = (1, 8, 32)
ROUNDS = 3
SHAPES = {"16 B": (1, 4), "602 kB": (1, 3, 224, 224)}
CONFIG = '[graphs.net]\npath = "net.pt2"\nconcurrency = 2\n'


class Target(NamedTuple):
    """Where a request goes."""

    port: int
    request: bytes


class Plus(torch.nn.Module):
    """Adds one: as many bytes come back as were sent."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


def exported(folder: Path, shape: tuple[int, ...]) -> Path:
    """The configuration for a model that takes a shape."""
    folder.mkdir()
    torch.export.save(torch.export.export(Plus(), (torch.zeros(shape),)), folder / "net.pt2")
    (folder / "serve.toml").write_text(CONFIG)
    return folder / "serve.toml"


def echo() -> object:
    """An application that sends back what it gets."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for name in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{name}.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    return app


class Echo:
    """The replica of that application."""


@contextmanager
def command(config: Path) -> Iterator[int]:
    """The port of `wasi-nn-torch serve`; its log of answers goes to a file, as that of Ray Serve does."""
    start = [sys.executable, "-m", "wasi_nn_torch", "serve", "--config", str(config), "--port", "0"]
    with open(config.with_suffix(".log"), "w+") as log:
        process = subprocess.Popen(start, stderr=log)
        try:
            while not (found := re.search(r"serving on http://.*:(\d+)", config.with_suffix(".log").read_text())):
                if process.poll() is not None:
                    raise RuntimeError(config.with_suffix(".log").read_text())
            yield int(found[1])
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def cluster() -> Iterator[int]:
    """The port of Ray Serve on a cluster of this machine."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, object_store_memory=80 << 20, include_dashboard=False, log_to_driver=False)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:  # after Ray has taken its own
            port = listener.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        yield port
    finally:
        serve.shutdown()
        ray.shutdown()


def measured(target: Target, clients: int, seconds: float) -> Load:
    return load(("127.0.0.1", target.port), target.request, clients, seconds, warm_up=0.2)


def compare(title: str, targets: dict[str, Target], seconds: float) -> None:
    """Print one row for each number of clients, with the medians of the rounds."""
    for target in targets.values():  # what happens once
        measured(target, 4, 0.5)
    for clients in CLIENTS:
        rounds = [{name: measured(target, clients, seconds) for name, target in targets.items()} for _ in range(ROUNDS)]
        row = [f"{title:7} {clients:3} clients:"]
        for name in targets:
            rate = statistics.median(each[name].rate for each in rounds)
            p50 = statistics.median(each[name].p50 for each in rounds)
            row.append(f"{name} {rate:7.1f}/s p50 {p50 * 1e3:6.1f} ms;")
        ratio = statistics.median(each["serve"].rate / each["ray"].rate for each in rounds)
        print(*row, f"rate x {ratio:.1f}", flush=True)


def main() -> None:
    """Compare with little and with much data."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    replicas = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(f"{replicas} replica(s); {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        at = stack.enter_context(cluster())
        replica = serve.deployment(num_replicas=replicas, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=256)
        serve.run(replica(serve.ingress(echo)(Echo)).bind(), name="echo", route_prefix="/echo")
        for number, (title, shape) in enumerate(SHAPES.items()):
            config = exported(folder / str(number), shape)
            run(deployment(config, num_replicas=replicas, ray_actor_options={"num_cpus": 0.5}), route_prefix="/")
            with command(config) as port:
                body = bytes(4 * math.prod(shape))
                request = protocol(body, "x", shape)
                targets = {"serve": Target(port, request), "ray": Target(at, request)}
                compare(title, targets | {"echo": Target(at, plain("/echo", body))}, seconds)


if __name__ == "__main__":
    main()
