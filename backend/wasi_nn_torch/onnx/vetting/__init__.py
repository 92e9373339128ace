"""The check of guest-supplied ONNX models, before ONNX Runtime sees them.

It is not a security boundary: it makes most refusals clear and cheap, and keeps out what needs files, other code or
unlimited work, but operators do not check all of their arguments. `wire` bounds what parsing costs, `structure` checks
the parts of the parsed model, `operators` lists the operators, `schemas` compares
nodes with their definitions, and `weights` sizes with data.
"""

from __future__ import annotations

from wasi_nn_torch.onnx.vetting.structure import vet

__all__ = ["vet"]
