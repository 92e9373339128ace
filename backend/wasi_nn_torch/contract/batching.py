"""The protocols of a backend that computes the requests of several sessions to one graph together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, runtime_checkable

from wasi_nn_torch.contract.backend import Context, Graph
from wasi_nn_torch.contract.tensor import NamedTensor


class Request(Protocol):
    """The inputs of one computation, checked and owned by it until `drop`.

    `kind` is equal for requests of the same graph that can be computed together, which have `rows` rows each. It is
    None for a request that can only be computed alone.
    """

    @property
    def kind(self) -> Hashable:
        """Equal for requests that can be computed together."""
        ...

    @property
    def rows(self) -> int:
        """The size of dimension 0 of each input."""
        ...

    @property
    def has_failed(self) -> bool:
        """Whether it was computed, and the model failed."""
        ...

    def outputs(self) -> list[NamedTensor]:
        """The outputs, once it was computed, as tensors of its session; called once, by the session's own thread.

        Raises NnError if the model failed, or a limit of the session does not suffice.
        """
        ...

    def drop(self) -> None:
        """Drop the inputs, and outputs that were not fetched; a second call does nothing."""
        ...


@runtime_checkable
class JoinsRequests(Graph, Protocol):
    """A graph whose requests can be computed together, loaded with `ModelOptions.batch`. Any thread may use it."""

    @property
    def lanes(self) -> int:
        """The number of batches of this graph that are worth computing at the same time."""
        ...

    def compute_together(self, requests: Sequence[Request]) -> bool:
        """Compute requests of one kind, at least one, on the thread that calls, which may be any session's.

        Returns True if each request now has its outputs or its failure, and False if joining them failed: then nothing
        has changed, and the caller computes each by itself, which always returns True. Outputs of one request share no
        memory with those of another. If this raises, which it does for no fault of a model, nothing has changed.
        """
        ...


@runtime_checkable
class MakesRequests(Context, Protocol):
    """A context of a graph that is `JoinsRequests`."""

    def request(self, inputs: Sequence[NamedTensor]) -> Request:
        """Check the inputs, which belong to the callee, and move them to the graph's device.

        Raises NnError, as `compute` does for inputs that do not fit, after dropping them.
        """
        ...
