"""The ways in which a `list<u8>` crosses between guest and host.

In: the engine's value for a list of bytes. Out: a buffer, and back. An implementation sees bytes with each transport:

- *pointer*, in components that were rewritten for it: the host gets an address and a length in the guest's memory. Only
  the implementation copies bytes.
- *latin-1*, for parameters of functions that were rewritten for it: the engine makes a string of the bytes, which this
  module encodes again. A guest can pass at most 128 MiB in one call. Results cross as lists.
- *list*, for every component on every platform: the engine boxes each byte in a value of 32 bytes, which this module
  reads or writes by one strided copy. A guest can pass at most about 2.67 MiB in one call.
"""

from __future__ import annotations

import mmap
import re
from codecs import utf_8_decode
from enum import Enum, auto
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

from .. import capi
from ..capi import Kind, Value
from ..errors import GuestTrap
from ..misfits import Misfit
from ..views import copy_memory
from .memory import GuestMemory


class Crossing(Enum):
    """The type of a `list<u8>` in a parameter, as the engine sees it."""

    LIST = auto()
    ADDRESS = auto()
    STRING = auto()


@runtime_checkable
class ByteSource(Protocol):
    """Bytes that are not in host memory yet, such as those of a tensor on an accelerator."""

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        ...

    def write_into(self, destination: memoryview, /) -> None:
        """Fill `destination`, which is writable, has format `B` and is `nbytes` long."""
        ...


#: Bytes that are ready to be copied.
Source: TypeAlias = memoryview | ByteSource
#: The types that an implementation may return for a `list<u8>`.
Bytes: TypeAlias = bytes | bytearray | memoryview | ByteSource

#: The text of the engine's trap if a guest passes too much in one call.
_EXHAUSTED = "fuel allocated for hostcalls has been exhausted"
#: The most bytes of strings that a guest can pass in one call.
LARGEST_STRING = 128 << 20
#: The most elements of lists that a guest can pass in one call: each counts as 48 bytes.
LARGEST_LIST = LARGEST_STRING // 48
#: The most bytes of a result that crosses as a list.
LARGEST_RESULT = 32 << 20
#: The bytes of a string that are converted at once, before other threads may run.
_PIECE = 1 << 20


def lift(memory: GuestMemory, value: Value) -> memoryview:
    """Return the bytes that a guest passed: read-only, valid until `memory.take_back`.

    Raises `Misfit` for an address and length that are not in the guest's memory.
    """
    if value.kind == Kind.TUPLE:
        return memory.lend(memory.only.view(*capi.read_pair(value)))
    if value.kind == Kind.STRING:
        return memory.lend(_characters(capi.view_text(value)))
    return memory.lend(memoryview(capi.view_numbers(value, "B").tobytes()))


def _characters(text: memoryview) -> memoryview:
    """Encode each character of a text in UTF-8 as a byte; raises `Misfit` if one is not a byte.

    Other threads may run between the pieces of a long text.
    """
    # The pages of a mapping are made when they are written to; those of a long bytearray all at once.
    characters = bytearray(text.nbytes) if text.nbytes <= _PIECE else mmap.mmap(-1, text.nbytes)
    begin = size = 0
    while begin < text.nbytes:
        piece, used = utf_8_decode(text[begin : begin + _PIECE], "strict", False)
        try:
            characters[size : size + len(piece)] = piece.encode("latin-1")
        except UnicodeEncodeError as error:
            place = size + error.start
            raise Misfit(GuestTrap, f"the guest passed a character that is not a byte, at {place}") from None
        begin, size = begin + used, size + len(piece)
    return memoryview(characters)[:size]


def lower(value: Value, content: object) -> None:
    """Pass `content` to the guest as a list; raises `Misfit` if it is not `Bytes`."""
    source = as_source(content)
    size = source.nbytes
    if size > LARGEST_RESULT:
        text = (
            f"{size} bytes are too many for a guest whose results cross as lists (limit {LARGEST_RESULT}, as each byte "
            "takes 70 in the host); build the guest with one memory of 32 bits, so that they cross by address"
        )
        raise Misfit(GuestTrap, text)
    capi.new_list(value, size)
    if size:
        capi.fill_numbers(value, Kind.U8, source if isinstance(source, memoryview) else _filled(source), "B")


def write_bytes(source: memoryview | ByteSource, destination: memoryview) -> None:
    """Copy all of `source` to `destination`, which has the same length."""
    if isinstance(source, memoryview):
        copy_memory(destination, source)
    else:
        source.write_into(destination)


def explain_trap(text: str) -> str | None:
    """Explain a trap whose `text` says that too much was passed in one call; None for another trap.

    The engine refuses the call before it looks at each argument. The name of the function is that of the guest's own
    stub, if its toolchain named it; without it, nothing tells a result of the guest from its arguments.
    """
    if _EXHAUSTED not in text:
        return None
    stub = _STUB.search(text)
    passed = (
        f"the arguments that the guest passed to `{stub['name']}` take"
        if stub
        else "the result of the guest, or the arguments that it passed to a function of the host, take"
    )
    return (
        f"{passed} more than the engine's limit for one call: strings of "
        f"{LARGEST_STRING >> 20} MiB in all, or lists of about {LARGEST_LIST / 1e6:.1f} million elements; pass them in "
        "several calls"
    )


#: A frame of the guest in which wit-component's stub calls a function of the host.
_STUB = re.compile(r"!indirect-(?P<name>\S+)")


def as_source(content: object) -> memoryview | ByteSource:
    """Return `content` as contiguous bytes or as a `ByteSource`; raises `Misfit` if it is neither."""
    if _is_source(content):
        return content
    try:
        view = memoryview(content)  # type: ignore[arg-type]  # the call checks it
    except TypeError:
        wanted = "bytes, bytearray, memoryview or a ByteSource"
        raise Misfit(TypeError, f"a list<u8> takes {wanted}, not {type(content).__name__}") from None
    if not view.c_contiguous:
        raise Misfit(TypeError, "a list<u8> takes a C-contiguous buffer; make a contiguous copy first")
    return view.cast("B") if view.nbytes else memoryview(b"")


def _is_source(content: object) -> TypeGuard[ByteSource]:
    """Return whether `content` is a source; `isinstance` of a Protocol takes longer than the rest of a small call."""
    return callable(getattr(content, "write_into", None)) and hasattr(content, "nbytes")


def _filled(source: ByteSource) -> memoryview:
    filled = bytearray(source.nbytes)
    source.write_into(memoryview(filled))
    return memoryview(filled)
