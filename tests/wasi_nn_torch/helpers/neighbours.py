"""A session beside others, which computes one of the operator's models all the time."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import torch

from tests.wasi_nn_torch.helpers.direct import Direct
from wasi_nn_torch import Engine


class Neighbour:
    """Computes the registered model `add` in a thread, and notes each result that is wrong; used in a `with` block."""

    def __init__(self, engine: Engine) -> None:
        self.computed = 0
        #: The longest time between two results, in seconds.
        self.longest = 0.0
        self._wrong: list[object] = []
        self._engine = engine
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()

    def computes_once_more(self, seconds: float) -> None:
        """Wait for two more results; all results must be right."""
        wanted, end = self.computed + 2, time.monotonic() + seconds
        while self.computed < wanted and time.monotonic() < end and self._thread.is_alive():
            time.sleep(0.001)
        assert self._wrong == []
        assert self.computed >= wanted, f"no result for {seconds} s"

    def _run(self) -> None:
        last = time.monotonic()
        with Direct(self._engine) as session:
            while not self._ends.wait(0.002):
                x = torch.full((8,), float(self.computed))
                outcome = session.compute_by_name("add", x=x)
                if not torch.equal(outcome, x + 1):
                    self._wrong.append(outcome)
                self.computed += 1
                self.longest = max(self.longest, time.monotonic() - last)
                last = time.monotonic()
