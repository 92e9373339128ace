"""Shared ownership of a tensor, by a context that keeps it, a guest that got it and a computation that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType

if TYPE_CHECKING:
    from wit_host import ByteSource


class _Shared:
    """A tensor, and the number of its shares."""

    __slots__ = ("holders", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.holders = 0


class Share:
    """One holder's share of a tensor, itself a tensor; the memory is freed when the last share is dropped.

    Since others may read the elements, a holder must copy them to change them.
    """

    __slots__ = ("_is_held", "_shared")

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._is_held = True
        shared.holders += 1

    @classmethod
    def of(cls, tensor: Tensor) -> Share:
        """The first share of a tensor that the caller owned; a share is returned as it is."""
        return tensor if isinstance(tensor, cls) else cls(_Shared(tensor))

    @property
    def origin(self) -> object:
        """The origin of the tensor."""
        return self._shared.tensor.origin

    def take_if_last(self) -> Tensor | None:
        """Drop this share and give the tensor to the caller; None, without a change, if it has other owners."""
        self._require_held()
        if self._shared.holders > 1:
            return None
        taken = self._shared.tensor.take_if_last()
        if taken is not None:
            self._is_held = False
            self._shared.holders = 0
        return taken

    def another(self) -> Share:
        """A new share for one more holder."""
        self._require_held()
        return Share(self._shared)

    @property
    def content(self) -> Tensor:
        """The tensor, for reading only."""
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
        """Release this share; a second call does nothing."""
        if self._is_held:
            self._is_held = False
            self._shared.holders -= 1
            if not self._shared.holders:
                self._shared.tensor.drop()

    def _require_held(self) -> None:
        if not self._is_held:
            raise RuntimeError("this share of a tensor was dropped; the host must not use it any longer")
