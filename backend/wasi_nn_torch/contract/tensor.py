"""The tensors of a session, whichever backend makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from wasi_nn_torch.contract.vocabulary import ElementType

if TYPE_CHECKING:
    from wit_host import ByteSource


class Tensor(Protocol):
    """A tensor of one session, wherever its memory is.

    Its owner calls `drop`. The session's ledger counts it until then. A class that derives from this protocol inherits
    the behaviour of a tensor that has one owner.
    """

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first; unchecked if a guest gave them."""
        ...

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        ...

    @property
    def origin(self) -> object:
        """The `BackendSession` that made the tensor, by which a backend recognizes its own; None if there is none."""
        return None

    @property
    def content(self) -> Tensor:
        """The tensor that holds the memory, for reading only: this one, or the one that this is a share of."""
        return self

    def take_if_last(self) -> Tensor | None:
        """Give `content` to the caller, who then owns it and may change it; None if it has other owners.

        Once another tensor was returned, `drop` of this one does nothing.
        """
        return self

    def require_fit(self, name: str) -> None:
        """Raise NnError `invalid-argument` if the bytes given for the tensor `name` do not fill its dimensions."""
        ...

    def data(self) -> ByteSource:
        """The elements, little-endian, row-major and without gaps (`tensor.data` of wasi-nn)."""
        ...

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        ...


@runtime_checkable
class SharesMemory(Protocol):
    """A tensor whose memory another engine on the same device can read in place, by the DLPack protocol.

    A consumer uses the `content` of a tensor, after `require_fit`. It does not write to the memory, and keeps no
    reference to it after the tensor is dropped.
    """

    def __dlpack__(self, **options: object) -> object:
        """A DLPack capsule, as the Python array API standard defines it."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """The DLPack device type and its index."""
        ...


class OffersMemory(Protocol):
    """An object of another library that offers its memory by the DLPack protocol, such as an array of NumPy."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401  # libraries differ in their options
        """A DLPack capsule, as the Python array API standard defines it."""
        ...


#: The elements of a tensor that the host makes: a `torch.Tensor`, another library's array, or bytes.
TensorSource = OffersMemory | bytes | bytearray | memoryview

#: The `named-tensor` of wasi-nn: the name of an input or output, and the tensor.
NamedTensor = tuple[str, Tensor]


def read_bytes(tensor: Tensor) -> bytearray:
    """A copy of the elements in the host's memory, for engines that cannot read them in place."""
    source = tensor.data()
    content = bytearray(source.nbytes)
    source.write_into(memoryview(content))
    return content
