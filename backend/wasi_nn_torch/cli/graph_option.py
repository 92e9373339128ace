"""The command line's `--graph NAME=PATH[,OPTION=VALUE]…`: the only place that knows how it is spelled."""

from __future__ import annotations

import re
from typing import NamedTuple

import typer

from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.contract.warm_up import WarmUp

#: How `--help` shows it.
METAVAR = "NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W]"

#: An option after the path of a model; a path may have commas in it.
_OPTION = re.compile(r",(device|optimize|method|dtype\.[^,=]*|warm-up(?:\.[^,=]*)?)=([^,]*)$")
_DTYPE = "dtype."


class OfferedModel(NamedTuple):
    """A model that the command line offers."""

    name: str
    path: str
    device: str | None
    options: ModelOptions


def parse_graph(text: str) -> OfferedModel:
    """`NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W]`, the options in any order.

    Raises typer.BadParameter.
    """
    name, _, path = text.partition("=")
    given: dict[str, str] = {}
    while found := _OPTION.search(path):
        option, value = found.groups()
        if option in given:
            raise _wrong(f"`{text}` has the option {option} twice")
        given[option] = value
        path = path[: found.start()]
    if not name or not path or "" in given.values() or not {"warm-up.", _DTYPE}.isdisjoint(given):
        raise _wrong(f"`{text}` is not NAME=PATH, NAME=PATH,device=D, NAME=PATH,optimize=O or NAME=PATH,dtype.INPUT=T")
    return OfferedModel(name, path, given.get("device"), _options(text, given))


def _options(text: str, given: dict[str, str]) -> ModelOptions:
    optimize = _optimize(text, given.get("optimize"))
    try:
        warm_up = WarmUp.parse(_warm_up(given))
        return ModelOptions(optimize=optimize, method=given.get("method"), warm_up=warm_up, dtypes=_dtypes(given))
    except ValueError as error:
        reason = str(error)
    raise _wrong(f"`{text}`: {reason}")


def _warm_up(given: dict[str, str]) -> dict[str | None, str]:
    """`warm-up=yes`, `warm-up=SIZES` and `warm-up.INPUT=SIZES`: the values by the name of the input, or by None."""
    options = {tuple(option.partition(".")): value for option, value in given.items()}
    return {name if dot else None: value for (option, dot, name), value in options.items() if option == "warm-up"}


def _dtypes(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    named = [(option.removeprefix(_DTYPE), value) for option, value in given.items() if option.startswith(_DTYPE)]
    return tuple(reversed(named))  # in the order in which they stand there


def _optimize(text: str, value: str | None) -> Optimize | None:
    choices = {choice.value: choice for choice in Optimize}
    if value is None:
        return None
    if value not in choices:
        raise _wrong(f"`{text}` is to be optimized by `{value}`; choose {' or '.join(choices)}")
    return choices[value]


def _wrong(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint="--graph")
