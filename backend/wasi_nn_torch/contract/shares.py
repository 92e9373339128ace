"""Tensors that several hold: a context that keeps its inputs and outputs, a guest that got an output, a computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType

if TYPE_CHECKING:
    from wit_host import ByteSource


class _Shared:
    """A tensor, and how many shares of it there are."""

    __slots__ = ("holders", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.holders = 0


class Share:
    """One holder's share of a tensor, itself a tensor; the memory goes free when the last share is dropped.

    As others may look at the elements, whoever wants to change them has to copy them.
    """

    __slots__ = ("_is_held", "_shared")

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._is_held = True
        shared.holders += 1

    @classmethod
    def of(cls, tensor: Tensor) -> Share:
        """The first share of a tensor that the caller owned; a share stays what it is."""
        return tensor if isinstance(tensor, cls) else cls(_Shared(tensor))

    @property
    def origin(self) -> object:
        """The origin of the tensor."""
        return self._shared.tensor.origin

    def take_if_last(self) -> Tensor | None:
        """Give the tensor to the caller if there are no other shares, and drop this one; else None."""
        self._require_held()
        if self._shared.holders > 1:
            return None
        self._is_held = False
        self._shared.holders = 0
        return self._shared.tensor.take_if_last()

    def another(self) -> Share:
        """A share for one more holder."""
        self._require_held()
        return Share(self._shared)

    @property
    def content(self) -> Tensor:
        """The tensor, to be read only."""
        self._require_held()
        return self._shared.tensor.content

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first."""
        return self._shared.tensor.dimensions

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        return self._shared.tensor.dtype

    def require_fit(self, name: str) -> None:
        """Raise NnError `invalid-argument` if the bytes given for the tensor `name` do not fill its dimensions."""
        self.content.require_fit(name)

    def data(self) -> ByteSource:
        """The elements, little-endian, row-major and without gaps."""
        return self.content.data()

    def drop(self) -> None:
        """Let go of this share; a second call does nothing."""
        if self._is_held:
            self._is_held = False
            self._shared.holders -= 1
            if not self._shared.holders:
                self._shared.tensor.drop()

    def _require_held(self) -> None:
        if not self._is_held:
            raise RuntimeError("this share of a tensor was dropped; the host must not use it any more")
