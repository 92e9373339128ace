"""Names of one scope that a component cannot tell apart.

In: names as they are written, those of methods in full (`[method]r.m`). Out: the part that has to be distinct, and the
error if it is not.
"""

from __future__ import annotations

from witgen.diagnostics import WitError
from witgen.syntax import Span


def distinctive(name: str) -> str:
    """The part of a name that no other name in its scope may have; case is ignored.

    A method or static function `r.r` counts as `r` itself; a constructor may have the name of its resource.
    """
    lowered = name.lower()
    sort, _, rest = lowered.partition("]")
    if not rest or sort == "[constructor":
        return lowered
    resource, _, member = rest.partition(".")
    return resource if member == resource else rest


def too_similar(name: str, before: str, place: Span) -> WitError:
    """The error for `name`, which is at `place`, beside a name that is distinct from it in the text alone."""
    if name.lower() == before.lower():
        return WitError(f"`{name}` and `{before}` differ only in case", place, "rename one of them")
    return WitError(f"`{name}` and `{before}` are the same name to a component", place, "rename one of them")
