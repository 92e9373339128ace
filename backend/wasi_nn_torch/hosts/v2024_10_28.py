"""`wasi:nn@0.2.0-rc-2024-10-28` over the backend: the only place that knows this version's names."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from wasi_nn_bindings import v2024_10_28 as bindings
from wasi_nn_bindings.v2024_10_28 import errors, graph, inference, tensor
from wasi_nn_torch.contract import Context, Graph, Tensor
from wasi_nn_torch.errors import ErrorCode, NnError
from wasi_nn_torch.serving import Serving
from wasi_nn_torch.vocabulary import ElementType, Encoding, ExecutionTarget
from wit_host import GuestTrap, Linker
from wit_host.transport import ByteSource

T = TypeVar("T")

BUFFERS = bindings.BUFFERS


def add_to_linker(linker: Linker, serving: Serving) -> None:
    """Define every interface of this version for one guest."""
    host = _Host(serving)
    bindings.add_to_linker(linker, graph_host=host, tensor_host=host)


class _Host(graph.Host, tensor.Host):
    """`graph.load`, `graph.load-by-name` and the constructor of `tensor.tensor`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def new_tensor(self, dimensions: list[int], ty: tensor.TensorType, data: memoryview) -> tensor.Tensor:
        try:
            return _Tensor(self._serving.tensor(dimensions, ElementType[ty.name], data))
        except NnError as error:
            refusal = error.text
        raise GuestTrap(f"the guest trapped in the constructor of a tensor, which cannot answer otherwise: {refusal}")

    def load(
        self, builder: list[memoryview], encoding: graph.GraphEncoding, target: graph.ExecutionTarget
    ) -> graph.Graph:
        with _ANSWERING:
            loaded = self._serving.load(builder, Encoding(encoding.value), ExecutionTarget(target.value))
            return _Graph(loaded, self._serving)

    def load_by_name(self, name: str) -> graph.Graph:
        with _ANSWERING:
            return _Graph(self._serving.load_by_name(name), self._serving)


class _Graph(graph.Graph):
    """`graph.graph`."""

    def __init__(self, graph: Graph, serving: Serving) -> None:
        self._graph: Graph | None = graph
        self._serving = serving

    def init_execution_context(self) -> inference.GraphExecutionContext:
        with _ANSWERING:
            return _Context(self._serving.context(_held(self._graph)))

    def drop(self) -> None:
        self._graph = None


class _Context(inference.GraphExecutionContext):
    """`inference.graph-execution-context`."""

    def __init__(self, context: Context) -> None:
        self._context: Context | None = context

    def compute(self, inputs: list[tuple[str, tensor.Tensor]]) -> list[tuple[str, tensor.Tensor]]:
        with _ANSWERING:
            outputs = _held(self._context).compute([(name, _content(item)) for name, item in inputs])
        return [(name, _Tensor(output)) for name, output in outputs]

    def drop(self) -> None:
        self._context = None


class _Tensor(tensor.Tensor):
    """`tensor.tensor`."""

    def __init__(self, content: Tensor) -> None:
        self.content = content

    def dimensions(self) -> list[int]:
        return list(self.content.dimensions)

    def ty(self) -> tensor.TensorType:
        return tensor.TensorType[self.content.dtype.name]

    def data(self) -> ByteSource:
        return self.content.data()

    def drop(self) -> None:
        self.content.drop()


class _Error(errors.Error):
    """`errors.error`."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        self._code = code
        self._text = text

    def code(self) -> errors.ErrorCode:
        return errors.ErrorCode(self._code.value)

    def data(self) -> str:
        return self._text

    def drop(self) -> None:
        """Holds nothing."""


class _Answering:
    """Answers a call with the `NnError` that the block raises; anything else traps the guest.

    A class, because a generator takes several times as long.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, NnError):
            raise errors.ErrorsError(_Error(error.code, error.text)) from None


_ANSWERING = _Answering()


def _content(item: tensor.Tensor) -> Tensor:
    if not isinstance(item, _Tensor):
        raise TypeError(f"a {type(item).__name__} is no tensor of this host")
    return item.content


def _held(item: T | None) -> T:
    if item is None:
        raise RuntimeError("this resource was dropped; the host must not use it any more")
    return item
