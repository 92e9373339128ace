"""The parts of resources that all versions of wasi-nn share; each version adds those that use its own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.serving import Serving
from wit_host import ByteSource, GuestLimit, GuestTrap

T = TypeVar("T")

#: The most dimensions of a tensor, in every version: each takes several times as much memory here as in the guest.
MOST_DIMENSIONS = 1024


class TensorResource:
    """`tensor.tensor`, except for its `ty`; `is_over` is whether it was dropped, taken or used up."""

    is_over = False

    def __init__(self, content: Tensor) -> None:
        self.content = content

    def dimensions(self) -> list[int]:
        """The size of each dimension, outermost first."""
        return list(self.content.dimensions)

    def data(self) -> ByteSource:
        """The elements, for the runtime to copy to the guest."""
        return self.content.data()

    def drop(self) -> None:
        """Free the memory, unless it has other holders; a second call does nothing."""
        self.is_over = True
        self.content.drop()


class GraphResource:
    """`graph.graph`, except for the type of its contexts."""

    def __init__(self, graph: Lease, serving: Serving) -> None:
        self._graph: Lease | None = graph
        self._serving = serving

    def new_context(self) -> Context:
        """Make the context for `init-execution-context`; raises NnError."""
        return self._serving.context(held(self._graph))

    def drop(self) -> None:
        """Release the graph."""
        self._graph = None


class ErrorResource:
    """`errors.error`, except for its `code`."""

    def __init__(self, kind: ErrorCode, text: str) -> None:
        self.kind = kind
        self._text = text

    def data(self) -> str:
        """The text of the error."""
        return self._text

    def drop(self) -> None:
        """Do nothing, since an error holds nothing."""


def new_content(serving: Serving, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
    """Make the tensor for the constructor of `tensor.tensor`; raises GuestTrap if there is no room for it.

    That is a GuestLimit if a limit of the session is the reason.
    """
    try:
        if len(dimensions) > MOST_DIMENSIONS:
            raise NnError(ErrorCode.TOO_LARGE, f"too many dimensions: {len(dimensions)} (limit {MOST_DIMENSIONS})")
        return serving.tensor(dimensions, dtype, data)
    except NnError as error:
        refusal = error
    serving.refusals.record("[constructor]tensor", refusal.code.value, refusal.text)
    text = f"the guest trapped in the constructor of a tensor, which cannot return an error: {refusal.text}"
    raise GuestTrap(text) if refusal.limit is None else GuestLimit(text, refusal.limit)


def content(item: object) -> Tensor:
    """The tensor of a resource that this host made; the caller uses it up."""
    if not isinstance(item, TensorResource):
        raise TypeError(f"expected a tensor resource of this host, not {type(item).__name__}")
    item.is_over = True
    return item.content


def require_passable(serving: Serving, item: object, is_second: bool) -> None:
    """Raise ValueError if an object is a tensor that the host must not pass to the guest of this session.

    That is a tensor of another session, one that is over, or one that the guest would own twice (`is_second`).
    """
    if not isinstance(item, TensorResource):
        return
    require_usable(item)
    serving.require_own(item.content)
    if is_second:
        raise ValueError("the guest already owns this tensor")


def require_usable(item: TensorResource) -> None:
    """Raise ValueError if a tensor is over."""
    if item.is_over:
        raise ValueError("this tensor was dropped, taken, or used up by a computation")


def held(item: T | None) -> T:
    """`item`, which is None after its resource was dropped; raises RuntimeError then."""
    if item is None:
        raise RuntimeError("this resource was dropped; the host must not use it any longer")
    return item
