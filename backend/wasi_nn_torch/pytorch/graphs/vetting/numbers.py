"""The integers of PyTorch."""

from __future__ import annotations


def is_int64(value: int) -> bool:
    """Whether an operator can take a number: PyTorch's integers are signed and have 64 bits everywhere."""
    return -(1 << 63) <= value < 1 << 63
