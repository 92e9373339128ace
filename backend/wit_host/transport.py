"""How a `list<u8>` crosses between guest and host.

In: the engine's value for a list of bytes. Out: a buffer, and back. Implementations see bytes whichever transport is in
use. `ListTransport` works for every component on every platform: the engine boxes each byte in a value of 32 bytes,
which this module reads or writes by one strided copy.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

from . import capi
from .capi import PAYLOAD_OFFSET, VALUE_SIZE, Kind, Value
from .misfits import Misfit


@runtime_checkable
class ByteSource(Protocol):
    """Bytes that are not in host memory yet, such as those of a tensor on an accelerator."""

    @property
    def nbytes(self) -> int:
        """How many bytes there are."""
        ...

    def write_into(self, destination: memoryview, /) -> None:
        """Fill `destination`, which is writable, has format `B` and is `nbytes` long."""
        ...


#: What an implementation may return for a `list<u8>`.
Bytes: TypeAlias = bytes | bytearray | memoryview | ByteSource

#: What the engine says when a guest passes more than it boxes in one call (48 bytes a list element, 128 MiB in all).
_EXHAUSTED = "fuel allocated for hostcalls has been exhausted"
LARGEST_LIST = (128 << 20) // 48


class Transport(Protocol):
    """One way for bytes to cross."""

    @property
    def name(self) -> str:
        """The word that `--stats` shows."""
        ...

    def lift(self, value: Value) -> memoryview:
        """The bytes that a guest passed: read-only, valid during the call."""
        ...

    def lower(self, value: Value, content: object) -> None:
        """Pass `content`, which should be `Bytes`, to the guest; raises `Misfit` where it is not."""
        ...


class ListTransport:
    """Every byte as an element of a list; a guest can pass at most about 2.67 MiB in one call."""

    name = "list"

    def lift(self, value: Value) -> memoryview:
        """The bytes that a guest passed, copied out of the engine's values in one strided copy."""
        values = value.of.list
        if not values.size:
            return memoryview(b"")
        payload = capi.view_values(values)[PAYLOAD_OFFSET::VALUE_SIZE]
        return memoryview(payload.tobytes())

    def lower(self, value: Value, content: object) -> None:
        """Make the engine's list of values from `content`; raises `Misfit` where it is no buffer of bytes."""
        source = _as_buffer(content)
        capi.new_list(value.of.list, source.nbytes)
        value.kind = Kind.LIST
        if source.nbytes:
            values = capi.view_values(value.of.list)
            values[PAYLOAD_OFFSET::VALUE_SIZE] = source
            values[Value.kind.offset :: VALUE_SIZE] = bytes([Kind.U8]) * source.nbytes


def explain_trap(text: str) -> str | None:
    """What to tell a person where the text of a trap says that a list was too long to cross; else nothing."""
    if _EXHAUSTED not in text:
        return None
    return (
        f"the guest passed more than about {LARGEST_LIST / (1 << 20):.2f} MiB in one call, which is as much as the "
        "engine takes for lists; pass the data in smaller tensors"
    )


def _as_buffer(content: object) -> memoryview:
    """`content` as contiguous bytes in host memory."""
    try:
        view = memoryview(content)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return _filled(content)
    if not view.c_contiguous:
        raise Misfit(TypeError, "a list<u8> takes a C-contiguous buffer; make a contiguous copy first")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _filled(content: object) -> memoryview:
    if not isinstance(content, ByteSource):
        wanted = "bytes, bytearray, memoryview or a ByteSource"
        raise Misfit(TypeError, f"a list<u8> takes {wanted}, not {type(content).__name__}")
    filled = bytearray(content.nbytes)
    content.write_into(memoryview(filled))
    return memoryview(filled)
