"""Run WebAssembly guests that use wasi-nn, on PyTorch.

    from wasi_nn_torch import Engine

    engine = Engine()
    engine.register("classifier", "model.pt")
    with engine.session(args=["photo.ppm"], dirs={"photos": "/photos"}) as session:
        status = session.run("guest.wasm")

Neither this nor what it runs imports PyTorch before it is needed: by `Engine.register`, or a guest that uses wasi-nn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.errors import ModelError
    from wasi_nn_torch.folders import Directory
    from wasi_nn_torch.guests import Guest, InvalidGuest
    from wasi_nn_torch.refusals import Refusal
    from wasi_nn_torch.session import Limits, Session
    from wasi_nn_torch.stats import EngineStats, ModelFigures, SessionStats
    from wit_host import GuestCancelled, GuestError, GuestTimeout, GuestTrap, LinkError

__all__ = [
    "Directory",
    "Engine",
    "EngineStats",
    "Guest",
    "GuestCancelled",
    "GuestError",
    "GuestTimeout",
    "GuestTrap",
    "InvalidGuest",
    "Limits",
    "LinkError",
    "ModelError",
    "ModelFigures",
    "Refusal",
    "Session",
    "SessionStats",
]

_HOMES = {
    "Directory": "wasi_nn_torch.folders",
    "Engine": "wasi_nn_torch.engine",
    "EngineStats": "wasi_nn_torch.stats",
    "Guest": "wasi_nn_torch.guests",
    "GuestCancelled": "wit_host",
    "GuestError": "wit_host",
    "GuestTimeout": "wit_host",
    "GuestTrap": "wit_host",
    "InvalidGuest": "wasi_nn_torch.guests",
    "Limits": "wasi_nn_torch.session",
    "LinkError": "wit_host",
    "ModelError": "wasi_nn_torch.errors",
    "ModelFigures": "wasi_nn_torch.stats",
    "Refusal": "wasi_nn_torch.refusals",
    "Session": "wasi_nn_torch.session",
    "SessionStats": "wasi_nn_torch.stats",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
