"""The inputs and outputs of a node, compared with the definition of its operator.

ONNX Runtime ends the process for some nodes that leave out an input in the middle that the operator needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx
from onnx.defs import OpSchema, SchemaError

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.vetting.refusal import refusal

_OPTIONAL: Final = OpSchema.FormalParameterOption.Optional


def require_fitting(node: onnx.NodeProto, opset: int) -> None:
    """Raise NnError `security` unless a node of ONNX's own operators has the inputs and outputs that it needs."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except SchemaError:
        schema = None
    if schema is None or schema.deprecated:
        raise refusal(f"it uses the operator {quote(node.op_type)}, which the opset {opset} does not have")
    _require(node, "input", node.input, schema.inputs, schema.min_input, schema.max_input)
    _require(node, "output", node.output, schema.outputs, schema.min_output, schema.max_output)


def _require(
    node: onnx.NodeProto,
    what: str,
    names: Sequence[str],
    parameters: Sequence[OpSchema.FormalParameter],
    least: int,
    most: int,
) -> None:
    if not least <= len(names) <= most:
        raise refusal(f"the operator {quote(node.op_type)} has {len(names)} {what}s; expected {least} to {most}")
    for index, name in enumerate(names):
        # The last parameter may stand for any number.
        if not name and parameters[min(index, len(parameters) - 1)].option != _OPTIONAL:
            raise refusal(f"the operator {quote(node.op_type)} leaves out the {what} {index}, which it needs")
