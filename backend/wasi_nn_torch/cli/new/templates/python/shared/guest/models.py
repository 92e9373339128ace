"""The models of the host, through wasi-nn; its errors are exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from componentize_py_types import Err
from tensors import Tensor
from wit_world.imports import graph, tensor
from wit_world.imports.tensor import TensorType


class ModelError(Exception):
    """The host refused a call: `code` is a code of wasi-nn, such as "invalid-argument", and `data` says why."""

    def __init__(self, code: str, data: str) -> None:
        super().__init__(f"{code}: {data}")
        self.code, self.data = code, data


class Model:
    """A model that the host offers under a name; use it in a `with` block. Raises `ModelError`."""

    def __init__(self, name: str) -> None:
        with _model_errors():
            self._graph = graph.load_by_name(name)
            self._context = self._graph.init_execution_context()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)
        self._graph.__exit__(kind, error, trace)

    def compute(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the model once: named inputs, each of them whatever `Tensor.of` takes, to named outputs."""
        values = {name: Tensor.of(value) for name, value in inputs.items()}
        named = [(name, passed(value)) for name, value in values.items()]
        with _model_errors():
            outputs = self._context.compute(named)
        return {name: taken(output) for name, output in outputs}


def passed(value: Tensor) -> tensor.Tensor:
    """A tensor of the host with a copy of these elements."""
    return tensor.Tensor(list(value.shape), TensorType[value.dtype], value.data)


def taken(handle: tensor.Tensor) -> Tensor:
    """Copy a tensor from the host, and free it there."""
    with handle:
        return Tensor(handle.data(), handle.ty().name, tuple(handle.dimensions()))


@contextmanager
def _model_errors() -> Iterator[None]:
    """Raise the errors of wasi-nn as `ModelError`."""
    try:
        yield
    except Err as refusal:
        with refusal.value as error:
            raise ModelError(error.code().name.lower().replace("_", "-"), error.data()) from None
