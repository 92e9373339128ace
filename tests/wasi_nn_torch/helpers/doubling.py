"""Another engine, on NumPy: serves the encoding `openvino`, and knows one model, which doubles every element."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wasi_nn_torch.contract import (
    BackendOptions,
    Contents,
    ElementType,
    ErrorCode,
    ExecutionTarget,
    Finding,
    Ledger,
    ModelDescription,
    ModelError,
    ModelOptions,
    ModelSource,
    NamedTensor,
    NnError,
    SharesMemory,
    Tensor,
    ValueDescription,
    quote,
    read_bytes,
)

MODEL = b"DOUBLE"
PLACE = "doubler"


class Elements:
    """Bytes that write themselves, as `Tensor.data` returns them."""

    def __init__(self, array: np.ndarray) -> None:
        self._bytes = memoryview(array).cast("B")
        self.nbytes = self._bytes.nbytes

    def write_into(self, destination: memoryview) -> None:
        destination[:] = self._bytes


class Doubled(Tensor):
    """FP32 elements in an array of NumPy, whose memory other engines may read in place."""

    dtype = ElementType.FP32

    def __init__(self, array: np.ndarray, session: Session) -> None:
        self._array = array
        self._session = session
        self._is_held = True
        session.ledger.enter(self, PLACE, array.nbytes)

    @property
    def origin(self) -> object:
        return self._session

    @property
    def dimensions(self) -> tuple[int, ...]:
        return self._array.shape

    @property
    def array(self) -> np.ndarray:
        if not self._is_held:
            raise RuntimeError("this tensor was dropped")
        return self._array

    def require_fit(self, name: str) -> None:
        """Always fits."""

    def data(self) -> Elements:
        return Elements(self.array)

    def __dlpack__(self, **options) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def drop(self) -> None:
        if self._is_held:
            self._is_held = False
            self._session.ledger.leave(self, PLACE, self._array.nbytes)
            self._array = np.empty(0, np.float32)

    def __del__(self) -> None:
        self.drop()


class Graph:
    nbytes = len(MODEL)


class Context:
    def __init__(self, session: Session) -> None:
        self._session = session

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        try:
            return [(f"twice {name}", self._double(name, tensor)) for name, tensor in inputs]
        finally:
            for _, tensor in inputs:
                tensor.drop()

    def _double(self, name: str, tensor: Tensor) -> Doubled:
        tensor.require_fit(name)
        if tensor.dtype is not ElementType.FP32:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {tensor.dtype.spelling}")
        return Doubled(2 * self._array(tensor.content), self._session)

    def _array(self, tensor: Tensor) -> np.ndarray:
        if tensor.origin is self._session:
            return tensor.array
        if isinstance(tensor, SharesMemory) and tensor.__dlpack_device__()[0] == 1:  # the CPU
            self._session.read_in_place += 1
            return np.from_dlpack(tensor)
        return np.frombuffer(read_bytes(tensor), np.float32).reshape(tensor.dimensions)


class Session:
    idle_bytes = 0

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.read_in_place = 0

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> Graph:
        if b"".join(builders) != MODEL:
            raise NnError(ErrorCode.INVALID_ENCODING, "the model doubles nothing")
        return Graph()

    def context(self, graph: Graph) -> Context:
        return Context(self)

    def close(self) -> None:
        """Keeps nothing."""


class Plain:
    """The backend, with only the methods that every backend has."""

    def __init__(self, options: BackendOptions) -> None:
        self.options = options
        self.device = PLACE

    def find_device(self, device: str) -> str:
        if device != PLACE:
            raise ValueError(f"there is no {device} for doubling")
        return device

    def recognize(self, model: ModelSource) -> str | None:
        if isinstance(model, str | os.PathLike):
            model = Path(model).read_bytes()
        return "a doubler" if model == MODEL else None

    def load(
        self, model: ModelSource, device: str, name: str, options: ModelOptions, format: str | None = None
    ) -> Graph:
        if format is None and self.recognize(model) is None:
            raise ModelError(f"{name} doubles nothing")
        return Graph()

    def session(self, ledger: Ledger) -> Session:
        return Session(ledger)


class Doubling(Plain):
    """The backend, with the methods for people too."""

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        if self.recognize(path) is None:
            raise ModelError(f"{name} doubles nothing")
        return ModelDescription("a doubler", None, Contents((ValueDescription("any", "tensor", "FP32"),)))

    def diagnose(self) -> list[Finding]:
        return [Finding("doubler", "it doubles")]
