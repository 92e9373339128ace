"""Places, and the names, docs and attributes that all sorts of items share.

In: nothing; these are plain frozen dataclasses. Out: the smallest parts of the syntax tree.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file. Lines and columns count characters from 1; the end column is the one after the last.

    A binary file has no lines: there `line` is 0, and `column` is the offset of a byte, from 0.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}@{self.column:#x}"

    @property
    def within_file(self) -> str:
        """The place for a sentence about the same file: "on line 5", or "at offset 0x1f"."""
        return f"on line {self.line}" if self.line else f"at offset {self.column:#x}"


def at_offset(file: str, offset: int) -> Span:
    """The place of a byte in a binary file."""
    return Span(file, 0, offset, 0, offset)


@dataclass(frozen=True, slots=True)
class Name:
    """An identifier, without the `%` that may precede it."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Docs:
    """The comments in front of an item, as one text."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class PackageName:
    """`namespace:name@version`."""

    namespace: Name
    name: Name
    version: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Path:
    """`interface`, or `namespace:name/interface@version` with a package."""

    package: PackageName | None
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Attributes:
    """`@since`, `@unstable`, `@deprecated` and `@external-id` in front of an item; `span` covers them all, if any."""

    since: str | None = None
    feature: str | None = None
    deprecated: str | None = None
    external_id: str | None = None
    span: Span | None = None
