"""Why something cannot be rewritten although it may be right: in one short clause for people."""

from __future__ import annotations


class Obstacle(Exception):
    """What is asked for cannot be done; the text says why. None leaves this package."""
