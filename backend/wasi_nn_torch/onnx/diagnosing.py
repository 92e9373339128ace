"""The checks of ONNX Runtime on this machine: its version, its devices and its threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime

from wasi_nn_torch.contract.findings import Finding, Health
from wasi_nn_torch.onnx.devices import has_cuda
from wasi_nn_torch.onnx.loading import thread_count


def diagnose() -> Iterator[Finding]:
    """The findings, the most important first."""
    newest = onnx.defs.onnx_opset_version()
    yield Finding(
        "ONNX Runtime",
        f"{onnxruntime.__version__}, with onnx {onnx.__version__}, which knows the opsets up to {newest}",
    )
    yield _devices()
    threads = thread_count(None)
    yield Finding("ONNX threads", f"{threads or 'one for each core'} for each inference, unless --threads is given")


def _devices() -> Finding:
    name = "ONNX devices"
    if has_cuda():
        return Finding(name, "cpu and cuda")
    if Path("/dev/nvidiactl").exists():
        command = (
            f"{sys.executable} -m pip uninstall --yes onnxruntime && {sys.executable} -m pip install onnxruntime-gpu"
        )
        text = "cpu only: this machine has an NVIDIA driver, but this ONNX Runtime is built without CUDA"
        return Finding(name, text, Health.MISSING, command)
    return Finding(name, "cpu only")
