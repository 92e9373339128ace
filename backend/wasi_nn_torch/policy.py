"""What the operator allows; free of torch, so that the command line can offer the choices at once."""

from __future__ import annotations

from enum import Enum


class GuestModels(Enum):
    """Which models a guest may bring along: none, those that pass a static check, or any."""

    NONE = "none"
    CHECKED = "checked"
    ANY = "any"
