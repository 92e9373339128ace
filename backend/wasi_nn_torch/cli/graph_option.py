"""The syntax of `--graph NAME=PATH[,OPTION=VALUE]…`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from wasi_nn_torch.cli.exits import bad_value
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.contract.text import quote_all
from wasi_nn_torch.contract.warm_up import WarmUp

#: The metavar in `--help`.
METAVAR = "NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W]"

#: An option after the path of a model; the path may contain commas.
OPTIONS = r"device|optimize|method|dtype\.[^,=]*|warm-up(?:\.[^,=]*)?"
_OPTION = re.compile(rf",({OPTIONS})=([^,]*)$")
_DTYPE = "dtype."


class OfferedModel(NamedTuple):
    """A model that the command line registers."""

    name: str
    path: str
    device: str | None
    options: ModelOptions


def graph_of(name: str, path: str, options: Mapping[str, str]) -> OfferedModel:
    """A model with options by name, as `--graph` spells them, such as `device` or `dtype.x`; raises ValueError."""
    unknown = [option for option in options if not _OPTION.fullmatch(f",{option}=")]
    if unknown:
        raise ValueError(f"unknown options of a graph: {quote_all(unknown)}")
    return OfferedModel(name, path, options.get("device"), _options(dict(options)))


def parse_graph(text: str) -> OfferedModel:
    """`NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W]`, the options in any order.

    Raises typer.BadParameter.
    """
    with bad_value("--graph"):
        return _parsed(text)


def _parsed(text: str) -> OfferedModel:
    name, _, path = text.partition("=")
    given: dict[str, str] = {}
    while found := _OPTION.search(path):
        option, value = found.groups()
        if option in given:
            raise ValueError(f"`{text}` gives {option} more than once")
        given[option] = value
        path = path[: found.start()]
    if not name or not path or "" in given.values() or not {"warm-up.", _DTYPE}.isdisjoint(given):
        raise ValueError(f"`{text}` is not {METAVAR}")
    try:
        return OfferedModel(name, path, given.get("device"), _options(given))
    except ValueError as error:
        raise ValueError(f"`{text}`: {error}") from None


def _options(given: dict[str, str]) -> ModelOptions:
    return ModelOptions(
        optimize=_optimize(given.get("optimize")),
        method=given.get("method"),
        warm_up=WarmUp.parse(_warm_up(given)),
        dtypes=_dtypes(given),
    )


def _warm_up(given: dict[str, str]) -> dict[str | None, str]:
    """The values of `warm-up.INPUT=…` by the name of the input, and the value of `warm-up=…` by None."""
    options = {tuple(option.partition(".")): value for option, value in given.items()}
    return {name if dot else None: value for (option, dot, name), value in options.items() if option == "warm-up"}


def _dtypes(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    named = [(option.removeprefix(_DTYPE), value) for option, value in given.items() if option.startswith(_DTYPE)]
    return tuple(reversed(named))  # in the order of the command line


def _optimize(value: str | None) -> Optimize | None:
    choices = {choice.value: choice for choice in Optimize}
    if value is not None and value not in choices:
        raise ValueError(f"unknown optimization `{value}`; expected {' or '.join(choices)}")
    return None if value is None else choices[value]
