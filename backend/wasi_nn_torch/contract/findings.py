"""The findings of `wasi-nn-torch doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Health(Enum):
    """The state of something that guests use: they can do without it if it is `MISSING`, but not if it is `BROKEN`."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that guests need or can use: its state, and a remedy, which is a command if possible."""

    name: str
    text: str
    health: Health = Health.OK
    remedy: str | None = None
