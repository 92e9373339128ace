"""The syntax `PATH[,OPTION=VALUE]…`, in which the path may contain commas as well."""

from __future__ import annotations

import difflib
import os.path
import re
from collections.abc import Iterable

from wasi_nn_torch.contract.text import quote, quote_all

#: What looks like an option, such as `,optimise=none` or `,dtype.x=bool`.
_LIKE_AN_OPTION = re.compile(r",([a-z]+(?:[-_][a-z]+)*)(?:\.[^,=]*)?=[^,]*$")


def split_options(text: str, keys: str) -> tuple[str, dict[str, str]]:
    """What is in front of the options, and the options by name, in their order.

    `keys` is a pattern for their names. Raises ValueError for an option that is given twice.
    """
    given: dict[str, str] = {}
    rest = text
    while found := re.search(rf",({keys})=([^,]*)$", rest):
        key, value = found.groups()
        if key in given:
            raise ValueError(f"`{text}` gives {key} more than once")
        given[key] = value
        rest = rest[: found.start()]
    return rest, dict(reversed(given.items()))


def require_no_option(path: str, known: Iterable[str]) -> None:
    """Raise ValueError if a path ends with what looks like an option, unless a file has that name."""
    found = _LIKE_AN_OPTION.search(path)
    if found is None or os.path.exists(path):
        return
    names = list(known)
    near = difflib.get_close_matches(found[1], names, n=1)
    hint = f"did you mean {quote(near[0])}?" if near else f"expected one of {quote_all(names)}"
    raise ValueError(f"unknown option {quote(found[1])}; {hint}")
