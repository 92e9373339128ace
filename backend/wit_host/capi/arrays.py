"""The types of C arrays."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=64)
def array_type(element: type[Any], size: int) -> type[ctypes.Array[Any]]:
    """Return the type of an array, which costs more to make than most arrays; ctypes itself does not keep it."""
    made: type[ctypes.Array[Any]] = element * size
    return made
