"""Fixtures for the tests of the backend for ONNX, which compute on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from wasi_nn_torch import Engine
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import Tensor, read_bytes
from wasi_nn_torch.onnx.dtypes import OF_WASI_NN
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES
from wasi_nn_torch.serving.serving import Serving


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine("cpu", guest_models="none") as engine:
        yield engine


@pytest.fixture
def serving(engine: Engine, ledger: Ledger) -> Serving:
    """The operations of wasi-nn for a session."""
    return engine._runtime.serve(ledger)


@pytest.fixture
def compute(engine: Engine, serving: Serving) -> Callable[..., list[tuple[str, Tensor]]]:
    """Register a model, and compute it once on the given inputs."""

    def run(model: object, **inputs: torch.Tensor) -> list[tuple[str, Tensor]]:
        name = f"model {len(engine.names)}"
        engine.register(name, model)
        context = serving.context(serving.load_by_name(name))
        return context.compute([(each, given(serving, content)) for each, content in inputs.items()])

    return run


def given(serving: Serving, content: torch.Tensor) -> Tensor:
    """The tensor that a guest makes when it hands over the bytes of this one."""
    data = bytes(content.contiguous().flatten().view(torch.uint8).tolist())
    return serving.tensor(list(content.shape), ELEMENT_TYPES[content.dtype], memoryview(data))


def elements(tensor: Tensor) -> torch.Tensor:
    """What a guest reads of a tensor, dropped afterwards."""
    data = read_bytes(tensor)
    shown = torch.frombuffer(data, dtype=DTYPES[tensor.dtype]) if data else torch.empty(0, dtype=DTYPES[tensor.dtype])
    shown = shown.view(tensor.dimensions)
    tensor.drop()
    return shown


#: The number in ONNX of each of PyTorch's types that wasi-nn has.
NUMBERS = {DTYPES[element_type]: known.number for element_type, known in OF_WASI_NN.items()}
