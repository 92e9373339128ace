"""What a backend is: the machine learning behind the graph encodings that it serves.

A backend is found through the entry point group `wasi_nn_torch.backends`; the name of an entry point is the encoding
that it serves, as WIT spells it, and what it names is called with `BackendOptions` and returns a `Backend`. All that is
above this module knows backends only as they are described here.

What concerns a guest is raised as `NnError`, what concerns the operator as `ModelError` or `ValueError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from wasi_nn_torch.description import ModelDescription
from wasi_nn_torch.findings import Finding
from wasi_nn_torch.ledger import Ledger
from wasi_nn_torch.policy import GuestModels, ModelOptions
from wasi_nn_torch.vocabulary import ElementType, ExecutionTarget
from wit_host import ByteSource

ModelSource = str | os.PathLike[str] | bytes | object
"""Where the operator's model comes from: the path of a file, its bytes, or an object that a backend knows."""


@dataclass(frozen=True)
class BackendOptions:
    """What an engine was given, and a backend may need: see `Engine`."""

    device: str | None = None
    guest_models: GuestModels = GuestModels.NONE
    threads: int | None = None


class Tensor(Protocol):
    """A tensor of one session, wherever its memory is.

    Whoever owns it calls `drop`. It is counted in the session's ledger from when it is made until it is dropped.
    """

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first; any numbers, if a guest gave them."""
        ...

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        ...

    def require_fit(self, name: str) -> None:
        """Raise NnError `invalid-argument` if the bytes given for the tensor `name` do not fill its dimensions."""
        ...

    def data(self) -> ByteSource:
        """The elements, little-endian, row-major and without gaps (`tensor.data` of wasi-nn)."""
        ...

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        ...


NamedTensor = tuple[str, Tensor]
"""The `named-tensor` of wasi-nn: the name of an input or output, and the tensor."""


class Context(Protocol):
    """The `graph-execution-context` of wasi-nn: one session's use of a graph, and its state. One thread at a time."""

    def compute(self, inputs: Sequence[NamedTensor]) -> list[NamedTensor]:
        """Run the graph once; raises NnError.

        The inputs, which may be another backend's, belong to the callee: they are dropped when this returns, whatever
        the outcome.
        """
        ...


class Graph(Protocol):
    """A model that is loaded on one device; shared by sessions, which may run in threads side by side."""

    @property
    def nbytes(self) -> int:
        """The memory that the model takes, in bytes, as far as it is known."""
        ...

    def context(self, ledger: Ledger) -> Context:
        """A context for the session whose ledger this is; raises NnError."""
        ...


class Backend(Protocol):
    """One machine learning engine: made once for each `Engine`, used by any number of threads."""

    @property
    def device(self) -> str:
        """Where graphs run unless somebody says otherwise."""
        ...

    def find_device(self, device: str) -> str:
        """The full name of a device, as "cuda:0" is that of "cuda"; raises ValueError if there is no such device."""
        ...

    def recognize(self, model: ModelSource) -> str | None:
        """What a text calls a model of this backend, such as "TorchScript"; None for what is none."""
        ...

    def describe(self, path: Path, name: str, *, trust: bool = False, method: str | None = None) -> ModelDescription:
        """What the model in a file is, which a text calls `name`; where it has several methods, what `method` is.

        Nothing runs of a model that a guest might not bring along, unless `trust` says so: such a model is not loaded.
        Raises ModelError for what is no model or cannot be used, and OSError for its file.
        """
        ...

    def diagnose(self) -> Iterable[Finding]:
        """What there is of the engine and its devices on this machine, and what is missing."""
        ...

    def load(self, model: ModelSource, device: str, name: str, options: ModelOptions) -> Graph:
        """Load a model of the operator, which a text calls `name`; raises ModelError, and OSError for its file.

        An option that the backend cannot follow is a ModelError that says so.
        """
        ...

    def load_from_guest(self, builders: Sequence[memoryview], target: ExecutionTarget, ledger: Ledger) -> Graph:
        """Load what a guest brought along (`graph.load` of wasi-nn), copying the bytes; raises NnError.

        What the model takes is granted and counted by the session's ledger.
        """
        ...

    def trim(self) -> None:
        """Give device memory that nobody uses, and that is kept for the next tensors, back to the driver."""
        ...

    def tensor(self, dimensions: Sequence[int], dtype: ElementType, data: memoryview, ledger: Ledger) -> Tensor:
        """A tensor on a copy of a guest's bytes (the constructor of wasi-nn).

        What does not fit is told by `require_fit`, since the constructor of wasi-nn cannot fail; raises NnError
        `too-large` only.
        """
        ...
