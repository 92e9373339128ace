"""Guests on a cluster of Ray: functions on datasets, and the server.

Importing this imports neither Ray nor PyTorch nor Wasmtime: what a worker needs is imported there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasi_nn_torch.ray.data.options import EngineOptions, Model
    from wasi_nn_torch.ray.data.udf import GuestFailed, GuestUDF
    from wasi_nn_torch.ray.serve.deploying import application, deployment, run
    from wasi_nn_torch.ray.serve.errors import DeploymentFailed

__all__ = [
    "DeploymentFailed",
    "EngineOptions",
    "GuestFailed",
    "GuestUDF",
    "Model",
    "application",
    "deployment",
    "run",
]

_HOMES = {
    "DeploymentFailed": "wasi_nn_torch.ray.serve.errors",
    "EngineOptions": "wasi_nn_torch.ray.data.options",
    "GuestFailed": "wasi_nn_torch.ray.data.udf",
    "GuestUDF": "wasi_nn_torch.ray.data.udf",
    "Model": "wasi_nn_torch.ray.data.options",
    "application": "wasi_nn_torch.ray.serve.deploying",
    "deployment": "wasi_nn_torch.ray.serve.deploying",
    "run": "wasi_nn_torch.ray.serve.deploying",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
