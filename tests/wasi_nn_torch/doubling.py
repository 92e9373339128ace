"""Another engine, without PyTorch: serves the encoding `onnx`, and knows one model, which doubles every element."""

from __future__ import annotations

import array
import os
from collections.abc import Sequence
from pathlib import Path

from wasi_nn_torch.contract import BackendOptions, ModelSource, NamedTensor, Tensor
from wasi_nn_torch.description import Contents, ModelDescription, ValueDescription
from wasi_nn_torch.errors import ErrorCode, ModelError, NnError, quote
from wasi_nn_torch.findings import Finding
from wasi_nn_torch.ledger import Ledger
from wasi_nn_torch.policy import ModelOptions
from wasi_nn_torch.vocabulary import ElementType, ExecutionTarget
from wit_host import write_bytes

MODEL = b"DOUBLE"
PLACE = "doubler"


class Elements:
    """What `data` returns: bytes that write themselves."""

    def __init__(self, elements: array.array) -> None:
        self._bytes = memoryview(elements).cast("B")
        self.nbytes = self._bytes.nbytes

    def write_into(self, destination: memoryview) -> None:
        destination[:] = self._bytes


class Doubled:
    """FP32 elements in an array of Python's."""

    dtype = ElementType.FP32

    def __init__(self, dimensions: tuple[int, ...], elements: array.array, ledger: Ledger) -> None:
        self.dimensions = dimensions
        self._elements = elements
        self._ledger = ledger
        self._is_held = True
        ledger.enter(self, PLACE, 4 * len(elements))

    def require_fit(self, name: str) -> None:
        """Always fits."""

    def data(self) -> Elements:
        return Elements(self._elements)

    def drop(self) -> None:
        if self._is_held:
            self._is_held = False
            self._ledger.leave(self, PLACE, 4 * len(self._elements))

    def __del__(self) -> None:
        self.drop()


class Context:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        try:
            return [(f"twice {name}", self._double(name, tensor)) for name, tensor in inputs]
        finally:
            for _, tensor in inputs:
                tensor.drop()

    def _double(self, name: str, tensor) -> Doubled:
        tensor.require_fit(name)
        if tensor.dtype is not ElementType.FP32:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {tensor.dtype.spelling}")
        source = tensor.data()
        content = bytearray(source.nbytes)
        write_bytes(source, memoryview(content))
        doubled = array.array("f", (2 * element for element in memoryview(content).cast("f")))
        return Doubled(tensor.dimensions, doubled, self._ledger)


class Graph:
    nbytes = len(MODEL)

    def context(self, ledger: Ledger) -> Context:
        return Context(ledger)


class Doubling:
    def __init__(self, options: BackendOptions) -> None:
        self.options = options
        self.device = PLACE

    def find_device(self, device: str) -> str:
        if device != PLACE:
            raise ValueError(f"there is no {device} for doubling")
        return device

    def recognize(self, model: ModelSource) -> str | None:
        if isinstance(model, (str, os.PathLike)):
            model = Path(model).read_bytes()
        return "a doubler" if model == MODEL else None

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        if self.recognize(path) is None:
            raise ModelError(f"{name} doubles nothing")
        return ModelDescription("a doubler", None, Contents((ValueDescription("any", "tensor", "FP32"),)))

    def diagnose(self) -> list[Finding]:
        return [Finding("doubler", "it doubles")]

    def load(self, model: ModelSource, device: str, name: str, options: ModelOptions) -> Graph:
        if self.recognize(model) is None:
            raise ModelError(f"{name} doubles nothing")
        return Graph()

    def load_from_guest(self, builders: Sequence[memoryview], target: ExecutionTarget, ledger: Ledger) -> Graph:
        if b"".join(builders) != MODEL:
            raise NnError(ErrorCode.INVALID_ENCODING, "the model doubles nothing")
        return Graph()

    def trim(self) -> None:
        """Keeps nothing."""

    def tensor(self, *_: object) -> Tensor:
        raise NotImplementedError("only the default backend is asked for tensors")
