"""The Python types that a list of numbers can be."""

from __future__ import annotations

from enum import Enum


class Lists(Enum):
    """The Python type of a list of numbers other than `list<u8>`: `list`, `array.array`, or an array of NumPy."""

    LIST = "list"
    ARRAY = "array"
    NUMPY = "numpy"
