"""Text that comes from a guest or a file, as a line that can be written anywhere."""

from __future__ import annotations


def printable(text: str, longest: int | None = None) -> str:
    """Return `text` on one line, with each character that cannot be printed replaced.

    A text of more than `longest` characters is cut, and ends with "…" as the last of them.
    """
    cut = text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in cut)
