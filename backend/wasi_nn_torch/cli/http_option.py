"""The option `--http` of `wasi-nn-torch serve`: which component answers at which paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_OPTION = "--http"
_VARIABLE = "env."


def components_of(values: list[str], keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The tables of the configuration for values like `guest.wasm`, `/shop=guest.wasm` or `shop=guest.wasm,at=/shop`.

    A component without a name has that of its path or, at `/`, of its file. `keys` are the options. Raises ValueError
    for a value of another form, and for a name that is used twice.
    """
    tables: dict[str, dict[str, Any]] = {}
    pattern = "|".join([*map(re.escape, keys), re.escape(_VARIABLE) + r"[^,=]+"])
    for value in values:
        name, table = _component(value, pattern)
        if name in tables:
            raise ValueError(f"{_OPTION}: `{name}` is given more than once; give each a name: NAME={table['path']}")
        tables[name] = table
    return tables


def _component(value: str, keys: str) -> tuple[str, dict[str, Any]]:
    rest, given = value, dict[str, str]()
    while found := re.search(rf",({keys})=([^,]*)$", rest):
        key, text = found.groups()
        if key in given:
            raise ValueError(f"{_OPTION}: `{value}` gives {key} more than once")
        given[key] = text
        rest = rest[: found.start()]
    first, separator, file = rest.partition("=")
    path = file if separator else first
    if not path or (separator and not first):
        raise ValueError(f"{_OPTION}: `{value}` is not [NAME=]PATH[,OPTION=VALUE]… or /BEGINNING=PATH[,OPTION=VALUE]…")
    table: dict[str, Any] = {"path": path}
    if first.startswith("/") and separator:
        table["at"] = first
    env = {key.removeprefix(_VARIABLE): text for key, text in given.items() if key.startswith(_VARIABLE)}
    if env:
        table["env"] = env
    table |= {key: text for key, text in reversed(given.items()) if not key.startswith(_VARIABLE)}
    return (separator and first.strip("/")) or Path(path).stem, table
