"""Other engines in a worker: those of this distribution whose models can be confined as PyTorch's are."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wasi_nn_torch.contract.backend import GROUP, Backend, BackendOptions, Isolable, MakeBackend
from wasi_nn_torch.contract.errors import BackendMissing
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.vocabulary import Encoding

_DISTRIBUTION = "wasi-nn-torch"

#: What makes the backend for an encoding; filled by `preload`, before workers are forked.
_makers: dict[str, MakeBackend] = {}


def preload() -> None:
    """Import the engines, so that making and using a backend opens no file."""
    for entry in entry_points(group=GROUP):
        if entry.name != Encoding.PYTORCH.value and _is_own(entry):
            make: MakeBackend = entry.load()
            try:
                backend = make(_options(None))
            except BackendMissing:
                continue
            if isinstance(backend, Isolable):
                backend.preload()
                _makers[entry.name] = make


def make_backend(encoding: str, threads: int) -> Backend[Any]:
    """The backend for an encoding, which checks models; raises KeyError if there is none."""
    return _makers[encoding](_options(threads))


def _options(threads: int | None) -> BackendOptions:
    return BackendOptions("cpu", GuestModels.CHECKED, threads)


def _is_own(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == _DISTRIBUTION
