"""Plays: real guests that do one step after the other, while the host looks at its device."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.sessions.guests import Guest
from wasi_nn_torch.sessions.session import Session

Step = list[object]
"""What the probe does: see `play` in `tests/guests/probe/app.py`."""


@dataclass
class Play:
    """A session in which a guest plays; `look` is called at each of the guest's answers, which wait for it."""

    engine: Engine
    guest: Guest
    look: Callable[[], int] = lambda: 0
    answers: list = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    _unfinished: bytes = b""

    def session(self, *steps: Step, limits: Limits | None = None, **options: object) -> Session:
        """A session that plays these steps."""
        script = json.dumps(steps)
        return self.engine.session(args=["play", script], stdout=self._hear, limits=limits, **options)

    def run(self, *steps: Step, limits: Limits | None = None, **options: object) -> Session:
        """Play these steps to the end; returns the session, closed."""
        with self.session(*steps, limits=limits, **options) as session:
            session.run(self.guest)
        return session

    def _hear(self, written: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + written).split(b"\n")
        for line in lines:
            self.answers.append(json.loads(line))
            self.seen.append(self.look())


def make(name: str, content: torch.Tensor) -> Step:
    """The guest makes a tensor."""
    ty = {torch.float32: "FP32", torch.int64: "I64", torch.uint8: "U8"}[content.dtype]
    return ["make", name, list(content.shape), ty, hexadecimal(content)]


def zeros(name: str, elements: int) -> Step:
    """The guest makes a vector of zeros."""
    return ["make", name, [elements], "FP32", 4 * elements]


def begin(*graphs: str) -> list[Step]:
    """The guest gets graphs, and makes a context of each, called as the graph is."""
    return [step for graph in graphs for step in (["get", f"graph {graph}", graph], ["begin", graph, f"graph {graph}"])]


def hexadecimal(content: torch.Tensor) -> str:
    """The elements of a tensor as the guest shows them."""
    return bytes(content.contiguous().flatten().view(torch.uint8).tolist()).hex()
