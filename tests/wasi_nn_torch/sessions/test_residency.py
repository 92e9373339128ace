"""Tensors stay where they are until a step moves them, as the device's own counters show; see `tests/simulated`."""

from __future__ import annotations

import pytest
import torch

from tests.simulated import Copies, Counters
from tests.wasi_nn_torch.conftest import raw
from tests.wasi_nn_torch.helpers.models import Add, Scale, scripted
from tests.wasi_nn_torch.helpers.playing import Play, begin, hexadecimal, make
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.ledger import Transfer
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch import PyTorch
from wasi_nn_torch.pytorch.graphs import ExecutionContext, load_from_guest

X = torch.arange(1000, dtype=torch.float32)
BYTES = 4 * len(X)


@pytest.fixture(scope="module")
def engine(accelerator):
    """Three graphs on the accelerator, one on its neighbour, and one on the CPU."""
    with Engine(accelerator) as engine:
        for name, factor in (("double", 2.0), ("triple", 3.0), ("halve", 0.5)):
            engine.register(name, scripted(Scale(factor)))
        engine.register("on the cpu", scripted(Scale(5.0)), "cpu")
        if torch.accelerator.device_count() > 1:
            engine.register("elsewhere", scripted(Scale(7.0)), torch.device(accelerator.type, 1))
        yield engine


@pytest.fixture
def play(engine, probe_file, simulator):
    """A play whose copies are counted from its start."""
    play = Play(engine, engine.compile(probe_file))
    simulator.reset()
    return play


@pytest.fixture
def copied(simulator):
    """The copies of the device since the test began."""
    return lambda: Counters(*(getattr(simulator.counters(), way) for way in ("h2d", "d2h", "d2d", "within")))


ONE = Copies(1, BYTES)


def test_a_chain_of_three_graphs_makes_one_upload_and_one_download(play, copied):
    play.run(
        *begin("double", "triple", "halve"),
        make("a", X),
        ["compute", "double", {"x": "a"}, "b"],
        ["compute", "triple", {"x": "b"}, "c"],
        ["compute", "halve", {"x": "c"}, "d"],
        ["show", "d"],
    )
    assert play.answers == [[[1000], "FP32", hexadecimal(3 * X)]]
    assert copied() == Counters(h2d=ONE, d2h=ONE)


def test_dimensions_and_type_copy_nothing(play, copied):
    play.run(
        *begin("double"),
        make("a", X),
        ["describe", "a"],
        ["compute", "double", {"x": "a"}, "b"],
        *[["describe", "b"]] * 3,
    )
    assert play.answers == [[[1000], "FP32"]] * 4
    assert copied() == Counters(h2d=ONE)


def test_an_output_that_is_not_read_is_never_downloaded(play, copied):
    play.run(*begin("double"), make("a", X), ["compute", "double", {"x": "a"}, "b"], ["drop", "b"])
    assert copied() == Counters(h2d=ONE)


def test_a_tensor_that_no_graph_uses_never_reaches_the_device(play, copied):
    play.run(*begin("double"), make("a", X), ["show", "a"], ["drop", "a"])
    assert copied() == Counters()


def test_each_reading_is_one_download(play, copied):
    play.run(*begin("double"), make("a", X), ["compute", "double", {"x": "a"}, "b"], *[["show", "b"]] * 3)
    assert copied() == Counters(h2d=ONE, d2h=Copies(3, 3 * BYTES))


def test_a_tensor_in_columns_is_read_with_one_copy(accelerator, copied, load, memory, tensor, read):
    class Transpose(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x).t()

    x = torch.arange(6.0).view(2, 3)
    [(_, output)] = ExecutionContext(load(Transpose()), memory).compute([("x", tensor(x))])
    assert read(output).hex() == hexadecimal(x.t())
    assert copied().d2h == Copies(1, 24)
    assert copied().within == Copies()


def test_an_output_for_a_graph_on_another_device_is_copied_between_the_devices(play, copied, neighbour):
    play.run(
        *begin("double", "elsewhere"),
        make("a", X),
        ["compute", "double", {"x": "a"}, "b"],
        ["compute", "elsewhere", {"x": "b"}, "c"],
        ["show", "c"],
    )
    assert play.answers == [[[1000], "FP32", hexadecimal(14 * X)]]
    assert copied() == Counters(h2d=ONE, d2d=ONE, d2h=ONE)


def test_an_output_for_a_graph_on_the_cpu_is_downloaded_once(play, copied):
    play.run(
        *begin("double", "on the cpu"),
        make("a", X),
        ["compute", "double", {"x": "a"}, "b"],
        ["compute", "on the cpu", {"x": "b"}, "c"],
        *[["show", "c"]] * 2,
    )
    assert copied() == Counters(h2d=ONE, d2h=ONE)


def test_a_graph_on_the_cpu_copies_nothing(play, copied):
    play.run(*begin("on the cpu"), make("a", X), ["compute", "on the cpu", {"x": "a"}, "b"], ["show", "b"])
    assert copied() == Counters()


def test_several_inputs_are_uploaded_once_each(accelerator, copied, memory, tensor):
    context = ExecutionContext(load_from_guest(scripted(Add()), accelerator), memory)
    context.compute([("x", tensor(X)), ("y", tensor(X))])
    assert copied() == Counters(h2d=Copies(2, 2 * BYTES))


def test_the_weights_are_uploaded_once_for_all_contexts(accelerator, copied, probe_file):
    model = torch.nn.Linear(100, 100)
    with Engine(accelerator) as engine:
        engine.register("linear", scripted(model))
        loaded = copied()
        play = Play(engine, engine.compile(probe_file))
        for _ in range(3):
            play.run(*begin("linear"))
    assert loaded == Counters(h2d=Copies(2, 4 * 10100))
    assert copied() == loaded


def test_the_ledger_counts_what_the_device_counts(play, copied, neighbour):
    session = play.run(
        *begin("double", "elsewhere", "on the cpu"),
        make("a", X),
        ["compute", "double", {"x": "a"}, "b"],
        ["show", "b"],
        ["compute", "elsewhere", {"x": "b"}, "c"],
        ["compute", "double", {"x": "c"}, "d"],
        ["compute", "on the cpu", {"x": "d"}, "e"],
        ["show", "e"],
    )
    counted = {way: Copies(figures.copies, figures.bytes) for way, figures in session.stats.memory.transfers.items()}
    device = copied()
    assert counted == {
        Transfer.GUEST_TO_HOST: ONE,
        Transfer.HOST_TO_DEVICE: device.h2d,
        Transfer.DEVICE_TO_HOST: device.d2h,
        Transfer.DEVICE_TO_DEVICE: device.d2d,
    }
    assert device == Counters(h2d=ONE, d2h=Copies(2, 2 * BYTES), d2d=Copies(2, 2 * BYTES))


def test_staging_memory_is_pinned_if_the_device_can_copy_from_it(accelerator, ledger, allocated):
    before = allocated()
    made = (
        PyTorch(BackendOptions(str(accelerator))).session(ledger).tensor([1000], ElementType.FP32, memoryview(raw(X)))
    )
    assert made._content().is_pinned()
    assert made.on(accelerator, "x").tolist() == X.tolist()
    made.drop()
    assert ledger.snapshot().idle_bytes == 0
    assert allocated() == before


def test_pinned_memory_is_never_given_to_two_tensors(accelerator, ledger, read):
    session = PyTorch(BackendOptions(str(accelerator))).session(ledger)

    def made(byte):
        return session.tensor([1 << 18], ElementType.U8, memoryview(bytes([byte]) * (1 << 18)))

    kept = []
    for byte in range(50):
        tensor = made(byte)
        tensor.on(accelerator, "x")  # after which the staging memory is free for the next tensor
        kept.append(tensor)
    assert [read(tensor) for tensor in kept] == [bytes([byte]) * (1 << 18) for byte in range(50)]


@pytest.mark.cpu
def test_without_an_accelerator_nothing_is_pinned(ledger):
    made = PyTorch(BackendOptions("cpu")).session(ledger).tensor([1000], ElementType.FP32, memoryview(raw(X)))
    assert not made._content().is_pinned()
