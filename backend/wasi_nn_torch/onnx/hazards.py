"""What is known to make ONNX Runtime end the process, in models that it does not refuse; found by drawn models.

Guests' models are checked for it, and the operator's as well: what crashes there would end the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import onnx
from onnx import AttributeProto
from onnx.defs import OpSchema, SchemaError

from wasi_nn_torch.contract.text import quote

#: The names under which ONNX's own operators are imported.
DOMAINS: Final = frozenset({"", "ai.onnx"})
_OPTIONAL: Final = OpSchema.FormalParameterOption.Optional
#: The attributes that are the numbers of dimensions, and the most dimensions of a tensor.
_OF_DIMENSIONS: Final = frozenset({"axis", "axes", "batch_axis", "time_axis", "batch_dims", "perm"})
_MOST_DIMENSIONS: Final = 64
#: Those that are counted from the first dimension only.
_NOT_NEGATIVE: Final = frozenset({"batch_dims"})
#: Those that may be any number: constants, and ends of slices, which are often the largest number of all.
_ANY_NUMBER: Final = frozenset({"value_int", "value_ints", "start", "end", "starts", "ends"})
_MOST: Final = 2**31 - 1
#: Operators that crash if their last input is there but empty: when they are computed, or when they are optimized.
_CRASH_IF_EMPTY: Final = frozenset({"DFT"})
_CRASH_IF_EMPTY_AND_OPTIMIZED: Final = frozenset({"LayerNormalization"})


def hazard_of(node: onnx.NodeProto, opset: int) -> str | None:
    """What is wrong with a node of ONNX's own operators, whether it is optimized or not; None if nothing is known."""
    schema = schema_of(node, opset)
    if schema is not None:
        wrong = _misfit(node, "input", node.input, schema.inputs, schema.min_input, schema.max_input)
        wrong = wrong or _misfit(node, "output", node.output, schema.outputs, schema.min_output, schema.max_output)
        if wrong is not None:
            return wrong
    empty = _of_empty_input(node, _CRASH_IF_EMPTY)
    found = (*(_of_numbers(node, attribute) for attribute in node.attribute), _of_split(node), empty)
    return next(filter(None, found), None)


def hazard_if_optimized(node: onnx.NodeProto) -> str | None:
    """What is wrong with a node if it is optimized."""
    return _of_empty_input(node, _CRASH_IF_EMPTY_AND_OPTIMIZED)


def schema_of(node: onnx.NodeProto, opset: int) -> OpSchema | None:
    """The definition of one of ONNX's own operators; None if the opset does not have it."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except SchemaError:
        return None
    return None if schema.deprecated else schema


def _misfit(
    node: onnx.NodeProto,
    what: str,
    names: Sequence[str],
    parameters: Sequence[OpSchema.FormalParameter],
    least: int,
    most: int,
) -> str | None:
    if not least <= len(names) <= most:
        return f"the operator {quote(node.op_type)} has {len(names)} {what}s; expected {least} to {most}"
    for index, name in enumerate(names):
        # The last parameter may stand for any number.
        if not name and parameters[min(index, len(parameters) - 1)].option != _OPTIONAL:
            return f"the operator {quote(node.op_type)} leaves out the {what} {index}, which it needs"
    return None


def _of_split(node: onnx.NodeProto) -> str | None:
    if node.op_type != "Split":
        return None
    number = next((each.i for each in node.attribute if each.name == "num_outputs"), len(node.output))
    if number == len(node.output):
        return None
    return f"the operator `Split` has {len(node.output)} outputs, but the attribute `num_outputs` is {number}"


def _of_empty_input(node: onnx.NodeProto, operators: frozenset[str]) -> str | None:
    if node.op_type in operators and node.input and not node.input[-1]:
        return f"the operator {quote(node.op_type)} has an empty last input; leave it out"
    return None


def _of_numbers(node: onnx.NodeProto, attribute: AttributeProto) -> str | None:
    if attribute.name in _ANY_NUMBER:
        return None
    most = _MOST_DIMENSIONS if attribute.name in _OF_DIMENSIONS else _MOST
    least = 0 if attribute.name in _NOT_NEGATIVE else -most
    for number in (attribute.i, *attribute.ints):
        if not least <= number <= most:
            where = f"the attribute {quote(attribute.name)} of the operator {quote(node.op_type)}"
            return f"{where} is {number}; expected a number from {least} to {most}"
    return None
