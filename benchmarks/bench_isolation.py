"""The cost of computing guest-supplied models in a process of their session, compared with the host's process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import nn

from benchmarks.bench_inference import scripted
from benchmarks.comparison import Comparison, Work
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.vocabulary import ElementType, ExecutionTarget
from wasi_nn_torch.pytorch import PyTorch
from wasi_nn_torch.workers.confinement import lacking

pytestmark = pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}")

#: The model of `make demo`.
DEMO = Path("build/classify/model.pt2")


@dataclass(frozen=True)
class Case:
    """A model, and a tensor for its only input."""

    name: str
    model: Callable[[], bytes]
    dtype: ElementType
    shape: tuple[int, ...]
    times: int

    @contextmanager
    def computing(self, backend: PyTorch) -> Iterator[Callable[[int], None]]:
        """A session with the model; the function makes a tensor, computes, reads the result, and drops both."""
        session = backend.session(Ledger())
        graph = session.load([memoryview(self.model())], ExecutionTarget.CPU)
        context = session.context(graph)
        data = memoryview(bytes(math.prod(self.shape) * self.dtype.item_size))

        def infer(times: int) -> None:
            for _ in range(times):
                tensor = session.tensor(self.shape, self.dtype, data)
                [(_, output)] = context.compute([("0", tensor)])
                source = output.data()
                source.write_into(memoryview(bytearray(source.nbytes)))
                output.drop()

        try:
            yield infer
        finally:
            session.close()

    def sessions(self, backend: PyTorch) -> Callable[[int], None]:
        """Sessions that load the model and compute once."""

        def run(times: int) -> None:
            for _ in range(times):
                with self.computing(backend) as infer:
                    infer(1)

        return run


CASES = [
    Case("1x4 identity", lambda: scripted(nn.Identity()), ElementType.FP32, (1, 4), 200),
    Case("model of the demo", DEMO.read_bytes, ElementType.U8, (480, 640, 3), 3),
]


@pytest.fixture(scope="module")
def backends() -> tuple[PyTorch, PyTorch]:
    """One that isolates, whose server is running, and one that does not."""
    isolated, direct = (PyTorch(BackendOptions("cpu", policy)) for policy in (GuestModels.ISOLATED, GuestModels.ANY))
    CASES[0].sessions(isolated)(1)
    return isolated, direct


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_computation(compare: Comparison, backends: tuple[PyTorch, PyTorch], case: Case) -> None:
    isolated, direct = backends
    with case.computing(isolated) as ours, case.computing(direct) as other:
        here, there = compare.measure(Work(ours, case.times), Work(other, case.times), rounds=11)
    compare.within(f"guest-supplied {case.name}, isolated: an inference", "in the host's process", there, here, None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_session(compare: Comparison, backends: tuple[PyTorch, PyTorch], case: Case) -> None:
    ours, other = (Work(case.sessions(backend)) for backend in backends)
    here, there = compare.measure(ours, other, rounds=5)
    compare.within(f"guest-supplied {case.name}, isolated: a session", "in the host's process", there, here, None)
