"""`wasi:nn@0.2.0-rc-2024-10-28` as host functions: the only place that knows the names of this version."""

from __future__ import annotations

from wasi_nn_bindings import v2024_10_28 as bindings
from wasi_nn_bindings.v2024_10_28 import errors, graph, inference, tensor
from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.hosts.answering import answering
from wasi_nn_torch.hosts.resources import ErrorResource, GraphResource, TensorResource, content, held, new_content
from wasi_nn_torch.hosts.served import per_serving
from wasi_nn_torch.serving.serving import Serving
from wit_host import Linker

BUFFERS = bindings.BUFFERS

_answering = answering(lambda error: errors.ErrorException(_Error(error.code, error.text)))


def add_to_linker(linker: Linker) -> None:
    """Define every interface of this version, for stores whose data is `Served`."""
    host = per_serving(_Host)
    bindings.add_to_linker(linker, graph_host=host, tensor_host=host)


class _Host(graph.Host, tensor.Host):
    """The functions and constructors."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def new_tensor(self, dimensions: list[int], ty: tensor.TensorType, data: memoryview) -> tensor.Tensor:
        return Tensor(new_content(self._serving, dimensions, ElementType[ty.name], data))

    @_answering
    def load(
        self, builder: list[memoryview], encoding: graph.GraphEncoding, target: graph.ExecutionTarget
    ) -> graph.Graph:
        loaded = self._serving.load(builder, Encoding(encoding.value), ExecutionTarget(target.value))
        return _Graph(loaded, self._serving)

    @_answering
    def load_by_name(self, name: str) -> graph.Graph:
        return _Graph(self._serving.load_by_name(name), self._serving)


class _Graph(GraphResource, graph.Graph):
    """`graph.graph`."""

    @_answering
    def init_execution_context(self) -> inference.GraphExecutionContext:
        return _Context(self.new_context())


class _Context(inference.GraphExecutionContext):
    """`inference.graph-execution-context`."""

    def __init__(self, context: Context) -> None:
        self._context: Context | None = context

    @_answering
    def compute(self, inputs: list[tuple[str, tensor.Tensor]]) -> list[tuple[str, tensor.Tensor]]:
        outputs = held(self._context).compute([(name, content(item)) for name, item in inputs])
        return [(name, Tensor(output)) for name, output in outputs]

    def drop(self) -> None:
        self._context = None


class Tensor(TensorResource, tensor.Tensor):
    """`tensor.tensor`."""

    def ty(self) -> tensor.TensorType:
        """The type of the elements."""
        return tensor.TensorType[self.content.dtype.name]


class _Error(ErrorResource, errors.Error):
    """`errors.error`."""

    def code(self) -> errors.ErrorCode:
        return errors.ErrorCode(self.kind.value)
