"""Guest-supplied models in a worker: they compute as in this process, and whatever they do stays there."""

from __future__ import annotations

import io
import os
import resource
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING, Ledger, Transfer
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.vocabulary import ElementType, ExecutionTarget
from wasi_nn_torch.pytorch import PyTorch
from wasi_nn_torch.pytorch.isolation.tensors import WorkerTensor
from wasi_nn_torch.workers.confinement import lacking
from wit_host import GuestTrap

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}"),
]

#: Small enough for a message, and large enough for a block.
SIZES = [4, 100_000]


class Add(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


class AddInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(1)


class Same(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Pair(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"sum": x + y, "scalar": x.sum(), "none": x[:0]}


class Crash(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        n = x.size(0)
        return x + n % (n - n)


class Loop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        while True:
            x = x + 1
        return x


class Grow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(64 << 20)


class Weights(nn.Module):
    def __init__(self, megabytes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(megabytes << 18))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[0]


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x + self.count


def archive(module: nn.Module) -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def backend():
    return PyTorch(BackendOptions("cpu", GuestModels.ISOLATED))


class Guest:
    """A session, used as a guest uses it."""

    def __init__(self, backend: PyTorch, **limits: int) -> None:
        self.ledger = Ledger(**limits)
        self.session = backend.session(self.ledger)

    def context(self, model: nn.Module | bytes):
        data = model if isinstance(model, bytes) else archive(model)
        return self.session.context(self.session.load([memoryview(data)], ExecutionTarget.CPU))

    def tensor(self, values: Tensor, dtype: ElementType = ElementType.FP32):
        data = memoryview(values.contiguous().view(torch.uint8).numpy() if values.numel() else b"").cast("B")
        return self.session.tensor(values.shape, dtype, data)

    @property
    def worker(self):
        return self.session._worker

    @property
    def bytes(self) -> int:
        return self.ledger.snapshot().live_bytes


@pytest.fixture
def guest(backend):
    guests: list[Guest] = []

    def make(**limits: int) -> Guest:
        guests.append(Guest(backend, **limits))
        return guests[-1]

    yield make
    for each in guests:
        each.ledger.sweep()
        each.session.close()


def elements(tensor) -> bytes:
    source = tensor.data()
    content = bytearray(source.nbytes)
    source.write_into(memoryview(content))
    return bytes(content)


def floats(tensor) -> Tensor:
    content = bytearray(elements(tensor))
    return torch.frombuffer(content, dtype=torch.float32) if content else torch.empty(0)


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty"))


# --- what crosses ---


@pytest.mark.parametrize("size", SIZES)
def test_outputs_are_those_of_the_model(guest, size):
    one = guest()
    context = one.context(Pair())
    x, y = torch.rand(size), torch.rand(size)
    outputs = dict(context.compute([("x", one.tensor(x)), ("y", one.tensor(y))]))
    assert list(outputs) == ["sum", "scalar", "none"]
    assert torch.equal(floats(outputs["sum"]), x + y)
    assert outputs["sum"].dimensions == (size,)
    assert floats(outputs["scalar"]).item() == pytest.approx(x.sum().item())
    assert outputs["scalar"].dimensions == (1,)
    assert outputs["none"].dimensions == (0,)
    assert elements(outputs["none"]) == b""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ElementType, ids=lambda dtype: dtype.spelling)
def test_every_type_crosses_bit_by_bit(guest, dtype, size):
    one = guest()
    content = os.urandom(size * dtype.item_size)
    tensor = one.session.tensor([size], dtype, memoryview(content))
    [(_, output)] = one.context(Same()).compute([("x", tensor)])
    assert output.dtype is dtype
    assert elements(output) == content


def test_a_large_input_is_in_memory_that_the_worker_reads_in_place(guest):
    one = guest()
    context = one.context(Add())
    tensor = one.tensor(torch.zeros(100_000))
    assert one.worker.block_at(tensor.address) is not None
    [(_, output)] = context.compute([("x", tensor)])
    assert isinstance(output, WorkerTensor), "a large output stays in the worker until it is read"
    assert one.ledger.snapshot().transfers[Transfer.GUEST_TO_HOST].copies == 1


def test_a_tensor_that_was_made_before_the_worker_is_copied_to_it(guest):
    one = guest()
    x = torch.rand(100_000)
    early = one.tensor(x)
    [(_, output)] = one.context(Add()).compute([("x", early)])
    assert torch.equal(floats(output), x + 1)


def test_an_output_goes_into_the_next_computation_without_leaving_the_worker(guest):
    one = guest()
    context = one.context(Add())
    tensor = one.tensor(torch.zeros(100_000))
    for _ in range(5):
        [(_, tensor)] = context.compute([("x", tensor)])
    assert isinstance(tensor, WorkerTensor)
    assert torch.equal(floats(tensor), torch.full((100_000,), 5.0))
    assert one.bytes == 400_000


@pytest.mark.parametrize("size", SIZES)
def test_a_model_that_writes_to_its_input_does_not_change_one_that_is_kept(guest, size):
    one = guest()
    context = one.context(AddInPlace())
    kept = Share.of(one.tensor(torch.zeros(size)))
    for _ in range(2):
        [(_, output)] = context.compute([("x", kept.another())])
        assert torch.equal(floats(output), torch.ones(size))
    held = Share.of(output)
    [(_, again)] = context.compute([("x", held.another())])
    assert torch.equal(floats(again), torch.full((size,), 2.0))
    assert torch.equal(floats(held), torch.ones(size))
    assert torch.equal(floats(kept), torch.zeros(size))


@pytest.mark.parametrize("size", SIZES)
def test_an_output_that_is_the_input_has_memory_of_its_own(guest, size):
    one = guest()
    context = one.context(Same())
    [(_, first)] = context.compute([("x", one.tensor(torch.ones(size)))])
    [(_, second)] = context.compute([("x", one.tensor(torch.zeros(size)))])
    assert torch.equal(floats(first), torch.ones(size))
    assert torch.equal(floats(second), torch.zeros(size))


@pytest.mark.parametrize("size", SIZES)
def test_tensors_go_from_registered_graphs_to_isolated_ones_and_back(backend, guest, size):
    one = guest()
    registered = one.session.context(backend.load(Add(), "cpu", "net", ModelOptions()))
    isolated = one.context(Add())
    tensor = one.tensor(torch.zeros(size))
    for context in (registered, isolated, registered, isolated):
        [(_, tensor)] = context.compute([("x", tensor)])
    assert torch.equal(floats(tensor), torch.full((size,), 4.0))


def test_each_context_has_its_own_state(guest):
    one = guest()
    graph = one.session.load([memoryview(archive(Counting()))], ExecutionTarget.CPU)
    first, second = one.session.context(graph), one.session.context(graph)
    outputs = [context.compute([("x", one.tensor(torch.zeros(1)))])[0][1] for context in (first, first, second)]
    assert [floats(output).item() for output in outputs] == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("inputs", "code", "text"),
    [
        (["x"], ErrorCode.INVALID_ARGUMENT, "missing: `y`"),
        (["x", "y", "z"], ErrorCode.INVALID_ARGUMENT, "`z`"),
        (["x", "y", "\ud800"], ErrorCode.INVALID_ARGUMENT, "unknown"),
    ],
)
def test_errors_are_those_of_the_model(guest, inputs, code, text):
    one = guest()
    context = one.context(Pair())
    with pytest.raises(NnError, match=text) as caught:
        context.compute([(name, one.tensor(torch.zeros(2))) for name in inputs])
    assert caught.value.code is code
    assert one.bytes == 0


class Many(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x for _ in range(5000)]


class Deep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.expand([1] * 100 + [4])


class LongName(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        name = "n"
        for _ in range(13):
            name = name + name
        return {name: x}


@pytest.mark.parametrize(("model", "text"), [(Many, "5000 outputs"), (Deep, "101 dimensions"), (LongName, "8192 char")])
def test_outputs_that_no_answer_can_have_are_refused(guest, model, text):
    one = guest()
    context = one.context(model())
    with pytest.raises(NnError, match=text) as caught:
        context.compute([("x", one.tensor(torch.zeros(4)))])
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION
    assert not one.worker.has_ended


def test_a_model_that_does_not_pass_the_check_is_refused_in_the_worker(guest):
    class Saves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            torch.save(x, "stolen")
            return x

    with pytest.raises(NnError, match=r"torch\.save") as caught:
        guest().context(Saves())
    assert caught.value.code is ErrorCode.SECURITY


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04" + bytes(100)])
def test_bytes_that_are_not_a_model_are_refused(guest, content):
    with pytest.raises(NnError) as caught:
        guest().context(content)
    assert caught.value.code is ErrorCode.INVALID_ENCODING


# --- what a model does stays in the worker ---


def test_a_crash_is_an_error_of_its_guest_alone(guest):
    other, one = guest(), guest()
    unharmed = other.context(Add())
    context = one.context(Crash())
    pid = one.worker.pid
    with pytest.raises(NnError, match=r"ended \(SIGFPE\) while computing") as caught:
        context.compute([("x", one.tensor(torch.zeros(4, 4)))])
    assert caught.value.code is ErrorCode.RUNTIME_ERROR
    assert not is_running(pid)
    [(_, output)] = unharmed.compute([("x", other.tensor(torch.zeros(2)))])
    assert torch.equal(floats(output), torch.ones(2))


def test_a_worker_that_is_killed_is_an_error_of_its_guest(guest):
    one = guest()
    context = one.context(Loop())
    threading.Timer(0.3, os.kill, (one.worker.pid, signal.SIGKILL)).start()
    with pytest.raises(NnError, match=r"ended \(SIGKILL\) while computing"):
        context.compute([("x", one.tensor(torch.zeros(100_000)))])
    del context
    assert one.bytes == 0


def test_a_guest_that_ends_many_workers_gets_no_more(guest):
    one = guest()
    model = archive(Crash())
    for _ in range(16):
        with pytest.raises(NnError, match="SIGFPE"):
            one.context(model).compute([("x", one.tensor(torch.zeros(4)))])
    with pytest.raises(NnError, match="have ended 16 processes; it may load no more"):
        one.context(model)


def test_after_a_crash_models_can_be_loaded_again(guest):
    one = guest()
    add, crash = one.context(Add()), one.context(Crash())
    [(_, small)] = add.compute([("x", one.tensor(torch.zeros(2)))])
    [(_, large)] = add.compute([("x", one.tensor(torch.zeros(100_000)))])
    kept = one.tensor(torch.zeros(100_000))
    with pytest.raises(NnError, match="SIGFPE"):
        crash.compute([("x", one.tensor(torch.zeros(4)))])
    with pytest.raises(NnError, match=r"has ended \(SIGFPE\); load them again"):
        add.compute([("x", one.tensor(torch.zeros(4)))])
    assert torch.equal(floats(small), torch.ones(2)), "what is in the host is not lost"
    with pytest.raises(GuestTrap, match="the tensor is lost"):
        large.data()
    large.drop()
    [(_, output)] = one.context(Add()).compute([("x", kept)])
    assert torch.equal(floats(output), torch.ones(100_000))
    output.drop()
    small.drop()
    assert one.ledger.snapshot().live_tensors == 0


def test_a_loop_ends_with_the_time_of_the_guest(guest):
    one = guest()
    context = one.context(Loop())
    pid = one.worker.pid
    one.ledger.deadline.start(0.3)
    started = time.monotonic()
    with pytest.raises(NnError) as caught:
        context.compute([("x", one.tensor(torch.zeros(1)))])
    assert caught.value.code is ErrorCode.TIMEOUT
    assert not is_running(pid)
    assert time.monotonic() - started < 10


def test_a_loop_ends_when_the_guest_is_cancelled(guest):
    one = guest()
    context = one.context(Loop())
    threading.Timer(0.2, one.ledger.deadline.cancel).start()
    with pytest.raises(NnError) as caught:
        context.compute([("x", one.tensor(torch.zeros(1)))])
    assert caught.value.code is ErrorCode.TIMEOUT
    assert one.worker.has_ended


def test_other_threads_run_while_a_worker_computes(guest):
    one = guest()
    context = one.context(Loop())
    one.ledger.deadline.start(1.0)
    gaps, is_over = [0.0], threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not is_over.wait(0.001):
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises(NnError):
        context.compute([("x", one.tensor(torch.zeros(1)))])
    is_over.set()
    thread.join()
    assert len(gaps) > 20, "the host's other threads were held up"


def test_memory_ends_at_the_limit_of_the_session(guest):
    one = guest(device_limit=64 << 20)
    context = one.context(Grow())
    with pytest.raises(NnError) as caught:
        context.compute([("x", one.tensor(torch.zeros(64)))])  # 16 GiB
    assert caught.value.code is ErrorCode.TOO_LARGE
    [(_, output)] = one.context(Add()).compute([("x", one.tensor(torch.zeros(2)))])
    assert torch.equal(floats(output), torch.ones(2))


def test_a_model_that_is_larger_than_the_limit_is_refused(guest):
    one = guest(device_limit=8 << 20)
    with pytest.raises(NnError, match="the model needs") as caught:
        one.context(Weights(16))
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert one.worker is None


def test_a_model_that_this_host_has_no_room_for_is_refused_and_others_are_not(guest):
    one = guest()
    one.context(Add())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(NnError, match=r"cannot copy a model of \d+ bytes to the process that loads it") as refused:
            one.context(Add())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.code is ErrorCode.TOO_LARGE
    one.context(Add())


def test_outputs_count_for_the_limits_of_the_session(guest):
    one = guest(device_limit=600_000, tensor_limit=3)
    context = one.context(Add())
    [(_, first)] = context.compute([("x", one.tensor(torch.zeros(100_000)))])
    with pytest.raises(NnError) as caught:
        context.compute([("x", one.tensor(torch.zeros(100_000)))])
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert one.ledger.snapshot().live_tensors == 1
    first.drop()
    [(_, again)] = context.compute([("x", one.tensor(torch.zeros(100_000)))])
    assert again.dimensions == (100_000,)


# --- freed when it is dropped ---


def test_dropping_an_output_frees_the_memory_of_the_worker(guest):
    one = guest()
    context = one.context(Add())
    [(_, output)] = context.compute([("x", one.tensor(torch.zeros(16 << 20)))])
    before = private_bytes(one.worker.pid)
    assert one.bytes == 64 << 20
    output.drop()
    assert one.bytes == 0
    context.compute([("x", one.tensor(torch.zeros(1)))])  # which is answered after the drop
    assert before - private_bytes(one.worker.pid) > 60 << 20


def test_dropping_a_graph_and_its_contexts_frees_the_weights(guest):
    one = guest()
    other = one.context(Add())
    graph = one.session.load([memoryview(archive(Weights(64)))], ExecutionTarget.CPU)
    context = one.session.context(graph)
    [(_, output)] = context.compute([("x", one.tensor(torch.zeros(1)))])
    output.drop()
    before = private_bytes(one.worker.pid)
    assert one.bytes == 64 << 20
    del graph, context
    assert one.bytes == 0
    other.compute([("x", one.tensor(torch.zeros(1)))])
    assert before - private_bytes(one.worker.pid) > 60 << 20


def test_closing_the_session_ends_the_worker_and_frees_everything(guest):
    one = guest()
    context = one.context(Weights(1))
    left = context.compute([("x", one.tensor(torch.zeros(100_000)))])
    kept = one.tensor(torch.zeros(100_000))
    pid = one.worker.pid
    one.ledger.sweep()
    one.session.close()
    assert not is_running(pid)
    del context, left, kept
    assert one.bytes == 0


def test_many_sessions_leave_nothing(backend, guest):
    model = archive(Add())

    def session() -> None:
        one = Guest(backend)
        context = one.context(model)
        [(_, output)] = context.compute([("x", one.tensor(torch.zeros(100_000)))])
        output.drop()
        one.session.close()

    session()
    descriptors, mappings = len(os.listdir("/proc/self/fd")), Path("/proc/self/maps").read_text().count("wasi-nn-torch")
    for _ in range(30):
        session()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert Path("/proc/self/maps").read_text().count("wasi-nn-torch") == mappings


def test_many_large_tensors_take_no_descriptors(guest):
    one = guest()
    context = one.context(Add())
    before = len(os.listdir("/proc/self/fd"))
    tensors = [one.tensor(torch.full((20_000,), float(number))) for number in range(200)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert one.ledger.snapshot().places[STAGING].tensors == 200
    [(_, output)] = context.compute([("x", tensors.pop())])
    assert torch.equal(floats(output), torch.full((20_000,), 200.0))
    for tensor in tensors:
        tensor.drop()


def test_sessions_in_threads_have_workers_of_their_own(backend):
    model = archive(Counting())
    pids, failures = set(), []

    def run() -> None:
        try:
            one = Guest(backend)
            context = one.context(model)
            pids.add(one.worker.pid)
            for expected in (1.0, 2.0, 3.0):
                [(_, output)] = context.compute([("x", one.tensor(torch.zeros(50_000)))])
                assert floats(output)[0].item() == expected
                output.drop()
            one.session.close()
        except BaseException as error:  # noqa: BLE001  # reported by the test
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(pids) == 6
