"""The syntax of `--graph NAME=PATH[,OPTION=VALUE]…`."""

from __future__ import annotations

from wasi_nn_torch.cli.exits import bad_value
from wasi_nn_torch.cli.options_of_paths import require_no_option, split_options
from wasi_nn_torch.configuration.graphs import KEYS, OPTIONS, OfferedModel, graph_of

#: The metavar in `--help`.
METAVAR = "NAME=PATH[,device=D][,optimize=O][,method=M][,dtype.INPUT=T][,warm-up=W][,batch=N][,delay=D]"
#: The options for error texts.
SPELLINGS = ["dtype.INPUT" if key == "dtype" else key for key in KEYS]


def parse_graph(text: str) -> OfferedModel:
    """`NAME=PATH[,OPTION=VALUE]…`, with the options of `METAVAR`, `preferred`, `queue` and `batch-trial`, in any order.

    Raises typer.BadParameter.
    """
    with bad_value("--graph"):
        return _parsed(text)


def _parsed(text: str) -> OfferedModel:
    rest, given = split_options(text, OPTIONS)
    name, _, path = rest.partition("=")
    if not name or not path or "" in given.values() or not {"warm-up.", "dtype."}.isdisjoint(given):
        raise ValueError(f"`{text}` is not {METAVAR}")
    try:
        require_no_option(path, SPELLINGS)
        return graph_of(name, path, given)
    except ValueError as error:
        raise ValueError(f"`{text}`: {error}") from None
