"""The syntax of `--graph NAME=PATH[,OPTION=VALUE]…`."""

from __future__ import annotations

import re

from wasi_nn_torch.cli.exits import bad_value
from wasi_nn_torch.configuration.graphs import OPTIONS, OfferedModel, graph_of

#: The metavar in `--help`.
METAVAR = "NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W][,batch=N][,delay=D]"

#: An option after the path of a model; the path may contain commas.
_OPTION = re.compile(rf",({OPTIONS})=([^,]*)$")


def parse_graph(text: str) -> OfferedModel:
    """`NAME=PATH[,OPTION=VALUE]…`, with the options of `METAVAR`, `preferred`, `queue` and `batch-trial`, in any order.

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
    if not name or not path or "" in given.values() or not {"warm-up.", "dtype."}.isdisjoint(given):
        raise ValueError(f"`{text}` is not {METAVAR}")
    try:
        return graph_of(name, path, given)
    except ValueError as error:
        raise ValueError(f"`{text}`: {error}") from None
