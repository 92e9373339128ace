"""Which of several versions of an interface serves a name: the rule by which Wasmtime links.

A name that is there exactly is taken. Else `1.x.y` serves every `1.*`, `0.2.x` every `0.2.*`, whichever of the two is
the newer one, and the newest of several serves. `0.0.x`, prereleases and names without a version serve only themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_VERSION = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)(\+.*)?")


def track(name: str) -> tuple[str, int, int] | None:
    """What names of compatible versions have in common; None if a name is compatible with no other."""
    package, _, version = name.partition("@")
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    major, minor = int(match[1]), int(match[2])
    if major:
        return package, major, 0
    return (package, 0, minor) if minor else None


def find(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that serves `name`, or nothing."""
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
