"""Python host bindings from WIT: parse, resolve, generate.

In process: `resolve` returns the meaning of WIT as JSON; `witgen.resolver.resolve` returns the same as typed
objects, and `witgen.generate.generate` the files of a package of bindings. All raise `WitError` for faults in the WIT.
"""

from __future__ import annotations

from collections.abc import Collection
from os import PathLike
from typing import Any

from witgen.diagnostics import WitError

__all__ = ["WitError", "resolve"]


def resolve(path: str | PathLike[str], all_features: bool = False, features: Collection[str] = ()) -> dict[str, Any]:
    """Resolve WIT, a directory with its `deps/` or a binary, to the JSON that `witgen resolve --json` prints.

    Items with `@unstable` are left out unless their feature is in `features`, or `all_features` is set. Raises
    `WitError`, whose `file`, `line`, `column` and `message` say what to fix.
    """
    from witgen.dump import dump
    from witgen.resolver import resolve as resolved

    return dump(resolved(path, all_features=all_features, features=features))
