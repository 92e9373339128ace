"""Run WebAssembly guests that use wasi-nn with PyTorch.

    from wasi_nn_torch import Engine

    engine = Engine()
    engine.register("classifier", "model.pt2")
    with engine.session(args=["photo.ppm"], dirs={"photos": "/photos"}) as session:
        status = session.run("guest.wasm")

A guest whose exports are called is started instead of run; `Guest` is the class that witgen generated for its world:

    with engine.session() as session:
        plugin = session.start("plugin.wasm", Guest)
        plugin.actions.run("count", "words")

PyTorch is imported only when it is needed: by `Engine.register`, or by a guest that uses wasi-nn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasi_nn_torch.contract.batch import Batch
    from wasi_nn_torch.contract.elements import Elements
    from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.hosts.served import per_session
    from wasi_nn_torch.serving.batching import BatchFigures
    from wasi_nn_torch.serving.entries import ModelFigures
    from wasi_nn_torch.serving.refusals import Refusal
    from wasi_nn_torch.sessions.compiling import CompileLimits
    from wasi_nn_torch.sessions.directories import Directory
    from wasi_nn_torch.sessions.graph_session import GraphSession
    from wasi_nn_torch.sessions.guests import Guest, InvalidGuest
    from wasi_nn_torch.sessions.limits import Limits
    from wasi_nn_torch.sessions.offloading.workers import EngineBusy
    from wasi_nn_torch.sessions.pool import Lease, Pool
    from wasi_nn_torch.sessions.session import Session
    from wasi_nn_torch.sessions.stats import EngineStats, PoolStats, SessionStats
    from wit_host import GuestCancelled, GuestError, GuestLimit, GuestTimeout, GuestTrap, LinkError

__all__ = [
    "Batch",
    "BatchFigures",
    "CompileLimits",
    "Directory",
    "Elements",
    "Engine",
    "EngineBusy",
    "EngineStats",
    "ErrorCode",
    "GraphSession",
    "Guest",
    "GuestCancelled",
    "GuestError",
    "GuestLimit",
    "GuestTimeout",
    "GuestTrap",
    "InvalidGuest",
    "Lease",
    "Limits",
    "LinkError",
    "ModelError",
    "ModelFigures",
    "NnError",
    "Pool",
    "PoolStats",
    "Refusal",
    "Session",
    "SessionStats",
    "per_session",
]

_HOMES = {
    "Batch": "wasi_nn_torch.contract.batch",
    "BatchFigures": "wasi_nn_torch.serving.batching",
    "CompileLimits": "wasi_nn_torch.sessions.compiling",
    "Directory": "wasi_nn_torch.sessions.directories",
    "Elements": "wasi_nn_torch.contract.elements",
    "Engine": "wasi_nn_torch.engine",
    "EngineBusy": "wasi_nn_torch.sessions.offloading.workers",
    "EngineStats": "wasi_nn_torch.sessions.stats",
    "ErrorCode": "wasi_nn_torch.contract.errors",
    "GraphSession": "wasi_nn_torch.sessions.graph_session",
    "Guest": "wasi_nn_torch.sessions.guests",
    "GuestCancelled": "wit_host",
    "GuestError": "wit_host",
    "GuestLimit": "wit_host",
    "GuestTimeout": "wit_host",
    "GuestTrap": "wit_host",
    "InvalidGuest": "wasi_nn_torch.sessions.guests",
    "Lease": "wasi_nn_torch.sessions.pool",
    "Limits": "wasi_nn_torch.sessions.limits",
    "LinkError": "wit_host",
    "ModelError": "wasi_nn_torch.contract.errors",
    "ModelFigures": "wasi_nn_torch.serving.entries",
    "NnError": "wasi_nn_torch.contract.errors",
    "Pool": "wasi_nn_torch.sessions.pool",
    "PoolStats": "wasi_nn_torch.sessions.stats",
    "Refusal": "wasi_nn_torch.serving.refusals",
    "Session": "wasi_nn_torch.sessions.session",
    "SessionStats": "wasi_nn_torch.sessions.stats",
    "per_session": "wasi_nn_torch.hosts.served",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
