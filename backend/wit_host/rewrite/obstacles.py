"""The reason why a valid component, or a part of it, is not rewritten."""

from __future__ import annotations


class Obstacle(Exception):
    """A part cannot be rewritten; the text says why, in one short clause. No obstacle leaves this package."""
