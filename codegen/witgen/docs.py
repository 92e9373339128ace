"""Comments → documentation text.

In: the comments in front of an item, as they were written. Out: one text, without the markers and without the common
indentation.
"""

from __future__ import annotations

from collections.abc import Sequence

_ASCII_SPACE = " \t\n\f\r"


def documentation(comments: Sequence[str]) -> str:
    """The text of a block of comments; empty comments give empty lines, and empty ones at the end nothing."""
    raw = [_without_markers(comment) for comment in comments]
    indents = [len(text) - len(text.lstrip(_ASCII_SPACE)) for text in raw if text]
    margin = " " * min(indents, default=0)
    return "\n".join(text.removeprefix(margin) for text in raw).rstrip("\n")


def _without_markers(comment: str) -> str:
    if comment.startswith("/**") and len(comment) > len("/**/"):
        return comment[len("/**") : -len("*/")].rstrip()
    if comment == "/**/":
        return ""
    return comment.lstrip("/").rstrip()
