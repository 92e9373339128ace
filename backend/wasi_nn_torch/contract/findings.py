"""What `wasi-nn-torch doctor` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Health(Enum):
    """How something is: `MISSING` is what guests can do without, `BROKEN` what they cannot."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Finding:
    """One thing that guests need or can use: how it is, and what to do, which is a command wherever it can be one."""

    name: str
    text: str
    health: Health = Health.OK
    remedy: str | None = None
