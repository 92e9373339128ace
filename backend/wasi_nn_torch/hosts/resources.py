"""What the resources of every version of wasi-nn have in common; a version adds what has types of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.serving import Serving
from wit_host import ByteSource, GuestTrap

T = TypeVar("T")


class TensorResource:
    """`tensor.tensor`, but for its `ty`."""

    def __init__(self, content: Tensor) -> None:
        self.content = content

    def dimensions(self) -> list[int]:
        """The size of each dimension, outermost first."""
        return list(self.content.dimensions)

    def data(self) -> ByteSource:
        """The elements, which are copied to the guest."""
        return self.content.data()

    def drop(self) -> None:
        """Free the memory, unless somebody else holds it too."""
        self.content.drop()


class GraphResource:
    """`graph.graph`, but for the context that it makes."""

    def __init__(self, graph: Lease, serving: Serving) -> None:
        self._graph: Lease | None = graph
        self._serving = serving

    def new_context(self) -> Context:
        """What `init-execution-context` answers with; raises NnError."""
        return self._serving.context(held(self._graph))

    def drop(self) -> None:
        """Let go of the graph."""
        self._graph = None


class ErrorResource:
    """`errors.error`, but for its `code`."""

    def __init__(self, kind: ErrorCode, text: str) -> None:
        self.kind = kind
        self._text = text

    def data(self) -> str:
        """What happened, in words."""
        return self._text

    def drop(self) -> None:
        """Holds nothing."""


def new_content(serving: Serving, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
    """What the constructor of `tensor.tensor` makes; raises GuestTrap where there is no room for it."""
    try:
        return serving.tensor(dimensions, dtype, data)
    except NnError as error:
        refusal = error
    serving.refusals.record("[constructor]tensor", refusal.code.value, refusal.text)
    raise GuestTrap(f"the guest trapped in the constructor of a tensor, which cannot answer otherwise: {refusal.text}")


def content(item: object) -> Tensor:
    """The tensor behind a resource of this host."""
    if not isinstance(item, TensorResource):
        raise TypeError(f"a {type(item).__name__} is no tensor of this host")
    return item.content


def held(item: T | None) -> T:
    """`item`, which is None once its resource was dropped."""
    if item is None:
        raise RuntimeError("this resource was dropped; the host must not use it any more")
    return item
