"""The operator's models, by name: loaded once for each device, shared by all sessions, released under a budget."""

from __future__ import annotations

import difflib
import logging
import os
import threading
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from wasi_nn_torch.contract.arguments import require_text, require_texts
from wasi_nn_torch.contract.backend import Backend, ModelSource
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.forks import renew_in_child
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.entries import Entry, Loaded, ModelFigures, Withdrawn, model_label, readable
from wasi_nn_torch.serving.leases import Lease

logger = logging.getLogger(__name__)

_DEFAULTS = ModelOptions()
#: The longest name for which a similar one is searched, in characters.
_LONGEST_MISSPELLED = 100


class Registry:
    """Named graphs, for any number of threads.

    `budget` limits the bytes of their weights on one device. If a graph needs room, unused ones are evicted, the least
    recently used first, and loaded again when a guest asks for them. A graph that was withdrawn counts until no session
    uses it. A guest's string is only looked up among the names; it is never used as a path.
    """

    def __init__(self, backends: Backends, budget: int | None = None) -> None:
        self._backends = backends
        self._budget = budget
        self._entries: dict[str, Entry] = {}
        self._withdrawn: list[Withdrawn] = []
        self._clock = count()
        self._lock = threading.RLock()
        renew_in_child(self, "_lock", threading.RLock)

    @property
    def names(self) -> list[str]:
        """The names of the offered graphs, in the order of their registration."""
        with self._lock:
            return list(self._entries)

    @property
    def files(self) -> list[Path]:
        """The files of the offered graphs, from which they may be loaded again."""
        with self._lock:
            return [file for entry in self._entries.values() for file in entry.files]

    def files_of(self, name: str) -> tuple[Path, ...]:
        """The files of one graph; raises ValueError for an unknown name."""
        return tuple(self._require_known(name).files)

    def register(
        self,
        name: str,
        source: ModelSource,
        device: str | None = None,
        encoding: Encoding | None = None,
        options: ModelOptions = _DEFAULTS,
    ) -> None:
        """Check a model, load it on `device`, by default the backend's default device, and offer it as `name`.

        Raises ModelError, which names the path and says what to do, if the model cannot be used or there is no room for
        it, and ValueError if the name is taken or the device does not exist.
        """
        self._require_free(name)
        entry, loaded = self._load(name, source, device, encoding, options)
        with self._lock:
            self._require_free(name)
            self._admit(entry, loaded, None)

    def replace(
        self,
        name: str,
        source: ModelSource,
        device: str | None = None,
        encoding: Encoding | None = None,
        options: ModelOptions = _DEFAULTS,
    ) -> None:
        """Load another model and offer it as `name` from now on; sessions that use the old one keep it.

        The arguments are those of `register`. Raises ModelError and ValueError as `register` does, and ValueError if
        there is no graph of that name; after an error nothing has changed.
        """
        self._require_known(name)
        entry, loaded = self._load(name, source, device, encoding, options)
        with self._lock:
            old = self._require_known(name)
            self._admit(entry, loaded, old)
            self._withdraw(old)

    def unregister(self, name: str) -> None:
        """Stop offering a model, which is freed once no session uses it; raises ValueError for an unknown name."""
        with self._lock:
            self._withdraw(self._require_known(name))
            del self._entries[name]

    def choose(self, names: Collection[str]) -> frozenset[str]:
        """The names to which a session is restricted; raises ValueError for one of no graph, TypeError for no names."""
        chosen = require_texts("`graphs`", names, '["classifier"]')
        for name in chosen:
            self._require_known(name)
        return frozenset(chosen)

    def graph(self, name: str, device: str | None = None, among: Collection[str] | None = None) -> Lease:
        """Lease a graph, which is loaded first if it is not on `device`, by default the one of its registration.

        A name that is not `among` those given is treated as if no graph had it; None means that all are given.

        Raises NnError: `not-found`, which lists the names that exist (`graph.load-by-name` of wasi-nn),
        `unsupported-operation` if the device does not exist, `too-large` if there is no room for the graph, and
        `runtime-error` if the operator's file can no longer be loaded.
        """
        with self._lock:
            entry = self._entries.get(name)
        if entry is None or (among is not None and name not in among):
            raise _not_found(name, [each for each in self.names if among is None or each in among])
        target = entry.device if device is None else _device(entry.backend, device)
        with entry.lock:
            with self._lock:
                loaded = entry.loaded.get(target)
                if loaded is not None:
                    loaded.asked = next(self._clock)
                    return loaded.lease(entry.backend)
                if entry.nbytes is not None and not self._make_room(entry.nbytes, target):
                    raise _too_large(name, self._no_room(entry.nbytes, target))
            loaded = _reload(entry, target, next(self._clock))
            with self._lock:
                if not self._make_room(loaded.graph.nbytes, target):
                    raise _too_large(name, self._no_room(loaded.graph.nbytes, target))
                lease = loaded.lease(entry.backend)
                if self._entries.get(name) is entry:
                    entry.loaded[target] = loaded
                else:  # it was withdrawn during loading
                    self._withdrawn.append(Withdrawn(target, loaded.graph.nbytes, loaded.users))
                return lease

    def figures(self) -> tuple[ModelFigures, ...]:
        """The figures of each model on each device where it was ever loaded."""
        with self._lock:
            return tuple(figures for entry in self._entries.values() for figures in entry.figures())

    def close(self) -> None:
        """Release every model, each of which is freed once no session uses it."""
        with self._lock:
            self._entries.clear()

    def _load(
        self, name: str, source: ModelSource, device: str | None, encoding: Encoding | None, options: ModelOptions
    ) -> tuple[Entry, Loaded]:
        """Load a model for a new entry that is not offered yet."""
        if isinstance(source, str | os.PathLike) and "\0" in os.fspath(source):
            raise ModelError(f"{model_label(name, source)} does not exist: no path contains a NUL character")
        backend, format = self._backend(name, source, encoding)
        chosen = backend.device if device is None else backend.find_device(device)
        entry = Entry(name, source, backend, chosen, options)
        return entry, entry.load(chosen, next(self._clock), format)

    def _admit(self, entry: Entry, loaded: Loaded, old: Entry | None) -> None:
        """Offer what was loaded, in place of `old`; raises ModelTooLarge if there is no room for it."""
        nbytes = loaded.graph.nbytes
        if not self._make_room(nbytes, entry.device, leaving=old):
            raise ModelTooLarge(f"{entry.what} {self._no_room(nbytes, entry.device)}")
        entry.loaded[entry.device] = loaded
        self._entries[entry.name] = entry

    def _withdraw(self, entry: Entry) -> None:
        """Release the graphs of an entry, and keep count of those that sessions still use."""
        for device, loaded in entry.loaded.items():
            self._withdrawn.append(Withdrawn(device, loaded.graph.nbytes, loaded.users))
        entry.loaded.clear()

    def _backend(self, name: str, source: ModelSource, encoding: Encoding | None) -> tuple[Backend[Any], str | None]:
        """The backend for a model, and the model's format if the backend was asked for it."""
        format, label = None, model_label(name, source)
        if encoding is None:
            with readable(label):
                found = self._backends.recognize(source)
            # A model that no backend recognizes goes to PyTorch's, which refuses it and lists the formats it supports.
            encoding, format = found if found is not None else (Encoding.PYTORCH, None)
        backend = self._backends.find(encoding)
        if backend is None:
            served = quote_all(encoding.value for encoding in self._backends.encodings)
            missing = self._backends.why_missing(encoding)
            if missing:
                raise ModelError(f"{label} needs the backend for {encoding.value}: {missing}")
            raise ModelError(
                f"{label} was registered with the encoding {encoding.value}, for which no backend is installed; "
                f"expected one of {served}"
            )
        return backend, format

    def _require_free(self, name: str) -> None:
        require_text("the name of a graph", name)
        with self._lock:
            if name in self._entries:
                raise ValueError(f"a graph named {quote(name)} already exists; choose another name, or replace it")

    def _require_known(self, name: str) -> Entry:
        require_text("the name of a graph", name)
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                raise ValueError(f"there is no graph {quote(name)}; expected one of {quote_all(self._entries)}")
            return entry

    def _make_room(self, nbytes: int, device: str, leaving: Entry | None = None) -> bool:
        """Evict as many unused graphs as needed for `nbytes` more on a device, and return whether there is room now.

        `leaving` is not evicted, and does not count if it is unused, since it is withdrawn if there is room.
        """
        if self._budget is None:
            return True
        idle = self._idle(device)
        room = self._budget + sum(loaded.graph.nbytes for entry, loaded in idle if entry is leaving)
        if nbytes > self._budget:
            return False
        for entry, loaded in idle:
            if self._taken(device) + nbytes <= room:
                break
            if entry is not leaving:
                logger.info("evicting the graph %s from %s: %d bytes", entry.name, device, loaded.graph.nbytes)
                del entry.loaded[device]
                entry.evictions[device] += 1
        return self._taken(device) + nbytes <= room

    def _idle(self, device: str) -> list[tuple[Entry, Loaded]]:
        """The unused graphs on a device, the least recently used first."""
        idle = [(entry, loaded) for entry, loaded in self._on(device) if not loaded.users]
        return sorted(idle, key=lambda pair: pair[1].asked)

    def _taken(self, device: str) -> int:
        self._withdrawn = [each for each in self._withdrawn if each.users]
        offered = sum(loaded.graph.nbytes for _, loaded in self._on(device))
        return offered + sum(each.nbytes for each in self._withdrawn if each.device == device)

    def _on(self, device: str) -> Iterator[tuple[Entry, Loaded]]:
        for entry in self._entries.values():
            if device in entry.loaded:
                yield entry, entry.loaded[device]

    def _no_room(self, nbytes: int, device: str) -> str:
        return (
            f"needs {nbytes} bytes on {device}, but models in use already take {self._taken(device)} "
            f"(limit {self._budget}); use fewer at a time, or raise the limit for models, in Python "
            "`Engine(model_bytes=…)`, on the command line `--model-memory`"
        )


def _reload(entry: Entry, device: str, asked: int) -> Loaded:
    """Load a model for a guest, whose errors do not reveal what is wrong with the operator's file."""
    try:
        return entry.load(device, asked)
    except ModelTooLarge as error:
        logger.warning("the graph %s does not fit: %s", entry.name, error)
        refusal = _too_large(entry.name, f"does not fit in the memory of {device}")
    except ModelError as error:
        logger.error("the graph %s can no longer be loaded: %s", entry.name, error)
        refusal = NnError(
            ErrorCode.RUNTIME_ERROR, f"this host could not load the graph {quote(entry.name)}; its log says why"
        )
    raise refusal


def _device(backend: Backend[Any], device: str) -> str:
    try:
        return backend.find_device(device)
    except ValueError as error:
        refusal = NnError(ErrorCode.UNSUPPORTED_OPERATION, str(error))
    raise refusal


def _too_large(name: str, reason: str) -> NnError:
    return NnError(ErrorCode.TOO_LARGE, f"the graph {quote(name)} {reason}")


def _not_found(name: str, known: list[str]) -> NnError:
    # The search takes time in proportion to the product of the lengths.
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= _LONGEST_MISSPELLED else []
    hint = f"; did you mean {quote(near[0])}?" if near else ""
    return NnError(ErrorCode.NOT_FOUND, f"there is no graph {quote(name)}; this host offers {quote_all(known)}{hint}")
