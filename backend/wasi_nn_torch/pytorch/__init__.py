"""The backend for PyTorch, which ships: tensors, devices and graphs of `torch`."""

from __future__ import annotations

from wasi_nn_torch.pytorch.backend import PyTorch

__all__ = ["PyTorch"]
