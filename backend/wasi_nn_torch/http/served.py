"""What a server has figures of, and closes: graphs, pipelines, and components that answer requests themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from wasi_nn_torch.http.admission import Gate


class Served(Protocol):
    """A graph, a pipeline or a component."""

    @property
    def name(self) -> str:
        """The name in the path, or that of the component."""
        ...

    @property
    def kind(self) -> str:
        """What it is, in metrics: `graph`, `pipeline` or `component`."""
        ...

    @property
    def gate(self) -> Gate:
        """Who gets in."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it answers requests."""
        ...

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many of its instances were ended, by the reason."""
        ...

    def close(self) -> None:
        """Release everything, without waiting for requests."""
        ...
