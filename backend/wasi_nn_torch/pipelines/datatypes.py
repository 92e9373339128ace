"""The datatypes of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Datatype:
    """A datatype: its `name`, the bytes of one element, its dtype in PyTorch, and the code of `array` for it.

    Without a `code`, JSON cannot carry it. Elements of BYTES have no size and no dtype.
    """

    name: str
    size: int
    dtype: str
    code: str


BYTES: Final = Datatype("BYTES", 0, "", "")
BOOL: Final = Datatype("BOOL", 1, "bool", "?")
UINT8: Final = Datatype("UINT8", 1, "uint8", "B")

#: All datatypes, by name.
DATATYPES: Final[Mapping[str, Datatype]] = {
    each.name: each
    for each in (
        BOOL,
        UINT8,
        Datatype("UINT16", 2, "uint16", "H"),
        Datatype("UINT32", 4, "uint32", "I"),
        Datatype("UINT64", 8, "uint64", "Q"),
        Datatype("INT8", 1, "int8", "b"),
        Datatype("INT16", 2, "int16", "h"),
        Datatype("INT32", 4, "int32", "i"),
        Datatype("INT64", 8, "int64", "q"),
        Datatype("FP16", 2, "float16", ""),
        Datatype("FP32", 4, "float32", "f"),
        Datatype("FP64", 8, "float64", "d"),
        Datatype("BF16", 2, "bfloat16", ""),
        BYTES,
    )
}
#: The datatypes with a dtype, by that.
OF_DTYPE: Final[Mapping[str, Datatype]] = {each.dtype: each for each in DATATYPES.values() if each.dtype}


def spell(shape: tuple[int, ...]) -> str:
    """A shape as "[1, 3]", abbreviated if it is long."""
    listed = ", ".join(map(str, shape[:8]))
    return f"[{listed}, …]" if len(shape) > 8 else f"[{listed}]"
