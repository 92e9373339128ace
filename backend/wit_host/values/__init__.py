"""WIT values between the engine and Python: one codec for each type.

In: a WIT type, written as an expression (`List(U32)`, `Tuple(STRING, Own(TENSOR))`). Out: an object that *lifts*
(engine to Python), *lowers* (Python to engine) and *checks* that a guest's type is the same. Lowering raises
`TypeError` for a value of the wrong type, `ValueError` for one that does not fit.

| WIT | Python |
| --- | --- |
| `bool`, `string`, `char` | `bool`, `str`, `str` of one character |
| `u8` … `s64` | `int` |
| `f32`, `f64` | `float` |
| `list<u8>` | `memoryview` that is valid during the call, or `bytes`, in; any buffer or `ByteSource` out |
| `list<T>`, `list<T, N>`, `tuple<…>` | `list`, `list`, `tuple`; a list of numbers also `array.array` or `ndarray` |
| `map<K, V>` | `dict` |
| `record` | a dataclass |
| `option<T>` | the value or `None`; `Some(value)` or `None` if the value is an option itself |
| `enum` | `enum.Enum` whose values are the WIT's names |
| `flags` | `enum.Flag` |
| `variant` | one dataclass for each case |
| `own<R>`, `borrow<R>` | the object that implements the resource, or stands for the guest's |
| `result<T, E>` as a function's result | `T` returned, or `ResultError[E]` raised |
| `result<T, E>` elsewhere | `Ok(value)` or `Err(value)` |
"""

from __future__ import annotations

from .arrays import ArrayList, FloatArray, IntArray, NumpyList
from .cases import Enum, Flags, NestedOption, NestedResult, Option, Result, Variant
from .codec import Codec, Comparison, Identities
from .handles import Borrow, GuestBorrow, GuestOwn, Own
from .scalars import (
    BOOL,
    CHAR,
    F32,
    F64,
    S8,
    S16,
    S32,
    S64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Char,
    Float,
    Integer,
    String,
)
from .sequences import BYTES, COPIED_BYTES, ByteList, CopiedByteList, FixedLengthList, List, Map, Record, Tuple

__all__ = [
    "BOOL",
    "BYTES",
    "CHAR",
    "COPIED_BYTES",
    "F32",
    "F64",
    "S8",
    "S16",
    "S32",
    "S64",
    "STRING",
    "U8",
    "U16",
    "U32",
    "U64",
    "ArrayList",
    "Bool",
    "Borrow",
    "ByteList",
    "Char",
    "Codec",
    "Comparison",
    "CopiedByteList",
    "Enum",
    "FixedLengthList",
    "Flags",
    "Float",
    "FloatArray",
    "GuestBorrow",
    "GuestOwn",
    "Identities",
    "IntArray",
    "Integer",
    "List",
    "Map",
    "NestedOption",
    "NestedResult",
    "NumpyList",
    "Option",
    "Own",
    "Record",
    "Result",
    "String",
    "Tuple",
    "Variant",
]
