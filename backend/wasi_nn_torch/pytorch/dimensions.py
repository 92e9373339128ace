"""The dimensions of a tensor: whether bytes fill them, and how errors spell them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wasi_nn_torch.contract.vocabulary import ElementType

_MOST_DIMENSIONS = 64  # PyTorch's operators go no further
_MOST_ELEMENTS = 2**63 - 1  # sizes and strides are signed 64-bit numbers


def misfit_of(dimensions: tuple[int, ...], dtype: ElementType, given: int) -> str | None:
    """The reason why `given` bytes cannot be a tensor of these dimensions; exact for any numbers, allocates nothing."""
    return misfit_of_elements(dimensions, dtype.spelling, dtype.item_size, given)


def misfit_of_elements(dimensions: tuple[int, ...], dtype: str, item_size: int, given: int) -> str | None:
    """The same for elements of `item_size` bytes, whose dtype is called `dtype`."""
    if len(dimensions) > _MOST_DIMENSIONS:
        return f"has {len(dimensions)} dimensions; at most {_MOST_DIMENSIONS} are possible"
    expected = math.prod(dimensions) * item_size
    if expected != given:
        return (
            f"has the dimensions {spell_dimensions(dimensions)} of {dtype}, which need {expected} bytes, "
            f"but {given} were given; make the dimensions or the data fit"
        )
    if 0 in dimensions and math.prod(size for size in dimensions if size) > _MOST_ELEMENTS:
        return f"has the dimensions {spell_dimensions(dimensions)}, which are too large even though one of them is 0"
    return None


def spell_dimensions(dimensions: Sequence[int]) -> str:
    """Dimensions as "[1, 3, 224]", abbreviated if there are many."""
    listed = ", ".join(str(size) for size in dimensions[:8])
    return f"[{listed}, … {len(dimensions)} in all]" if len(dimensions) > 8 else f"[{listed}]"
