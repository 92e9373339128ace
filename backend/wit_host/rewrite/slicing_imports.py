"""The types of what a component needs for waiting in slices, and the interfaces of WASI that have it.

In: type indices of resources in the component around. Out: instance types in the binary format.
"""

from __future__ import annotations

from collections.abc import Mapping

from .binary import encoded
from .encoding import name, vector
from .types import (
    ALIAS_DECLARATION,
    BORROW,
    EXPORT_DECLARATION,
    FUNCTION,
    INSTANCE,
    LIST,
    OWN,
    TYPE_DECLARATION,
)

_U32, _U64 = b"\x79", b"\x77"
_FUNC_SORT, _TYPE_SORT = b"\x01", b"\x03"
_PLAIN, _SAME_AS, _NEW_RESOURCE = b"\x00", b"\x00", b"\x01"
_OUTER, _ONE_OUT = b"\x02", b"\x01"


class _Declarations:
    """The declarations of an instance type so far, and the number of its types."""

    def __init__(self) -> None:
        self._all: list[bytes] = []
        self._types = 0

    def resource(self, named: bytes, outer: int | None) -> int:
        """Export a resource type: the one at the index `outer` outside, or a new one."""
        if outer is None:
            description = _NEW_RESOURCE
        else:
            self._add(ALIAS_DECLARATION, _TYPE_SORT + _OUTER + _ONE_OUT + encoded(outer))
            description = _SAME_AS + encoded(self._types)
            self._types += 1
        self._add(EXPORT_DECLARATION, _PLAIN + name(named) + _TYPE_SORT + description)
        self._types += 1
        return self._types - 1

    def type(self, kind: int, of: bytes) -> bytes:
        """Define a type that contains another one; return its index, encoded."""
        self._add(TYPE_DECLARATION, bytes([kind]) + of)
        self._types += 1
        return encoded(self._types - 1)

    def function(self, named: bytes, parameter: tuple[bytes, bytes], result: bytes) -> None:
        """Export a function with one parameter."""
        type_ = self.type(FUNCTION, vector([name(parameter[0]) + parameter[1]]) + b"\x00" + result)
        self._add(EXPORT_DECLARATION, _PLAIN + name(named) + _FUNC_SORT + type_)

    def encoded(self) -> bytes:
        """Encode the instance type."""
        return bytes([INSTANCE]) + vector(self._all)

    def _add(self, kind: int, content: bytes) -> None:
        self._all.append(bytes([kind]) + content)


def poll_type(pollable: int | None) -> bytes:
    """`wasi:io/poll` with `poll`, and `pollable`, which may be known."""
    declared = _Declarations()
    borrow = declared.type(BORROW, encoded(declared.resource(b"pollable", pollable)))
    pollables = declared.type(LIST, borrow)
    declared.function(b"poll", (b"in", pollables), declared.type(LIST, _U32))
    return declared.encoded()


def after_type(pollable: int) -> bytes:
    """`wasi:clocks/monotonic-clock` with `subscribe-duration`."""
    declared = _Declarations()
    own = declared.type(OWN, encoded(declared.resource(b"pollable", pollable)))
    declared.function(b"subscribe-duration", (b"when", _U64), own)
    return declared.encoded()


def subscribe_type(pollable: int, streams: Mapping[bytes, int]) -> bytes:
    """`wasi:io/streams` with the methods `subscribe` of the resources `streams`."""
    declared = _Declarations()
    own = declared.type(OWN, encoded(declared.resource(b"pollable", pollable)))
    for resource, outer in streams.items():
        borrow = declared.type(BORROW, encoded(declared.resource(resource, outer)))
        declared.function(b"[method]" + resource + b".subscribe", (b"self", borrow), own)
    return declared.encoded()
