"""The operator's models, by name: loaded once for each device, and shared by all sessions."""

import difflib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch

from wasi_nn_torch.devices import Devices, find_device
from wasi_nn_torch.errors import ErrorCode, ModelError, NnError, quote, quote_all, why_unreadable
from wasi_nn_torch.graphs import Graph, load

ModelSource = str | os.PathLike[str] | bytes | torch.nn.Module
"""Where a model comes from: the path of a file, its bytes, or the module itself."""


@dataclass
class _Entry:
    source: Path | bytes | torch.nn.Module
    device: torch.device
    graphs: dict[torch.device, Graph] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Registry:
    """Named graphs, for use by any number of threads.

    A guest's string is only ever looked up among the names; it is never a path.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The names that `register` was given, in that order."""
        with self._lock:
            return list(self._entries)

    def register(self, name: str, source: ModelSource, device: str | torch.device | None = None) -> None:
        """Check a model, load it on `device` (by default the one that the operator chose) and offer it as `name`.

        Raises ModelError, which names the path and says what to do, if there is no model that can be used, and
        ValueError if the name is taken or there is no such device.
        """
        chosen = self._devices.default if device is None else find_device(device)
        entry = _Entry(source if isinstance(source, (bytes, torch.nn.Module)) else Path(source), chosen)
        self._require_free(name)
        entry.graphs[chosen] = _load(name, entry.source, chosen)
        with self._lock:
            if self._entries.setdefault(name, entry) is not entry:
                raise _taken(name)

    def graph(self, name: str, device: torch.device | None = None) -> Graph:
        """Return the graph of that name, loaded on `device` if it is not yet; by default where it was registered.

        Raises NnError `not-found`, which names what there is (`graph.load-by-name` of wasi-nn), and ModelError if the
        file cannot be loaded on another device.
        """
        with self._lock:
            entry = self._entries.get(name)
        if entry is None:
            raise _not_found(name, self.names)
        target = entry.device if device is None else device
        with entry.lock:
            if target not in entry.graphs:
                entry.graphs[target] = _load(name, entry.source, target)
            return entry.graphs[target]

    def close(self) -> None:
        """Forget every model; its memory goes free once no session uses it any more."""
        with self._lock:
            self._entries.clear()

    def _require_free(self, name: str) -> None:
        with self._lock:
            if name in self._entries:
                raise _taken(name)


def _load(name: str, source: Path | bytes | torch.nn.Module, device: torch.device) -> Graph:
    if not isinstance(source, Path):
        return load(source, device, f"the model {quote(name)}")
    try:
        return load(source, device, f"the model file `{source}`")
    except OSError as error:
        reason = why_unreadable(error, "the file in it that holds the model")
    raise ModelError(f"the model file `{source}` {reason}")


def _taken(name: str) -> ValueError:
    return ValueError(f"there is a graph {quote(name)} already; choose another name")


def _not_found(name: str, known: list[str]) -> NnError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {quote(near[0])}?" if near else ""
    return NnError(ErrorCode.NOT_FOUND, f"there is no graph {quote(name)}; this host offers {quote_all(known)}{hint}")
