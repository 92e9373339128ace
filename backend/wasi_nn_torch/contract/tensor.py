"""The tensors of a session, whichever backend made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from wasi_nn_torch.contract.vocabulary import ElementType

if TYPE_CHECKING:
    from wit_host import ByteSource


class Tensor(Protocol):
    """A tensor of one session, wherever its memory is.

    Its owner calls `drop`. It is counted in the session's ledger from when it is made until it is dropped. A class that
    derives from this protocol inherits the answers of a tensor that has one owner.
    """

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first; any numbers, if a guest gave them."""
        ...

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        ...

    @property
    def origin(self) -> object:
        """The `BackendSession` that made the tensor, by which a backend recognizes its own; None for no backend."""
        return None

    @property
    def content(self) -> Tensor:
        """The tensor that holds the memory, to be read only: this one, or the one that this is a share of."""
        return self

    def take_if_last(self) -> Tensor | None:
        """Give `content` to the caller, who owns it from now on and may change it; None if there are other owners.

        After an answer other than None, `drop` of this tensor does nothing, unless this is the answer.
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

    A consumer asks the `content` of a tensor for it, after `require_fit`, does not write to the memory, and keeps no
    reference to it after the tensor is dropped.
    """

    def __dlpack__(self, **options: object) -> object:
        """A DLPack capsule, as the Python array API standard has it."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """The DLPack device type and its index."""
        ...


NamedTensor = tuple[str, Tensor]
"""The `named-tensor` of wasi-nn: the name of an input or output, and the tensor."""


def read_bytes(tensor: Tensor) -> bytearray:
    """A copy of the elements in the host's memory, for engines that cannot read them where they are."""
    source = tensor.data()
    content = bytearray(source.nbytes)
    source.write_into(memoryview(content))
    return content
