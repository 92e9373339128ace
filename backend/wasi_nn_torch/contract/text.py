"""Text from elsewhere, made fit for a message."""

from __future__ import annotations


def one_line(text: object, longest: int = 300) -> str:
    """A text, or what an object prints as, on one line of printable characters; "…" replaces all after `longest`."""
    line = " ".join(str(text).split())
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line[:longest])
    return f"{shown}…" if len(line) > longest else shown
