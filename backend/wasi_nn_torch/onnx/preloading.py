"""Loading, ahead of any guest-supplied model, everything that checking and loading one needs."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from wasi_nn_torch.onnx.vetting import vet


def preload() -> None:
    """Check a small model, for which the definitions of the operators are loaded.

    ONNX Runtime is imported, but no model is loaded: that would start what cannot be forked.
    """
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "graph", values[:1], values[1:])
    opset = helper.make_opsetid("", onnx.defs.onnx_opset_version())
    vet(helper.make_model(graph, opset_imports=[opset]).SerializeToString())
