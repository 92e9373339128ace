"""Places, and the names, docs and attributes that all sorts of items share.

In: nothing; these are plain frozen dataclasses. Out: the smallest parts of the syntax tree.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file. Lines and columns count characters from 1; the end column is the one after the last."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


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
