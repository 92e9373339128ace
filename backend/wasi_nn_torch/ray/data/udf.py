"""The callable class that `Dataset.map_batches` makes once in each actor."""

from __future__ import annotations


class GuestUDF:
    """A guest as a function on batches of a dataset."""
