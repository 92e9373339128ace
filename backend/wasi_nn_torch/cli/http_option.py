"""The option `--http` of `wasi-nn-torch serve`: which component answers at which paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wasi_nn_torch.cli.options_of_paths import require_no_option, split_options

_OPTION = "--http"
_VARIABLE = "env."


def components_of(values: list[str], keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The tables of the configuration for values like `guest.wasm`, `/shop=guest.wasm` or `shop=guest.wasm,at=/shop`.

    A component without a name has that of its path or, at `/`, of its file. `keys` are the options. Raises ValueError
    for a value of another form, and for a name that is used twice.
    """
    tables: dict[str, dict[str, Any]] = {}
    known = [*keys]
    for value in values:
        try:
            name, table = _component(value, known)
        except ValueError as error:
            raise ValueError(f"{_OPTION}: {error}") from None
        if name in tables:
            raise ValueError(f"{_OPTION}: `{name}` is given more than once; give each a name: NAME={table['path']}")
        tables[name] = table
    return tables


def _component(value: str, known: list[str]) -> tuple[str, dict[str, Any]]:
    rest, given = split_options(value, "|".join([*map(re.escape, known), re.escape(_VARIABLE) + r"[^,=]+"]))
    first, separator, file = rest.partition("=")
    path = file if separator else first
    if not path or (separator and not first):
        raise ValueError(f"`{value}` is not [NAME=]PATH[,OPTION=VALUE]… or /BEGINNING=PATH[,OPTION=VALUE]…")
    require_no_option(path, known)
    table: dict[str, Any] = {"path": path}
    if first.startswith("/") and separator:
        table["at"] = first
    env = {key.removeprefix(_VARIABLE): text for key, text in given.items() if key.startswith(_VARIABLE)}
    if env:
        table["env"] = env
    table |= {key: text for key, text in given.items() if not key.startswith(_VARIABLE)}
    return (separator and first.strip("/")) or Path(path).stem, table
