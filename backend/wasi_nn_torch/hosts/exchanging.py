"""Tensors that the host makes for a guest, and takes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from wasi_nn_torch.contract.arguments import require_text
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.tensor import Tensor, TensorSource
from wasi_nn_torch.hosts import VERSIONS, v2024_06_25, v2024_08_19, v2024_10_28
from wasi_nn_torch.hosts.resources import TensorResource, require_usable
from wasi_nn_torch.serving.serving import Serving
from wit_host import Bytes, GuestError, GuestLimit

T = TypeVar("T")

#: The tensors that this host makes, in all versions.
HostTensor = v2024_06_25.Tensor | v2024_08_19.Tensor | v2024_10_28.Tensor

_RESOURCES: Final[dict[str, Callable[[Tensor], HostTensor]]] = {
    adapter.__name__.rpartition(".v")[2].replace("_", "-"): adapter.Tensor for adapter in VERSIONS
}


class AnyTensor(Protocol):
    """The resource `tensor.tensor`, as the bindings of any version declare it."""

    def dimensions(self) -> list[int]:
        """The size of each dimension, outermost first."""
        ...

    def data(self) -> Bytes:
        """The elements."""
        ...

    def drop(self) -> None:
        """Release the resource."""
        ...


def new_tensor(
    serving: Serving, source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object, version: str
) -> HostTensor:
    """Make a tensor in a session for a guest of a `version` of wasi-nn, and raise as `Session.tensor` does."""
    resource = _RESOURCES.get(require_text("`version`", version))
    if resource is None:
        raise ValueError(f"there is no version {version!r} of wasi-nn; choose one of {', '.join(_RESOURCES)}")
    return resource(_new_content(serving, source, dimensions, dtype))


def take(serving: Serving, item: AnyTensor, is_held: Callable[[object], bool]) -> object:
    """Take a tensor out of a session, as a tensor of the default backend's engine, and raise as `Session.take` does.

    `is_held` is whether the guest has a handle of an object.
    """
    return _taken(serving, item, is_held, serving.take)


def take_elements(serving: Serving, item: AnyTensor, is_held: Callable[[object], bool]) -> Elements:
    """Take the elements of a tensor out of a session, and raise as `take` does."""
    return _taken(serving, item, is_held, serving.elements)


def _taken(serving: Serving, item: AnyTensor, is_held: Callable[[object], bool], read: Callable[[Tensor], T]) -> T:
    if not isinstance(item, TensorResource):
        raise TypeError(f"a tensor of wasi-nn is needed, not {type(item).__name__}")
    if is_held(item):
        raise ValueError("the guest has this tensor; take it after the guest has returned it")
    require_usable(item)
    try:
        serving.require_own(item.content)
        item.content.require_fit("that is taken")
        item.is_over = True
        return read(item.content)
    except NnError as error:
        reason = error.text  # not the error, since that and this frame would keep each other alive
    if item.is_over:
        raise GuestError(f"the tensor is lost: {reason}")
    raise ValueError(reason)


def _new_content(
    serving: Serving, source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object
) -> Tensor:
    try:
        return serving.wrap(source, dimensions, dtype)
    except NnError as error:
        reason, limit = error.text, error.limit
    if limit is not None:
        raise GuestLimit(reason, limit)
    raise MemoryError(reason)
