"""Tensors as values of Python: bytes with a dtype and a shape, from and to lists, `array` and numpy.

It needs neither wasi-nn nor numpy, so it can be tested with the Python of any machine.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

#: The dtypes of wasi-nn that Python has numbers for, by the letters that `struct`, `array` and numpy have for them.
#: `array` has no "e". BF16 has no letter: its elements can be passed as bytes only.
LETTERS = {"FP16": "e", "FP32": "f", "FP64": "d", "U8": "B", "I32": "i", "I64": "q"}
SIZES = {"FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8, "U8": 1, "I32": 4, "I64": 8}
#: What `memoryview` calls the dtypes; "l" is the letter of C's `long`, which has 4 or 8 bytes.
FORMATS = {(letter, SIZES[dtype]): dtype for dtype, letter in LETTERS.items()} | {("l", 4): "I32", ("l", 8): "I64"}


@dataclass(frozen=True)
class Tensor:
    """The elements (little-endian, row-major, without gaps), their dtype as wasi-nn spells it, and the shape."""

    data: bytes
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in SIZES:
            raise ValueError(f"{self.dtype!r} is not a dtype of wasi-nn; use one of {', '.join(SIZES)}")
        if len(self.data) != prod(self.shape) * SIZES[self.dtype]:
            raise ValueError(f"{len(self.data)} bytes are not {self.dtype} {list(self.shape)}")

    @classmethod
    def of(cls, value: object, dtype: str | None = None, shape: Sequence[int] | None = None) -> Tensor:
        """Make a tensor of numbers, of lists of them, or of a buffer: an `array`, a numpy array, bytes.

        Numbers get the given `dtype`, by default FP32. Buffers keep their own, except that bytes are the elements of
        the given `dtype`, by default U8. `shape` is by default that of the value.
        """
        if isinstance(value, Tensor):
            data, own, lengths = value.data, value.dtype, value.shape
        elif isinstance(value, (bytes, bytearray)):
            own = dtype or "U8"
            data, lengths = bytes(value), (len(value) // SIZES.get(own, 1),)
        elif isinstance(value, (int, float, list, tuple)):
            own, lengths = dtype or "FP32", _lengths(value)
            data = _packed(_flat(value, lengths), own)
        else:
            data, own, lengths = _from_buffer(value)
        if dtype not in (None, own):
            raise TypeError(f"the elements are {own}, not {dtype}; convert them first")
        return cls(data, own, lengths if shape is None else tuple(shape))

    def numbers(self) -> list[Any]:
        """The elements as a flat list."""
        return list(struct.unpack(f"<{prod(self.shape)}{self._letter()}", self.data))

    def tolist(self) -> Any:
        """The elements as nested lists, or as one number if there are no dimensions."""
        level = self.numbers()
        for depth in range(len(self.shape) - 1, 0, -1):
            length = self.shape[depth]
            level = [level[length * row : length * (row + 1)] for row in range(prod(self.shape[:depth]))]
        return level if self.shape else level[0]

    def array(self) -> array[Any]:
        """The elements as a flat `array`, which has no FP16."""
        if self.dtype == "FP16":
            raise TypeError("`array` has no FP16; use `numbers`, `tolist` or `numpy`")
        return array(self._letter(), self.data)

    def numpy(self) -> Any:
        """The elements as a numpy array, which cannot be written to; numpy must be installed."""
        import numpy

        return numpy.frombuffer(self.data, self._letter()).reshape(self.shape)

    def _letter(self) -> str:
        if self.dtype not in LETTERS:
            raise TypeError(f"Python has no numbers for {self.dtype}; use the bytes in `data`")
        return LETTERS[self.dtype]


def _from_buffer(value: Any) -> tuple[bytes, str, tuple[int, ...]]:
    """The elements, the dtype and the shape of an `array`, a numpy array, or another buffer."""
    try:
        view = memoryview(value)
    except TypeError:
        raise TypeError(
            f"cannot make a tensor of {type(value).__name__}; pass numbers, lists, bytes or an array"
        ) from None
    dtype = FORMATS.get((view.format, view.itemsize))
    if dtype is None:
        raise TypeError(f"wasi-nn has no dtype for elements {view.format!r}; convert them, such as to float32 or int64")
    return view.tobytes(), dtype, tuple(view.shape or ())


def _lengths(value: object) -> tuple[int, ...]:
    """The shape of nested lists, judged by the first element of each; a number has none."""
    if not isinstance(value, (list, tuple)):
        return ()
    return (len(value), *(_lengths(value[0]) if value else ()))


def _flat(value: object, lengths: tuple[int, ...]) -> list[Any]:
    """The numbers in nested lists; raises ValueError if the lists at one depth differ in their lengths."""
    if not lengths:
        return [value]
    if not isinstance(value, (list, tuple)) or len(value) != lengths[0]:
        raise ValueError(f"the lists differ in their lengths: expected {lengths[0]} elements in {value!r}")
    return [number for row in value for number in _flat(row, lengths[1:])]


def _packed(numbers: list[Any], dtype: str) -> bytes:
    if dtype not in LETTERS:
        raise TypeError(f"numbers cannot become {dtype}; use one of {', '.join(LETTERS)}, or pass bytes")
    try:
        return struct.pack(f"<{len(numbers)}{LETTERS[dtype]}", *numbers)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"not all elements can become {dtype}: {error}") from None
