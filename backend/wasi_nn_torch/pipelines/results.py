"""The tensors that a pipeline returns, as the values that it described."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pipelines.byte_strings import count
from wasi_nn_torch.pipelines.datatypes import BOOL, BYTES, OF_DTYPE, Datatype, spell
from wasi_nn_torch.pipelines.values import ANY, Description, Value, fits

_BYTE = "uint8"


class Misfit(Exception):
    """A result that is not what the pipeline described; the text is for the operator."""


def converted(name: str, elements: Elements, described: Description | None) -> Value:
    """An output as it is described, without a copy if its type allows it; raises Misfit."""
    if described is None or described.datatype is None:
        return Value(name, OF_DTYPE[elements.dtype], elements.dimensions, elements.data)
    if described.datatype is BYTES:
        return _byte_strings(name, elements, described.shape)
    if not fits(elements.dimensions, described.shape):
        raise Misfit(
            f"output {quote(name)} is {spell(elements.dimensions)}; it was described as {spell(described.shape)}"
        )
    return Value(name, described.datatype, elements.dimensions, _data(name, elements, described.datatype))


def _data(name: str, elements: Elements, wanted: Datatype) -> memoryview:
    made = OF_DTYPE[elements.dtype]
    if made is wanted or (wanted is BOOL and made.dtype == _BYTE):
        return elements.data
    if not (_is_whole(made) and _is_whole(wanted)):
        raise Misfit(f"output {quote(name)} is {made.name}; it was described as {wanted.name}")
    code: Any = made.code
    try:
        return memoryview(array(wanted.code, elements.data.cast(code))).cast("B")
    except OverflowError:
        reason = f"output {quote(name)} has a value that {wanted.name} does not have"
    raise Misfit(reason)


def _is_whole(datatype: Datatype) -> bool:
    return "INT" in datatype.name


def _byte_strings(name: str, elements: Elements, described: Sequence[int]) -> Value:
    if elements.dtype != _BYTE or len(elements.dimensions) != 1:
        raise Misfit(
            f"output {quote(name)} is {elements.dtype} {spell(elements.dimensions)}; as BYTES it must be a vector of "
            "U8, in which each element has its length in front"
        )
    try:
        number = count(elements.data)
    except ValueError as error:
        raise Misfit(f"the BYTES of output {quote(name)} are not valid: {error}") from None
    return Value(name, BYTES, _shape(name, number, described), elements.data)


def _shape(name: str, number: int, described: Sequence[int]) -> tuple[int, ...]:
    """The described shape with its first size that varies chosen so that it has `number` elements."""
    fixed = math.prod(size for size in described if size != ANY)
    shape = list(described)
    if ANY in shape and fixed and number % fixed == 0:
        shape = [1 if size == ANY else size for size in described]
        shape[described.index(ANY)] = number // fixed
    if math.prod(shape) != number or ANY in shape:
        raise Misfit(f"output {quote(name)} has {number} elements; it was described as {spell(tuple(described))}")
    return tuple(shape)
