"""The command line's `--graph NAME=PATH[,OPTION=VALUE]…`: the only place that knows how it is spelled."""

from __future__ import annotations

import re
from typing import NamedTuple

import typer

from wasi_nn_torch.policy import ModelOptions, Optimize

#: How `--help` shows it.
METAVAR = "NAME=PATH[,device=D][,optimize=O][,method=M]"

#: An option after the path of a model; a path may have commas in it.
_OPTION = re.compile(r",(device|optimize|method)=([^,]*)$")


class OfferedModel(NamedTuple):
    """A model that the command line offers."""

    name: str
    path: str
    device: str | None
    options: ModelOptions


def parse_graph(text: str) -> OfferedModel:
    """`NAME=PATH[,device=D][,optimize=O][,method=M]`, the options in any order; raises typer.BadParameter."""
    name, _, path = text.partition("=")
    given: dict[str, str] = {}
    while found := _OPTION.search(path):
        option, value = found.groups()
        if option in given:
            raise _wrong(f"`{text}` has the option {option} twice")
        given[option] = value
        path = path[: found.start()]
    if not name or not path or "" in given.values():
        raise _wrong(f"`{text}` is not NAME=PATH, NAME=PATH,device=D or NAME=PATH,optimize=O")
    return OfferedModel(name, path, given.get("device"), _options(text, given))


def _options(text: str, given: dict[str, str]) -> ModelOptions:
    optimize = _optimize(text, given.get("optimize"))
    try:
        return ModelOptions(optimize, given.get("method"))
    except ValueError as error:
        reason = str(error)
    raise _wrong(f"`{text}`: {reason}")


def _optimize(text: str, value: str | None) -> Optimize | None:
    choices = {choice.value: choice for choice in Optimize}
    if value is None:
        return None
    if value not in choices:
        raise _wrong(f"`{text}` is to be optimized by `{value}`; choose {' or '.join(choices)}")
    return choices[value]


def _wrong(text: str) -> typer.BadParameter:
    return typer.BadParameter(text, param_hint="--graph")
