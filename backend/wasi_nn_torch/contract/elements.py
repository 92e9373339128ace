"""The elements of a tensor in the host's memory, for protocols that carry bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Elements:
    """The elements of a tensor: little-endian, row-major and without gaps, with their `dimensions`.

    `dtype` is the name of PyTorch and NumPy, such as "float32", "bool" or "int8"; it need not be one that wasi-nn can
    name. `data` is a buffer of single bytes. If it was taken from a session, it keeps the memory alive.
    """

    data: memoryview
    dimensions: tuple[int, ...]
    dtype: str

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle a copy of the bytes, such as for another process."""
        return _restored, (bytes(self.data), self.dimensions, self.dtype)


def _restored(data: bytes, dimensions: tuple[int, ...], dtype: str) -> Elements:
    return Elements(memoryview(data), dimensions, dtype)
