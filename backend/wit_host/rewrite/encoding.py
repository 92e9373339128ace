"""Names, vectors and sections in the WebAssembly binary format.

In: their contents. Out: bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

from .binary import encoded


def name(text: bytes) -> bytes:
    """Encode a name."""
    return encoded(len(text)) + text


def vector(items: Sequence[bytes]) -> bytes:
    """Encode a vector of encoded items."""
    return encoded(len(items)) + b"".join(items)


def section(kind: int, body: bytes) -> bytes:
    """Encode a section."""
    return bytes([kind]) + encoded(len(body)) + body
