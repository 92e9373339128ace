"""The protocols between this host and a machine learning engine that serves a graph encoding of wasi-nn.

Errors that concern a guest are raised as `NnError`, those that concern the operator as `ModelError` or `ValueError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from wasi_nn_torch.contract.description import ModelDescription
from wasi_nn_torch.contract.findings import Finding
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions
from wasi_nn_torch.contract.tensor import NamedTensor, Tensor
from wasi_nn_torch.contract.vocabulary import ElementType, ExecutionTarget

ModelSource = str | os.PathLike[str] | bytes | object
"""An operator's model: the path of a file, its bytes, or an object that a backend knows."""


@dataclass(frozen=True)
class BackendOptions:
    """The options of an engine that a backend may need: see `Engine`."""

    device: str | None = None
    guest_models: GuestModels = GuestModels.NONE
    threads: int | None = None


class Graph(Protocol):
    """A model that is loaded on one device; shared by sessions, which may run in several threads at a time."""

    @property
    def nbytes(self) -> int:
        """The memory that the model takes, in bytes, as far as it is known."""
        ...


class Context(Protocol):
    """The `graph-execution-context` of wasi-nn: one session's use of a graph, and its state. One thread at a time."""

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once; raises NnError.

        The inputs, which may be another backend's, belong to the callee: it drops them before it returns, whatever the
        outcome.
        """
        ...


G = TypeVar("G", bound=Graph)


class BackendSession(Protocol[G]):
    """A backend's part of one session: it owns all memory that the backend keeps for that session.

    A session's guest runs in one thread at a time.
    """

    @property
    def idle_bytes(self) -> int:
        """The memory of the host that dropped tensors left, and that is kept for the next ones, in bytes."""
        ...

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> G:
        """Load a guest-supplied model (`graph.load` of wasi-nn), copying the bytes; raises NnError.

        The memory of the model is granted and counted by the session's ledger.
        """
        ...

    def context(self, graph: G) -> Context:
        """Make a context for a graph that this backend loaded, for any session; raises NnError."""
        ...

    def close(self) -> None:
        """Free what is kept for the session, whose tensors are dropped already; the second time does nothing."""
        ...


@runtime_checkable
class MakesTensors(Protocol):
    """A `BackendSession` that makes the tensors of guests, as that of the default backend does."""

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
        """Make a tensor on a copy of a guest's bytes (the constructor of `tensor` in wasi-nn).

        Dimensions that do not fit the bytes are refused later, by `Tensor.require_fit`, since that constructor cannot
        fail; raises NnError `too-large` only.
        """
        ...


class Backend(Protocol[G]):
    """A machine learning engine: made once for each `Engine`, used by any number of threads.

    It may offer `DescribesModels`, `Diagnoses` and `KeepsMemory` as well.
    """

    @property
    def device(self) -> str:
        """The device on which graphs run by default."""
        ...

    def find_device(self, device: str) -> str:
        """The full name of a device, as "cuda:0" is that of "cuda"; raises ValueError if there is no such device."""
        ...

    def recognize(self, model: ModelSource) -> str | None:
        """The format of a model of this backend, such as "TorchScript"; None if it is not one of its models.

        Raises OSError if the model's file cannot be read.
        """
        ...

    def load(self, model: ModelSource, device: str, name: str, options: ModelOptions, format: str | None = None) -> G:
        """Load a model of the operator, which error texts call `name`.

        `format` is the answer of `recognize` for this model, if it was asked. Raises ModelError, also for an option
        that the backend cannot follow, and OSError for the model's file.
        """
        ...

    def session(self, ledger: Ledger) -> BackendSession[G]:
        """Open this backend's part of a session, which counts its tensors in `ledger`."""
        ...


@runtime_checkable
class DescribesModels(Protocol):
    """A backend that can tell people about a model: see `wasi-nn-torch inspect`."""

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        """Describe the model in a file, which error texts call `name`; `method` chooses one of several methods.

        A model that a guest might not supply is neither loaded nor run, unless `trust` is True. Raises ModelError if it
        cannot be used, and OSError for its file.
        """
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """A backend that can tell people about its engine and devices: see `wasi-nn-torch doctor`."""

    def diagnose(self) -> Iterable[Finding]:
        """The engine and its devices on this machine, and what is missing."""
        ...


@runtime_checkable
class KeepsMemory(Protocol):
    """A backend that keeps freed device memory for the next tensors."""

    def trim(self) -> None:
        """Give unused device memory back to the driver."""
        ...
