"""The hold of a session on a graph."""

from __future__ import annotations

import weakref
from typing import Any

from wasi_nn_torch.contract.backend import Backend, BackendSession, Context, DescribesGraphs, Graph
from wasi_nn_torch.contract.description import GraphDescription
from wasi_nn_torch.serving.batching import Batcher

_UNKNOWN = GraphDescription()


class Lease:
    """A session's hold on a graph of `backend`, which counts as in use while its `users` are alive.

    These are the leases of the graph and the contexts made from them. Guest-supplied graphs have no `users`, since only
    their own session uses them. `batcher` computes what several sessions ask of the graph together.
    """

    __slots__ = ("__weakref__", "_users", "backend", "batcher", "graph")

    def __init__(
        self,
        backend: Backend[Any],
        graph: Graph,
        users: weakref.WeakSet[object] | None = None,
        batcher: Batcher | None = None,
    ) -> None:
        self.backend = backend
        self.graph = graph
        self.batcher = batcher
        self._users = users
        if users is not None:
            users.add(self)

    @property
    def description(self) -> GraphDescription:
        """The description of the graph; an empty one if its backend does not describe graphs."""
        return self.backend.describe_graph(self.graph) if isinstance(self.backend, DescribesGraphs) else _UNKNOWN

    def context(self, session: BackendSession[Any]) -> Context:
        """Make a context in `session`, which belongs to the graph's backend; raises NnError."""
        context = session.context(self.graph)
        if self._users is not None:
            self._users.add(context)
        return context
