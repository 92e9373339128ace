"""The types of functions: their parameters and result, and names for more parameters."""

from __future__ import annotations

from collections.abc import Sequence

from .parts import Part
from .types import Type


def parameters(function: Type) -> Sequence[Part]:
    """Return the types of the parameters of a function type."""
    return function.parts[: len(function.labels)]


def result(function: Type) -> Part | None:
    """Return the type of the result of a function type, if it has one."""
    return function.parts[-1] if len(function.parts) > len(function.labels) else None


def unused(labels: Sequence[bytes], wanted: bytes) -> bytes:
    """Return an unused name for one more parameter, similar to `wanted`; names are compared without case."""
    taken, name, number = {label.lower() for label in labels}, wanted, 0
    while name in taken:
        number += 1
        name = wanted + b"%d" % number
    return name
