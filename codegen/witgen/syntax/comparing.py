"""Whether two parts of syntax trees mean the same.

In: parts of trees. Out: whether they differ in more than their places, documentation and gates.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from witgen.syntax.names import Span

_NOTES = {"docs", "attributes"}


def same(part: object, other: object) -> bool:
    """Whether the parts are equal apart from places, documentation and gates."""
    return _content(part) == _content(other)


def _content(part: object) -> object:
    if isinstance(part, tuple):
        return tuple(map(_content, part))
    if isinstance(part, Span):
        return None
    if is_dataclass(part):
        return type(part), *(_content(getattr(part, each.name)) for each in fields(part) if each.name not in _NOTES)
    return part
