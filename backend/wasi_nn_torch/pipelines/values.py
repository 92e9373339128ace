"""Named tensors and their descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wasi_nn_torch.pipelines.datatypes import Datatype

#: The value of a parameter.
Parameter = bool | int | float | str

#: The size of a dimension that varies.
ANY = -1


@dataclass(frozen=True, slots=True)
class Value:
    """A named tensor: its elements as bytes, little-endian, row-major and without gaps.

    Each element of BYTES has its length in front, as four bytes.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True)
class Description:
    """An input or output; -1 in a shape is a size that varies, None a datatype that is not known."""

    name: str
    datatype: Datatype | None
    shape: tuple[int, ...]
    is_optional: bool = False


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape has the sizes that are described."""
    return len(shape) == len(wanted) and all(size in (ANY, given) for given, size in zip(shape, wanted, strict=True))
