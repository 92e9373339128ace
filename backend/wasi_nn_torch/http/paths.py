"""Which paths belong to a component: those that begin with all segments of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from wasi_nn_torch.contract.text import quote

#: `/`, or segments without percent signs, which every spelling of a path would have to be compared with.
_BEGINNING = re.compile(r"/|(/(?!\.{1,2}(/|$))[A-Za-z0-9\-._~]+)+", re.ASCII)
#: The beginnings of the paths that the server answers itself.
_RESERVED = ("/v2", "/metrics")


def within(beginning: str, path: str) -> str | None:
    """The rest of a path that begins with all segments of `beginning`, from a `/` on; None for any other path."""
    if beginning == "/":
        return path
    if path == beginning:
        return "/"
    return path[len(beginning) :] if path.startswith(beginning + "/") else None


def is_reserved(path: str) -> bool:
    """Whether the server itself answers a path."""
    return any(within(each, path) is not None for each in _RESERVED)


def require_beginning(path: str) -> None:
    """Raise ValueError for what cannot be the beginning of the paths of a component."""
    if not _BEGINNING.fullmatch(path):
        raise ValueError(
            f"{quote(path)} is not the beginning of a path; give `/`, or segments of letters, digits, `-`, `.`, `_` "
            "and `~` such as `/shop`"
        )
    if is_reserved(path):
        raise ValueError(f"the server itself answers {quote(path)}; choose another path")


def require_distinct(paths: Mapping[str, str]) -> None:
    """Raise ValueError if two components, by their names, have the same path."""
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if path in seen:
            raise ValueError(
                f"{quote(seen[path])} and {quote(name)} have the same path {quote(path)}; give each its own"
            )
        seen[path] = name
