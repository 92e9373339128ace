"""The protocols between this host and a machine learning engine that serves a graph encoding of wasi-nn.

Errors for the guest are raised as `NnError`, errors for the operator as `ModelError` or `ValueError`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from wasi_nn_torch.contract.description import GraphDescription, ModelDescription
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.findings import Finding
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions
from wasi_nn_torch.contract.tensor import NamedTensor, Tensor, TensorSource
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget

#: The entry point group of backends; the name of an entry point is the encoding that the backend serves.
GROUP: Final = "wasi_nn_torch.backends"

#: One of the operator's models: the path of a file, its bytes, or an object that a backend recognizes.
ModelSource = str | os.PathLike[str] | bytes | object


@dataclass(frozen=True)
class BackendOptions:
    """Those options of an `Engine` that a backend may need.

    For isolated models, `guest_devices` is whether they may use other devices than the CPU, `waive` has those parts of
    the confinement that may be lacking, and `prepares` is whether to start what takes long before the first of them.
    `imports` are modules that the engine imported because they register operators.
    """

    device: str | None = None
    guest_models: GuestModels = GuestModels.NONE
    threads: int | None = None
    guest_devices: bool = False
    waive: frozenset[str] = frozenset()
    prepares: bool = False
    imports: tuple[str, ...] = ()


class Graph(Protocol):
    """A model that is loaded on one device; shared by sessions, which may run in several threads at a time."""

    @property
    def nbytes(self) -> int:
        """The memory that the model takes in bytes, as far as it is known."""
        ...


class Context(Protocol):
    """The `graph-execution-context` of wasi-nn: one session's use of a graph, with its state; used by one thread."""

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once; raises NnError.

        The inputs, which other backends may have made, belong to the callee, which drops them before it returns or
        raises.
        """
        ...


G = TypeVar("G", bound=Graph)
G_contra = TypeVar("G_contra", bound=Graph, contravariant=True)


class BackendSession(Protocol[G]):
    """A backend's part of one session, which owns all memory that the backend keeps for that session.

    It is used by one thread at a time.
    """

    @property
    def idle_bytes(self) -> int:
        """The host memory of dropped tensors that is kept for new ones, in bytes."""
        ...

    def load(self, builders: Sequence[memoryview], target: ExecutionTarget) -> G:
        """Load a guest-supplied model (`graph.load` of wasi-nn) from a copy of the bytes; raises NnError.

        The session's ledger grants and counts the memory of the model.
        """
        ...

    def context(self, graph: G) -> Context:
        """Make a context for a graph that this backend loaded, in this session or another; raises NnError."""
        ...

    def close(self) -> None:
        """Free what is kept for the session, after its tensors were dropped; a second call does nothing."""
        ...


@runtime_checkable
class MakesTensors(Protocol):
    """A `BackendSession` that makes the tensors of guests, as the default backend's does."""

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview) -> Tensor:
        """Make a tensor from a copy of a guest's bytes (the constructor of `tensor` in wasi-nn).

        Since that constructor cannot fail, dimensions that do not fit the bytes are refused later, by
        `Tensor.require_fit`. Raises no NnError but `too-large`.
        """
        ...


@runtime_checkable
class ExchangesTensors(Protocol):
    """A `BackendSession` that makes tensors of the operator's and gives tensors back, as the default backend's does."""

    def wrap(self, source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object) -> Tensor:
        """Make a tensor on the memory of `source`, or on a copy if it is bytes of these dimensions and this dtype.

        Memory that is not copied is only read. `Elements` are copied only if their dtype has to be converted to one
        that wasi-nn can name, or if they are not aligned. Raises TypeError and ValueError for a source that cannot be a
        tensor of wasi-nn, and NnError `too-large` if a limit of the session is exceeded or memory does not suffice.
        """
        ...

    def take(self, tensor: Tensor) -> object:
        """The elements of a tensor of this session, whichever backend made it, as a tensor of the engine; drops it.

        The caller has called `require_fit`, and owns the memory: nothing in the session uses it any more. Raises
        NnError if the elements are lost.
        """
        ...

    def elements(self, tensor: Tensor) -> Elements:
        """The elements of a tensor of this session in the host's memory; drops it, as `take` does.

        They are where they lie, if that is in the host's memory, and have the dtype that the model gave them.
        """
        ...


@runtime_checkable
class IsolatesModels(Protocol):
    """A `BackendSession` with a confined process for models of all encodings, as the default backend's has."""

    def load_isolated(self, encoding: Encoding, builders: Sequence[memoryview], target: ExecutionTarget) -> Graph:
        """Load a guest-supplied model of an `Isolable` backend in the process of the session; raises NnError.

        This session makes the contexts of the graph. Its ledger grants and counts the memory of the model.
        """
        ...


class Backend(Protocol[G]):
    """A machine learning engine: made once for each `Engine`, used by any number of threads.

    It may implement `HasFiles`, `DescribesModels`, `Diagnoses`, `Prepares` and `KeepsMemory` as well. Making one may
    raise BackendMissing, if packages are not installed that only this backend needs.
    """

    @property
    def device(self) -> str:
        """The device on which graphs run by default."""
        ...

    def find_device(self, device: str) -> str:
        """The full name of a device, such as "cuda:0" for "cuda"; raises ValueError if there is no such device."""
        ...

    def recognize(self, model: ModelSource) -> str | None:
        """The format of a model, such as "TorchScript", or None if this backend does not support it.

        A guest-supplied model is a memoryview, of which little should be read. Raises OSError if the model's file
        cannot be read.
        """
        ...

    def load(self, model: ModelSource, device: str, name: str, options: ModelOptions, format: str | None = None) -> G:
        """Load one of the operator's models, which error texts call `name`.

        `format` is what `recognize` returned for this model, if it was called. Raises ModelError if the model cannot be
        used or the backend does not support an option, and OSError if the model's file cannot be read.
        """
        ...

    def session(self, ledger: Ledger) -> BackendSession[G]:
        """Open this backend's part of a session, which counts its tensors in `ledger`."""
        ...


@runtime_checkable
class Isolable(Protocol):
    """A backend that can work in a confined process, for guest-supplied models; there it has the policy `CHECKED`."""

    def preload(self) -> None:
        """Import and initialize what loading and computing a model needs, so that it opens no file afterwards."""
        ...


@runtime_checkable
class HasFiles(Protocol):
    """A backend whose models can consist of several files, so that `load` takes a path that stands for all of them."""

    def files(self, model: Path) -> Sequence[Path]:
        """All files that a model is loaded from; raises ModelError if it cannot be read, and OSError."""
        ...


@runtime_checkable
class DescribesModels(Protocol):
    """A backend that can describe a model to people: see `wasi-nn-torch inspect`."""

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        """Describe the model in a file, which error texts call `name`; `method` selects one of several methods.

        A model that would be refused from a guest is neither loaded nor run, unless `trust` is True. Raises ModelError
        if the model cannot be used, and OSError if its file cannot be read.
        """
        ...


@runtime_checkable
class DescribesGraphs(Protocol[G_contra]):
    """A backend that can describe a graph that it has loaded, for the metadata of servers."""

    def describe_graph(self, graph: G_contra) -> GraphDescription:
        """Describe a graph that this backend loaded, as far as it is known."""
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """A backend that can report on its engine and devices: see `wasi-nn-torch doctor`."""

    def diagnose(self) -> Iterable[Finding]:
        """Findings about the engine and its devices on this machine."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A backend that has to start something that takes long, which should not count as the time of a guest."""

    def prepare(self) -> None:
        """Return when a session need not wait for it any more; called before each guest runs."""
        ...


@runtime_checkable
class KeepsMemory(Protocol):
    """A backend that keeps freed device memory for new tensors."""

    def trim(self) -> None:
        """Return unused device memory to the driver."""
        ...


#: The object of an entry point.
MakeBackend = Callable[[BackendOptions], Backend[Any]]
