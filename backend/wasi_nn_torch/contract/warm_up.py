"""What a model computes when it is loaded, so that the first guest need not wait; free of torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wasi_nn_torch.contract.errors import quote

Example = tuple[int, ...] | float
"""The sizes of a tensor, which is filled with zeros, or a number where the model takes one."""

_SIZES = re.compile(r"\d{1,18}(?:x\d{1,18})*")
_NUMBER = re.compile(r"-?\d{1,18}\.\d{1,18}|-\d{1,18}")
_EXPECTED = "give yes, or the sizes of an input as 1x3x224x224"


@dataclass(frozen=True)
class WarmUp:
    """The inputs of some computations, whose results nobody sees.

    `given` are examples of inputs by name, or by None for the only one; the model tells the others.
    """

    given: tuple[tuple[str | None, Example], ...] = ()

    @classmethod
    def of(cls, value: object) -> WarmUp | None:
        """From what Python code gives: True, the sizes of the only input, or a mapping of sizes by name.

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
        """From what the command line gives: "yes", or sizes, such as "1x3x224x224"; None is the name of the only input.

        Raises ValueError for anything else.
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
        return value
    sizes = [value] if isinstance(value, int) else value
    if not isinstance(sizes, Sequence) or isinstance(sizes, (str, bytes)):
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
    raise ValueError(f"`{text}` is not what a model could be warmed up with; {_EXPECTED}")
