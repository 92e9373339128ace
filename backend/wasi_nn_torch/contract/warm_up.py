"""The computations of a model when it is loaded, so that the first guest need not wait for slow first ones."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wasi_nn_torch.contract.text import quote

#: The sizes of a tensor, which is filled with zeros, or a number if the model takes one.
Example = tuple[int, ...] | float

_SIZES = re.compile(r"\d{1,18}(?:x\d{1,18})*")
_NUMBER = re.compile(r"-?\d{1,18}\.\d{1,18}|-\d{1,18}")
_EXPECTED = "give yes, or the sizes of an input, such as 1x3x224x224"


@dataclass(frozen=True)
class WarmUp:
    """The inputs of a few computations whose results are discarded.

    `given` are examples of inputs by name, or by None for the only input; the others are derived from the model.
    """

    given: tuple[tuple[str | None, Example], ...] = ()

    @classmethod
    def of(cls, value: object) -> WarmUp | None:
        """The inputs that Python code asks for: True, the sizes of the only input, or a mapping of sizes by name.

        None and False mean that nothing is computed. Raises ValueError for anything else.
        """
        if value is None or value is False:
            return None
        if isinstance(value, WarmUp):
            return value
        if value is True:
            return cls()
        given = value if isinstance(value, Mapping) else {None: value}
        return cls(tuple((_name(name), _example(name, each)) for name, each in given.items()))

    @classmethod
    def parse(cls, texts: Mapping[str | None, str]) -> WarmUp | None:
        """The inputs that the command line asks for, by name: "yes", or sizes, such as "1x3x224x224".

        None is the name of the only input. Raises ValueError for anything else.
        """
        if not texts:
            return None
        return cls(tuple((name, _parse(text)) for name, text in texts.items() if name is not None or text != "yes"))


def _name(name: object) -> str | None:
    if name is None or isinstance(name, str):
        return name
    raise ValueError(f"warm_up has the key {quote(repr(name))}; keys are the names of inputs")


def _example(name: str | None, value: object) -> Example:
    where = "warm_up" if name is None else f"warm_up of {quote(name)}"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}; give a number that is finite")
        return value
    sizes = [value] if isinstance(value, int) else value
    if not isinstance(sizes, Sequence) or isinstance(sizes, str | bytes):
        raise ValueError(f"{where} is {quote(repr(value))}; give the sizes of the input, such as (1, 3, 224, 224)")
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or (size < 0 and len(sizes) > 1):
            raise ValueError(f"{where} has the size {quote(repr(size))}; sizes are whole numbers of at least 0")
    return tuple(sizes)


def _parse(text: str) -> Example:
    if _SIZES.fullmatch(text):
        return tuple(map(int, text.split("x")))
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else (int(text),)
    raise ValueError(f"a model cannot be warmed up with `{text}`; {_EXPECTED}")
