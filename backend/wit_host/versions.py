"""The choice between versions of an interface, as Wasmtime links.

An exact match is preferred. Otherwise `1.x.y` serves every `1.*`, and `0.2.x` every `0.2.*`, whether older or newer;
the newest of several serves. `0.0.x`, prereleases and names without a version only serve themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: A version that may be compatible with others.
_VERSION = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(\+.*)?")


def track(name: str) -> tuple[str, int, int] | None:
    """Return the common part of names with compatible versions; None if no other name is compatible."""
    package, _, version = name.partition("@")
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    major, minor = int(match[1]), int(match[2])
    if major:
        return package, major, 0
    return (package, 0, minor) if minor else None


def find(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that serves `name`, or None."""
    known = list(names)
    if name in known:
        return name
    wanted = track(name)
    if wanted is None:
        return None
    return max((each for each in known if track(each) == wanted), key=_age, default=None)


def _age(name: str) -> tuple[int, ...]:
    match = _VERSION.fullmatch(name.partition("@")[2])
    return () if match is None else tuple(int(match[number]) for number in (1, 2, 3))
