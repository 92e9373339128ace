"""The integers of PyTorch."""

from __future__ import annotations


def is_int64(value: int) -> bool:
    """Whether an operator can be given a number: everywhere in PyTorch an integer has 64 bits and a sign."""
    return -(1 << 63) <= value < 1 << 63
