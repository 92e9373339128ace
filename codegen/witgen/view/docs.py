"""Documentation → the text of a docstring, ready to stand between three quotation marks."""

from __future__ import annotations


def docstring(written: str | None, otherwise: str = "", appendix: str = "") -> str:
    """What the WIT says, or `otherwise`; then `appendix`, if there is one, as a paragraph of its own."""
    text = "\n\n".join(part for part in ((written or otherwise).strip(), appendix) if part)
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f"{text} " if text.endswith('"') else text
