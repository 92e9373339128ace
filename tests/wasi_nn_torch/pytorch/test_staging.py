"""Staging memory is used again, and never while anybody else refers to it."""

from __future__ import annotations

import mmap
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.freeing import free_pages
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph, Kind, Parameter, Signature
from wasi_nn_torch.pytorch.ownership import is_sole_owner
from wasi_nn_torch.pytorch.staging import SessionMemory, Staging
from wasi_nn_torch.pytorch.tensors import DeviceTensor

pytestmark = pytest.mark.usefixtures("no_gc")

SIZE = 256 << 10
LARGE = [SIZE // 4]


def given(memory: SessionMemory, byte: int = 1, size: int = SIZE) -> DeviceTensor:
    """A tensor of which each byte is the same."""
    return DeviceTensor.from_guest([size // 4], ElementType.FP32, memoryview(bytes([byte]) * size), memory)


def address(tensor: DeviceTensor) -> int:
    return tensor._content().data_ptr()


def graph(function) -> Graph:
    """A graph over a plain function of `x`, which can do what TorchScript cannot."""
    return Graph(lambda: function, CPU, Signature((Parameter("x", Kind.TENSOR),)))


def computed(function, memory: SessionMemory) -> list[tuple[str, DeviceTensor]]:
    return ExecutionContext(graph(function), memory).compute([("x", given(memory))])


def idle(memory: SessionMemory) -> int:
    return memory.staging.nbytes


def test_what_one_tensor_leaves_serves_the_next_one_of_its_size(memory, read):
    first = given(memory, 1)
    place = address(first)
    first.drop()
    assert idle(memory) == SIZE
    second = given(memory, 2)
    assert (address(second), idle(memory)) == (place, 0)
    assert read(second) == b"\2" * SIZE


def test_tensors_that_live_at_the_same_time_share_nothing(memory, read):
    first, second = given(memory, 1), given(memory, 2)
    assert (read(first), read(second)) == (b"\1" * SIZE, b"\2" * SIZE)


def test_a_tensor_of_another_size_gets_memory_of_its_own(memory, read):
    given(memory, 1).drop()
    other = given(memory, 2, SIZE - 4)
    assert (read(other), idle(memory)) == (b"\2" * (SIZE - 4), SIZE)


def test_what_waits_is_no_live_memory(memory):
    given(memory).drop()
    snapshot = memory.ledger.snapshot()
    assert (snapshot.live_bytes, snapshot.live_tensors, idle(memory)) == (0, 0, SIZE)


def test_memory_that_waits_counts_towards_no_limit():
    memory = SessionMemory.of(Ledger(host_limit=SIZE))
    given(memory).drop()
    given(memory, size=SIZE // 2).drop()
    assert given(memory).dtype is ElementType.FP32


def test_inputs_of_a_graph_are_used_again(memory):
    places = []
    computed(lambda x: places.append(x.data_ptr()) or x + 1, memory)
    computed(lambda x: places.append(x.data_ptr()) or x + 1, memory)
    assert places[0] == places[1]
    assert idle(memory) == SIZE


def test_memory_is_used_again_once_the_tensor_is_on_an_accelerator(memory, accelerator):
    moved = given(memory)
    moved.on(accelerator, "x")
    assert idle(memory) == SIZE
    moved.drop()
    assert idle(memory) == SIZE


def test_a_tensor_without_its_dimensions_leaves_its_memory_too(memory):
    DeviceTensor.from_guest([1], ElementType.FP32, memoryview(bytes(SIZE)), memory).drop()
    assert idle(memory) == SIZE


@pytest.mark.parametrize("output", [lambda x: x, lambda x: x[1:], lambda x: x.view(2, -1)])
def test_an_output_on_the_memory_of_an_input_keeps_it(output, memory, read):
    [(_, kept)] = computed(output, memory)
    others = [given(memory, 9) for _ in range(3)]
    assert read(kept) == b"\1" * kept.data().nbytes
    assert len(others) == 3


@pytest.mark.parametrize(
    "keep",
    [
        lambda x: x,
        lambda x: x.detach(),
        lambda x: x[:1],
        lambda x: x.view(torch.int32),
        lambda x: x.untyped_storage(),
        lambda x: x.numpy(),
        lambda x: memoryview(x.numpy()),
        torch.utils.dlpack.to_dlpack,
    ],
)
def test_memory_that_a_model_keeps_is_not_used_again(keep, memory):
    kept = []

    def model(x: torch.Tensor) -> torch.Tensor:
        kept.append((keep(x), x.data_ptr()))
        return x + 1

    computed(model, memory)
    [(_, place)] = kept
    assert idle(memory) == 0
    assert address(given(memory)) != place


def test_memory_that_a_scripted_model_keeps_is_not_used_again(memory, load):
    class Last(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = torch.zeros(LARGE)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before = self.last + 0
            self.last = x
            return before

    loaded = load(Last())
    if loaded.device != CPU:
        pytest.skip("the model keeps a copy on another device")
    context = ExecutionContext(loaded, memory)
    context.compute([("x", given(memory, 0))])
    context.compute([("x", given(memory, 1))])
    [(_, last)] = context.compute([("x", given(memory, 2))])
    assert set(torch.frombuffer(bytearray(b"\1" * SIZE), dtype=torch.float32).tolist()) == set(last._content().tolist())


def test_small_tensors_are_left_to_the_allocator(memory, watch):
    small = given(memory, size=1024)
    is_free = watch(small._content())
    small.drop()
    assert is_free()
    assert idle(memory) == 0


def test_outputs_of_graphs_are_left_to_the_allocator(memory, watch):
    [(_, output)] = computed(lambda x: x.repeat(2), memory)
    is_free = watch(output._content())
    output.drop()
    assert is_free()
    assert idle(memory) == SIZE


def test_the_end_of_a_session_frees_what_waits(part, memory, watch):
    left = given(memory)
    is_free = watch(left._content())
    left.drop()
    assert not is_free()
    part.close()
    assert is_free()
    assert idle(memory) == 0


def test_what_waits_goes_with_its_ledger(watch):
    memory = SessionMemory.of(Ledger())
    left = given(memory)
    is_free = watch(left._content())
    left.drop()
    del left, memory
    assert is_free()


def test_no_more_waits_than_the_limit_and_the_oldest_goes_first():
    staging = Staging(limit=3 * SIZE)
    tensors = {size: _tensor(staging, size) for size in (SIZE, SIZE + 4, SIZE - 4, SIZE - 8)}
    places = {size: tensor.data_ptr() for size, tensor in tensors.items()}
    for tensor in tensors.values():
        staging.reuse(tensor)
    del tensor, tensors
    assert staging.nbytes == 3 * SIZE - 8
    assert staging.storage(SIZE - 8).data_ptr() == places[SIZE - 8]
    assert staging.nbytes == 2 * SIZE


def test_nothing_waits_that_is_larger_than_the_limit():
    staging = Staging(limit=SIZE)
    staging.reuse(_tensor(staging, SIZE + 4))
    assert staging.nbytes == 0


def test_sizes_that_alternate_are_all_used_again():
    staging = Staging()
    places = set()
    for _ in range(5):
        for size in (SIZE, 2 * SIZE, 3 * SIZE):
            tensor = _tensor(staging, size)
            places.add(tensor.data_ptr())
            staging.reuse(tensor)
    assert len(places) == 3


def test_threads_get_memory_of_their_own():
    staging = Staging()

    def work(seed: int) -> bool:
        chance = random.Random(seed)
        for _ in range(300):
            tensors = [_tensor(staging, SIZE, seed) for _ in range(chance.randint(1, 4))]
            if not all(bool((tensor == seed).all()) for tensor in tensors):
                return False
            for tensor in tensors:
                staging.reuse(tensor)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 5)))


def test_a_tensor_alone_on_its_memory_is_its_sole_owner():
    tensor = torch.zeros(4)
    assert is_sole_owner(tensor)
    for other in (tensor.detach(), tensor[1:], tensor.untyped_storage(), tensor.numpy()):
        assert not is_sole_owner(tensor), other
    del other
    assert is_sole_owner(tensor)


def _tensor(staging: Staging, size: int, byte: int = 0) -> torch.Tensor:
    return torch.empty(0, dtype=torch.uint8).set_(staging.storage(size)).fill_(byte)


def test_memory_that_cannot_be_had_is_a_refusal(memory, monkeypatch):
    def full(_self, _shape, _dtype, size):
        raise RuntimeError(f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {size} bytes.")

    monkeypatch.setattr(Staging, "tensor", full)
    with pytest.raises(NnError, match="too-large: a new tensor of 8 bytes does not fit into the host's memory"):
        DeviceTensor.from_guest([2], ElementType.FP32, memoryview(bytes(8)), memory)
    assert memory.ledger.snapshot().places == {}


# --- pages of large tensors ---


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes back the pages of memory that is still allocated")
def test_the_pages_of_a_large_tensor_are_returned_unless_something_else_refers_to_it():
    shared = torch.ones(64 << 20, dtype=torch.uint8)
    other = shared.view(-1)
    free_pages(shared)
    assert bool(other.all())
    alone = torch.ones((64 << 20) + 8192, dtype=torch.uint8)
    free_pages(alone)
    assert int(alone.sum()) <= 2 * mmap.PAGESIZE
    small = torch.ones(1 << 20, dtype=torch.uint8)
    free_pages(small)
    assert bool(small.all())
