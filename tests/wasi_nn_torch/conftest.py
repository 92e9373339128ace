"""Fixtures of the backend's tests, which run once on each device: see the option `--device`."""

import gc
import io
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from tests import simulated
from tests.wasi_nn_torch.helpers.guest_models import Small, scripted
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.pytorch.devices import CPU, Devices
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph, load_from_guest
from wasi_nn_torch.pytorch.session import PyTorchSession
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """Where graphs run: what `--device` says, with an index if it is an accelerator."""
    name = pytestconfig.getoption("device")
    return CPU if name == "cpu" else torch.device(name, 0)


@pytest.fixture(scope="session")
def accelerator(device: torch.device) -> torch.device:
    """The device, which is not the CPU."""
    assert device != CPU, "what asks for an accelerator is left out on the CPU"
    return device


@pytest.fixture(scope="session")
def neighbour(accelerator: torch.device) -> torch.device:
    """Another device of the same kind."""
    if torch.accelerator.device_count() < 2:
        pytest.skip("needs two accelerators: pytest --device=simulated")
    return torch.device(accelerator.type, 1)


@pytest.fixture
def simulator(accelerator: torch.device) -> ModuleType:
    """What counts the copies of a device, and limits its memory; it begins to count now."""
    if accelerator.type != simulated.NAME:
        pytest.skip("needs a device that counts its copies: pytest --device=simulated")
    simulated.reset()
    return simulated


@pytest.fixture
def allocated(accelerator: torch.device) -> Callable[[], int]:
    """Bytes that are in use on the accelerator, as its own allocator says."""
    return lambda: torch.accelerator.memory_allocated(accelerator)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def part(ledger: Ledger, device: torch.device) -> PyTorchSession:
    """PyTorch's part of the session of the ledger."""
    return PyTorchSession(ledger, Devices(device), pinned=False, checks=True)


@pytest.fixture
def memory(part: PyTorchSession) -> SessionMemory:
    """The memory of that session."""
    return part.memory


@pytest.fixture
def tensor(memory: SessionMemory) -> Callable[[torch.Tensor], DeviceTensor]:
    """Make the tensor that a guest makes when it hands over the bytes of this one."""

    def make(content: torch.Tensor) -> DeviceTensor:
        data = memoryview(raw(content))
        return DeviceTensor.from_guest(list(content.shape), ELEMENT_TYPES[content.dtype], data, memory)

    return make


@pytest.fixture
def read() -> Callable[[DeviceTensor], bytes]:
    """Read a tensor's bytes as a guest does."""

    def download(source: DeviceTensor) -> bytes:
        data = source.data()
        destination = bytearray(data.nbytes)
        data.write_into(memoryview(destination))
        return bytes(destination)

    return download


@pytest.fixture
def values(read: Callable[[DeviceTensor], bytes]) -> Callable[[DeviceTensor], list]:
    """Read a tensor's elements, flat."""

    def elements(source: DeviceTensor) -> list:
        data = bytearray(read(source))
        return torch.frombuffer(data, dtype=DTYPES[source.dtype]).tolist() if data else []

    return elements


@pytest.fixture
def script() -> Callable[[torch.nn.Module], bytes]:
    """Save a module as TorchScript."""

    def save(module: torch.nn.Module) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            file = io.BytesIO()
            torch.jit.save(torch.jit.script(module), file)
        return file.getvalue()

    return save


@pytest.fixture
def load(script: Callable[[torch.nn.Module], bytes], device: torch.device) -> Callable[[torch.nn.Module], Graph]:
    """Load a module on the device as a guest's TorchScript."""
    return lambda module: load_from_guest(script(module), device)


@pytest.fixture
def context(
    load: Callable[[torch.nn.Module], Graph], memory: SessionMemory
) -> Callable[[torch.nn.Module], ExecutionContext]:
    """Make a context for a module that was saved and loaded as TorchScript."""
    return lambda module: ExecutionContext(load(module), memory)


@pytest.fixture
def no_gc() -> Iterator[None]:
    """Keep the garbage collector away, so that only reference counts free anything."""
    gc.collect()
    gc.freeze()  # what is alive now, PyTorch above all, need not be looked at before each test
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def watch() -> Callable[[torch.Tensor], Callable[[], bool]]:
    """Return a function that tells whether a tensor's memory is free by now; it does not keep the memory alive."""
    return lambda watched: StorageWeakRef(watched.untyped_storage()).expired


@pytest.fixture(scope="session")
def small() -> bytes:
    """The archive of a small model."""
    return scripted(Small())


def raw(content: torch.Tensor) -> bytes:
    """Return the elements of a tensor as bytes, in row-major order."""
    return bytes(content.contiguous().flatten().view(torch.uint8).tolist())
