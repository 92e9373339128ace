"""Documentation → the text of a docstring, ready to stand between three quotation marks."""

from __future__ import annotations


def docstring(written: str | None, otherwise: str = "", *more: str) -> str:
    """The documentation in WIT, or `otherwise`; then each of `more` that is not empty, as a paragraph of its own."""
    text = "\n\n".join(part.strip() for part in (written or otherwise, *more) if part.strip())
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f"{text} " if text.endswith('"') else text
