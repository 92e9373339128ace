"""Lists of numbers that Python gets as arrays, without an object for each number.

In: `list<f32>` and other lists of numbers, from the engine or in the memory of a guest. Out: an `array.array`, or an
array of NumPy, which nobody else has.
"""

from __future__ import annotations

import importlib
from array import array
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import capi
from ..capi import Value
from ..crossing.state import HostState
from .codec import Codec
from .scalars import Float, Integer
from .sequences import List

if TYPE_CHECKING:
    IntArray: TypeAlias = array[int]
    FloatArray: TypeAlias = array[float]
else:  # an `array` takes no parameter before Python 3.12
    IntArray = FloatArray = array
#: The numbers of a list, in any order of the bytes.
_Numbers: TypeAlias = "memoryview[Any]"


class _Numeric(List):
    """A list of numbers; raises TypeError for one of anything else."""

    def __init__(self, element: Codec) -> None:
        super().__init__(element)
        if self.number is None:
            raise TypeError(f"an array has numbers, not {type(element).__name__}")
        self._number: Integer | Float = self.number

    def _view(self, state: HostState, value: Value) -> _Numbers:
        """View the numbers in a value of the engine, which may be few and far between."""
        size = capi.list_size(value)
        state.count_elements(size)
        return capi.view_numbers(value, self._number.code) if size else memoryview(array(self._number.code))


class ArrayList(_Numeric):
    """`list<T>` of numbers, as an `array.array`."""

    def lift(self, state: HostState, value: Value) -> Any:  # noqa: ANN401  # of the kind of number
        """Return an `array.array`."""
        return array(self._number.code, self._view(state, value).tobytes())

    def made(self, stored: memoryview) -> Any:  # noqa: ANN401  # of the kind of number
        """Return the numbers that a guest has stored as an `array.array`."""
        return self.native(stored)


class NumpyList(_Numeric):
    """`list<T>` of numbers, as an array of NumPy with one dimension, which may be written."""

    def __init__(self, element: Codec) -> None:
        super().__init__(element)
        self._numpy: Any = importlib.import_module("numpy")
        name = self._number.name
        kinds = {"u": "uint", "s": "int", "f": "float"}
        self._dtype: Any = self._numpy.dtype(f"{kinds[name[0]]}{name[1:]}")
        self._stored: Any = self._dtype.newbyteorder("<")

    def lift(self, state: HostState, value: Value) -> Any:  # noqa: ANN401  # of a library that may be missing
        """Return an `ndarray`."""
        return self._numpy.array(self._view(state, value), dtype=self._dtype)

    def made(self, stored: memoryview) -> Any:  # noqa: ANN401  # of a library that may be missing
        """Return the numbers that a guest has stored as an `ndarray`."""
        return self._numpy.frombuffer(stored, dtype=self._stored).astype(self._dtype)
