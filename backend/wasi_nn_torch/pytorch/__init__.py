"""The backend for PyTorch, which ships: tensors, devices and graphs of `torch`."""

from wasi_nn_torch.pytorch.backend import PyTorch

__all__ = ["PyTorch"]
