"""The entries of the registry: the operator's models, and their graphs on each device."""

from __future__ import annotations

import hashlib
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wasi_nn_torch.contract.backend import Backend, Graph, HasFiles, ModelSource
from wasi_nn_torch.contract.batching import JoinsRequests
from wasi_nn_torch.contract.errors import ModelError, why_unreadable
from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.serving.batching import Batcher, BatchFigures
from wasi_nn_torch.serving.batching.figures import Tally
from wasi_nn_torch.serving.leases import Lease


@dataclass(frozen=True)
class ModelFigures:
    """A registered model on one device: the `bytes` that it takes there now, or 0 if it is not loaded.

    `loads` is the number of times it was loaded there, `evictions` the number of times it made room for others.
    `batching` has the figures of its batches, if requests are computed together.
    """

    name: str
    device: str
    bytes: int
    loads: int
    evictions: int
    batching: BatchFigures | None = None

    def to_dict(self) -> dict[str, object]:
        """These figures for JSON, with the names of the fields as keys."""
        batching = None if self.batching is None else self.batching.to_dict()
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "batching": batching}


@dataclass(eq=False)
class Loaded:
    """A graph on one device, its users (the leases and contexts of sessions), and when it was last `asked` for.

    `batcher` computes what several sessions ask of it together, if that is what the operator wants.
    """

    graph: Graph
    asked: int
    batcher: Batcher | None = None
    users: weakref.WeakSet[object] = field(default_factory=weakref.WeakSet)

    def lease(self, backend: Backend[Any]) -> Lease:
        """Make a lease of the graph, which is one of its users."""
        return Lease(backend, self.graph, self.users, self.batcher)


@dataclass(frozen=True)
class Withdrawn:
    """The memory of a graph that is no longer offered but still has users; does not keep the graph itself alive."""

    device: str
    nbytes: int
    users: weakref.WeakSet[object]


class Entry:
    """One of the operator's models, and its graph on each device where it is loaded."""

    def __init__(
        self, name: str, source: ModelSource, backend: Backend[Any], device: str, options: ModelOptions
    ) -> None:
        self.name = name
        self.what = model_label(name, source)
        self.backend = backend
        self.device = device
        self.nbytes: int | None = None
        self.loaded: dict[str, Loaded] = {}
        self.lock = threading.Lock()
        renew_in_child(self, "lock", threading.Lock)
        self.loads: Counter[str] = Counter()
        self.evictions: Counter[str] = Counter()
        self._tallies: dict[str, Tally] = {}
        #: The files of the model, if it has any: after it was loaded, all that it consists of.
        self.files = [Path(source)] if isinstance(source, str | os.PathLike) else []
        self._source = source
        self._options = options
        self._digest: bytes | None = None

    def load(self, device: str, asked: int, format: str | None = None) -> Loaded:
        """Load the model on a device, which was `asked` for; `format` is its format if it is known.

        Raises ModelError, also if its file has changed since it was first loaded.
        """
        with readable(self.what):
            self._require_unchanged()
            graph: Graph = self.backend.load(self._source, device, self.what, self._options, format)
        batcher = self._batcher(graph, device)
        self.nbytes = graph.nbytes
        self.loads[device] += 1
        return Loaded(graph, asked, batcher)

    def _batcher(self, graph: Graph, device: str) -> Batcher | None:
        batch = self._options.batch
        if batch is None:
            return None
        if not isinstance(graph, JoinsRequests):
            raise ModelError(
                f"{self.what} cannot be batched, because its backend does not compute requests together; leave out "
                "the option `batch`"
            )
        name = self.name if device == self.device else f"{self.name} on {device}"
        return Batcher(name, graph, batch, self._tallies.setdefault(device, Tally()))

    def _require_unchanged(self) -> None:
        if not self.files:
            return
        if self._digest is None and isinstance(self.backend, HasFiles):
            self.files = list(self.backend.files(self.files[0]))
        if not all(file.is_file() for file in self.files):
            return  # the backend says what is wrong with the path
        digest = b"".join(map(_digest, self.files))
        if self._digest is None:
            self._digest = digest
        elif self._digest != digest:
            raise ModelError(f"{self.what} has changed since it was registered; register the new file, or restore it")

    def figures(self) -> Iterator[ModelFigures]:
        """The figures of the model on each device where it was ever loaded."""
        for device, loads in dict(self.loads).items():
            loaded = self.loaded.get(device)
            nbytes = 0 if loaded is None else loaded.graph.nbytes
            tally = self._tallies.get(device)
            batching = None if tally is None else tally.figures()
            yield ModelFigures(self.name, device, nbytes, loads, self.evictions[device], batching)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise ModelError about `what` in place of an OSError in the `with` block."""
    try:
        yield
    except OSError as error:
        reason = why_unreadable(error, "the file in it that holds the model")
    else:
        return
    raise ModelError(f"{what} {reason}")


def model_label(name: str, source: ModelSource) -> str:
    """The name of a model in error texts for the operator."""
    if isinstance(source, str | os.PathLike):
        return f"the model file `{Path(source)}`"
    return f"the model {quote(name)}"
