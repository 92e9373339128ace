"""The backend for ONNX, on ONNX Runtime: an optional engine, which needs the extra `wasi-nn-torch[onnx]`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from wasi_nn_torch.contract.errors import BackendMissing

if TYPE_CHECKING:
    from wasi_nn_torch.contract.backend import BackendOptions
    from wasi_nn_torch.onnx.backend import OnnxBackend

#: The modules of the extra, and what pip installs for it; `onnxruntime-gpu` has the same module as `onnxruntime`.
_MODULES = ("onnxruntime", "onnx", "numpy", "ml_dtypes")
_EXTRA = "wasi-nn-torch[onnx]"

# From version 1.29 on, ONNX Runtime reports models to its maker, with names of files and hashes of weights. It looks at
# this variable when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def make_backend(options: BackendOptions) -> OnnxBackend:
    """The backend; raises BackendMissing if the packages of the extra are not installed."""
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise BackendMissing(
            f"the package `{missing[0]}` is not installed", f"{sys.executable} -m pip install '{_EXTRA}'"
        )
    from wasi_nn_torch.onnx.backend import OnnxBackend

    return OnnxBackend(options)


__all__ = ["make_backend"]
