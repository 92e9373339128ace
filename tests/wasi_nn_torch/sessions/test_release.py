"""Memory is freed as soon as it is no longer needed: no garbage collection runs in these tests."""

from __future__ import annotations

import contextlib
import logging
import weakref

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph, Kind, Parameter, Signature
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

pytestmark = pytest.mark.usefixtures("no_gc")


class Counter(torch.nn.Module):
    """Has weights and a state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total += self.linear(x)
        return self.total


class Failing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(3, 3)


def python_graph(function) -> Graph:
    """A graph of a plain function of `x`, which need not be possible in TorchScript."""
    return Graph(lambda: function, CPU, Signature((Parameter("x", Kind.TENSOR),)))


def remembering_its_error(x: torch.Tensor) -> torch.Tensor:
    """Fails in a frame that is a reference cycle with the exception."""
    try:
        return x.view(3, 3)
    except RuntimeError as error:
        remembered = error
        raise ValueError("no") from remembered


def causing_an_error_that_remembers_its_own(x: torch.Tensor) -> torch.Tensor:
    """Fails because of an error whose frame is in a cycle, and is not part of the failure's traceback."""
    try:
        return remembering_its_error(x)
    except ValueError as error:
        cause = error.with_traceback(None)
    raise TypeError("no") from cause


def refusing(x: torch.Tensor) -> torch.Tensor:
    raise NnError(ErrorCode.SECURITY, "no")


def test_inputs_are_free_when_compute_returns(context, tensor, device, watch):
    given = tensor(torch.ones(4))
    is_free = watch(given.on(device, "x"))
    context(torch.nn.Sigmoid()).compute([("input", given)])
    assert is_free()


@pytest.mark.parametrize("name", ["x", "wrong"])
def test_inputs_are_free_when_compute_fails(name, context, tensor, device, watch):
    given = tensor(torch.ones(4))
    is_free = watch(given.on(device, "x"))
    with pytest.raises(NnError) as caught:
        context(Failing()).compute([(name, given), *([("y", given)] * (name == "wrong"))])
    assert is_free()
    assert caught.value.__context__ is None


@pytest.mark.parametrize("function", [remembering_its_error, causing_an_error_that_remembers_its_own, refusing])
def test_inputs_are_free_while_the_error_is_still_alive(function, memory, tensor, watch):
    given = tensor(torch.ones(4))
    is_free = watch(given.on(CPU, "x"))
    with pytest.raises(NnError) as caught:
        ExecutionContext(python_graph(function), memory).compute([("x", given)])
    assert is_free()
    assert [entry.name for entry in caught.traceback[1:]] == ["compute"]


def test_inputs_are_free_even_if_the_log_keeps_its_records(context, tensor, device, watch, caplog):
    caplog.set_level(logging.DEBUG, "wasi_nn_torch")
    given = tensor(torch.ones(4))
    is_free = watch(given.on(device, "x"))
    with pytest.raises(NnError):
        context(Failing()).compute([("x", given)])
    assert caplog.records
    assert is_free()


def test_inputs_are_free_when_the_host_is_interrupted(ledger, tensor, memory):
    def interrupted(x: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    given = tensor(torch.ones(4))
    with pytest.raises(KeyboardInterrupt):
        ExecutionContext(python_graph(interrupted), memory).compute([("x", given)])
    assert ledger.snapshot().live_bytes == 0


def test_an_error_is_not_in_a_reference_cycle(context, tensor):
    failing = context(Failing())
    given = [("x", tensor(torch.ones(4)))]
    content = weakref.ref(given[0][1])
    with contextlib.suppress(NnError):
        failing.compute(given)
    del given
    assert content() is None


def test_outputs_that_cannot_be_taken_over_are_free(ledger, tensor, watch, memory):
    watched = []

    def half_usable(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = torch.zeros(4, dtype=torch.complex64), torch.zeros(4)
        watched.extend(watch(output) for output in outputs)
        return outputs

    with pytest.raises(NnError, match="complex64"):
        ExecutionContext(python_graph(half_usable), memory).compute([("x", tensor(torch.ones(4)))])
    assert all(is_free() for is_free in watched)
    assert ledger.snapshot().live_bytes == 0


def test_the_weights_go_with_the_last_graph_or_context(load, memory, tensor, watch):
    graph = load(Counter())
    context = ExecutionContext(graph, memory)
    weights = [watch(parameter) for parameter in context._model.parameters()]
    [(_, output)] = context.compute([("x", tensor(torch.ones(4)))])
    del graph
    assert not any(is_free() for is_free in weights)
    del context
    assert all(is_free() for is_free in weights)
    assert output.dimensions == (4,)


def test_the_weights_are_shared_by_all_contexts(load, memory):
    graph = load(Counter())
    first, second = (ExecutionContext(graph, memory)._model for _ in range(2))
    assert [p.data_ptr() for p in first.parameters()] == [p.data_ptr() for p in second.parameters()]
    assert [b.data_ptr() for b in first.buffers()] != [b.data_ptr() for b in second.buffers()]


def test_a_model_without_state_is_not_copied(load):
    graph = load(torch.nn.Linear(3, 2))
    assert graph.instance() is graph.instance()


def test_the_state_goes_with_its_context(load, memory, watch):
    graph = load(Counter())
    context = ExecutionContext(graph, memory)
    [is_free] = [watch(buffer) for buffer in context._model.buffers()]
    del context
    assert is_free()


def test_device_memory_is_back_where_it_was(load, memory, tensor, accelerator):
    before = torch.accelerator.memory_allocated(accelerator)
    context = ExecutionContext(load(Counter()), memory)
    outputs = context.compute([("x", tensor(torch.ones(4)))]) + context.compute([("x", tensor(torch.ones(4)))])
    with pytest.raises(NnError):
        context.compute([("x", tensor(torch.ones(5)))])
    del context
    for _, output in outputs:
        output.drop()
    assert torch.accelerator.memory_allocated(accelerator) == before


def test_outputs_that_exceed_the_limit_are_freed(load):
    ledger = Ledger(device_limit=20)
    memory = SessionMemory.of(ledger)
    context = ExecutionContext(load(torch.nn.Sigmoid()), memory)
    given = DeviceTensor.from_guest([4], ElementType.FP32, memoryview(bytes(16)), memory)
    kept = context.compute([("input", given)])
    again = DeviceTensor.from_guest([1], ElementType.FP32, memoryview(bytes(4)), memory)
    with pytest.raises(NnError, match="output `output` needs"):
        ExecutionContext(python_graph(lambda x: x.repeat(8)), memory).compute([("x", again)])
    assert ledger.snapshot().live_bytes == 16
    assert len(kept) == 1
