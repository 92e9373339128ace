"""The resource `fields` of `wasi:http/types`: headers and trailers.

In: names and values of guests. Out: names in lower case and values that a message of HTTP may have, in a message that
they cannot break out of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Self

from wasi_http_bindings import types
from wasi_http_bindings.types import (
    HeaderErrorException,
    HeaderErrorForbidden,
    HeaderErrorImmutable,
    HeaderErrorInvalidSyntax,
)

from ..limits import Count, exceeded

#: The fields of the connection, which the host sets itself.
FORBIDDEN = frozenset(
    "connection host http2-settings keep-alive proxy-authenticate proxy-authorization proxy-connection te "
    "transfer-encoding upgrade".split()
)
#: What says how to read a message, where it goes, who asks, or whether it may be kept, so that it has to come before
#: the body (RFC 9110, 6.5.1).
_NOT_TRAILING = FORBIDDEN | frozenset(
    "age authorization cache-control content-encoding content-length content-range content-type cookie date expect "
    "expires if-match if-modified-since if-none-match if-range if-unmodified-since location max-forwards pragma range "
    "retry-after set-cookie trailer vary warning www-authenticate".split()
)
#: RFC 9110, 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
#: RFC 9110, 5.5: no control characters but the tab.
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
#: The bytes that a field takes beside its text, about.
_OVERHEAD = 100

Entry = tuple[str, bytes]


def is_token(text: str) -> bool:
    """Whether a text is a token of HTTP: a method, or the name of a field."""
    return _TOKEN.fullmatch(text) is not None


def trailer_fields(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Those of the fields that may follow a body, with their names in lower case."""
    named = ((name.lower(), value) for name, value in entries)
    return tuple(entry for entry in named if entry[0] not in _NOT_TRAILING)


class Budget:
    """The bytes of all fields that a guest has."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0

    def add(self, nbytes: int) -> None:
        """Count more; raises GuestLimit if they are too many."""
        if self._used + nbytes > self._most:
            raise exceeded(
                "fields", f"the headers, trailers and requests of the guest take more than {self._most} bytes"
            )
        self._used += nbytes

    def remove(self, nbytes: int) -> None:
        """Count less."""
        self._used -= nbytes


class Fields(types.Fields):
    """Any number of values for each name, in the order in which they were given; the caller has checked `entries`."""

    def __init__(
        self, handles: Count, budget: Budget, entries: Sequence[Entry] = (), *, is_mutable: bool = True
    ) -> None:
        handles.add()
        self._handles = handles
        self._budget = budget
        self._is_mutable = is_mutable
        self._entries: list[Entry] = []
        self._size = 0
        try:
            self._put([*entries])
        except BaseException:
            handles.remove()
            raise

    @classmethod
    def of_guest(cls, handles: Count, budget: Budget, entries: Iterable[tuple[str, memoryview]]) -> Self:
        """Make fields of what a guest gives; raises HeaderErrorException if it may not."""
        return cls(handles, budget, [(_name(name), _value(value)) for name, value in entries])

    @property
    def all(self) -> tuple[Entry, ...]:
        """All names and values."""
        return tuple(self._entries)

    def get(self, name: str) -> Sequence[bytes]:
        """Return the values of a name."""
        wanted = name.lower()
        return [value for each, value in self._entries if each == wanted]

    def has(self, name: str) -> bool:
        """Return whether a name has values."""
        return bool(self.get(name))

    def set(self, name: str, value: Iterable[memoryview]) -> None:
        """Replace the values of a name."""
        key = self._changeable(name)
        self._put([*self._without(key), *((key, _value(each)) for each in value)])

    def delete(self, name: str) -> None:
        """Remove the values of a name."""
        self._put(self._without(self._changeable(name)))

    def append(self, name: str, value: memoryview) -> None:
        """Add a value."""
        entry = self._changeable(name), _value(value)
        size = _size(entry)
        self._budget.add(size)
        self._entries.append(entry)
        self._size += size

    def entries(self) -> Sequence[Entry]:
        """Return all names and values."""
        return self.all

    def clone(self) -> Fields:
        """Return a copy that can be changed."""
        return Fields(self._handles, self._budget, self._entries)

    def frozen(self) -> Fields:
        """Return a copy that cannot be changed."""
        return Fields(self._handles, self._budget, self._entries, is_mutable=False)

    def drop(self) -> None:
        """Count less."""
        self._put([])
        self._handles.remove()

    def _changeable(self, name: str) -> str:
        if not self._is_mutable:
            raise HeaderErrorException(HeaderErrorImmutable())
        return _name(name)

    def _without(self, key: str) -> list[Entry]:
        return [entry for entry in self._entries if entry[0] != key]

    def _put(self, entries: list[Entry]) -> None:
        size = sum(map(_size, entries))
        self._budget.add(size - self._size)
        self._entries, self._size = entries, size


def _size(entry: Entry) -> int:
    name, value = entry
    return len(name) + len(value) + _OVERHEAD


def _name(name: str) -> str:
    if not is_token(name):
        raise HeaderErrorException(HeaderErrorInvalidSyntax())
    key = name.lower()
    if key in FORBIDDEN:
        raise HeaderErrorException(HeaderErrorForbidden())
    return key


def _value(value: memoryview) -> bytes:
    content = bytes(value)
    if not _VALUE.fullmatch(content):
        raise HeaderErrorException(HeaderErrorInvalidSyntax())
    return content
