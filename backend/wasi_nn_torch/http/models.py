"""What is served under a name: the protocol that graphs and pipelines share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wasi_nn_torch.http.admission import Gate
from wasi_nn_torch.http.messages import InferRequest, Metadata
from wasi_nn_torch.pipelines.values import Value

#: The only version of each model.
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and who makes it: its `id` for the log, its `tenant`, and when it is due, in `time.monotonic`."""

    request: InferRequest
    id: str
    tenant: str | None = None
    due: float | None = None


class Model(Protocol):
    """A graph or a pipeline."""

    @property
    def name(self) -> str:
        """The name in the path."""
        ...

    @property
    def kind(self) -> str:
        """What it is, in metrics: `graph` or `pipeline`."""
        ...

    @property
    def platform(self) -> str:
        """What it is, for the metadata."""
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
    def metadata(self) -> Metadata:
        """Its inputs and outputs."""
        ...

    @property
    def replaced(self) -> Mapping[str, int]:
        """How many of its instances were ended, by the reason."""
        ...

    def infer_now(self, call: Call) -> Sequence[Value] | None:
        """Answer a request without waiting, as `infer` does; None if that is not possible, or could take a while."""
        ...

    async def infer(self, call: Call) -> Sequence[Value]:
        """Answer a request; raises `HttpError`, and the errors of guests and of graphs."""
        ...

    def close(self) -> None:
        """Release everything, without waiting for requests."""
        ...
