"""Calls of PyTorch's operators with degenerate arguments, drawn by a seed, as models in the dialect of TorchScript.

A model has many calls of one operator; its input `case` selects the one that is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from tests.wasi_nn_torch.helpers.attack_archives import body

Schema = torch._C.FunctionSchema

ONE = "torch.select(torch.select(x, 0, 0), 0, 1)"
#: Tensors that are made of `x`, FP32 [4, 4], so that PyTorch cannot fold the calls.
_ORDINARY = (
    "x",
    "torch.flatten(x)",
    "torch.t(x)",
    "torch.reshape(x, [1, 1, 4, 4])",
    "torch.reshape(x, [2, 2, 4])",
    "torch.reshape(x, [1, 1, 2, 2, 4])",
    "torch.to(x, 4)",
    "torch.flatten(torch.to(x, 4))",
    "torch.to(x, 11)",
    ONE,
)
_DEGENERATE = (
    "torch.slice(x, 0, 0, 0)",
    "torch.reshape(torch.slice(x, 0, 0, 0), [0])",
    "torch.reshape(torch.slice(x, 0, 0, 0), [1, 0, 4, 4])",
    "torch.reshape(x, [1, 1, 1, 1, 1, 1, 1, 16])",
    "torch.mul(x, nan)",
    "torch.mul(x, inf)",
    "torch.neg(x)",
    "torch.mul(torch.to(x, 4), 1099511627776)",
    "torch.neg(torch.mul(torch.to(x, 4), 1152921504606846975))",
    "torch.neg(torch.flatten(torch.to(x, 4)))",
    "torch.to(x, 0)",
    "torch.to(x, 1)",
    "torch.to(x, 2)",
    "torch.to(x, 3)",
    "torch.to(x, 5)",
    "torch.to(x, 7)",
    "torch.to(x, 9)",
    "torch.to(x, 15)",
    "torch.expand(x, [3, 4, 4])",
    f"torch.expand({ONE}, [1048576])",
    f"torch.expand({ONE}, [35184372088832])",
    'torch.zeros_like(x, dtype=None, layout=None, device=torch.device("meta"))',
    "torch.quantize_per_tensor(x, 0.5, 3, 13)",
    "torch._nested_tensor_from_mask(torch.reshape(x, [2, 2, 4]), torch.to(torch.slice(x, 0, 0, 2, 1), 11))",
)
_INTEGERS = (0, 1, 2, 3, 4, -1, -2, 7)
_ODD_INTEGERS = (-5, 64, 99, 1024, 1 << 20, 1 << 31, 1 << 40, (1 << 63) - 1, -(1 << 31), -(1 << 40), -(1 << 63) + 1)
_FLOATS = ("0.", "1.", "0.5", "-1.", "2.5")
_ODD_FLOATS = ("nan", "inf", "-inf", "1e-9", "-1e-9", "1e30", "-1e300")
_DTYPES = (0, 3, 4, 5, 6, 7, 9, 11, 15)
_TEXTS = (
    '""', '"mean"', '"sum"', '"none"', '"constant"', '"reflect"', '"replicate"', '"circular"', '"amax"', '"prod"',
    '"floor"', '"trunc"', '"ij"', '"ortho"', '"linear"', '"nearest"', '"right"', '"same"', '"valid"', '"tanh"',
    '"i,j->ij"', '"ij,jk"', '"L"', '"fro"', '"cpu"', '"\\000\\377"',
)  # fmt: skip
_DEVICES = ('torch.device("cpu")', 'torch.device("meta")', 'torch.device("cuda:0")')


@dataclass(frozen=True)
class Model:
    """A model: its operator, the calls of it by `case`, and its bytes."""

    schema: Schema
    calls: tuple[str, ...]
    data: bytes


class Unwritable(Exception):
    """An operator that takes something for which there is no text, such as a storage."""


def models(operators: Sequence[Schema], seed: int, cases: int) -> Iterator[Model]:
    """Models of `cases` calls each, endlessly: every operator once, then every operator with other arguments."""
    draw = Random(seed)
    while True:
        for schema in draw.sample(operators, len(operators)):
            yield model(schema, [call(schema, draw) for _ in range(cases)])


def writable(schemas: Sequence[Schema]) -> list[Schema]:
    """The operators among `schemas` that can be called in text."""
    found = []
    for schema in schemas:
        try:
            model(schema, [call(schema, Random(0))])
        except Unwritable:
            continue
        found.append(schema)
    return found


def model(schema: Schema, calls: Sequence[str]) -> Model:
    """A model that makes these calls of an operator."""
    names = [f"r{number}" for number in range(len(schema.returns))]
    kinds = [_result(returned.type) for returned in schema.returns]
    target = ", ".join(names)
    lines = [f"r{number} = {initial}" for number, (_, initial, _) in enumerate(kinds)]
    for number, text in enumerate(calls):
        lines += [f"if torch.eq(case, {number}):", f"  {target} = {text}" if names else f"  {text}"]
    returned = [used.format(name) for name, (_, _, used) in zip(names, kinds, strict=True)]
    match [kind for kind, _, _ in kinds]:
        case []:
            kind = "Tensor"
        case [kind]:
            pass
        case several:
            kind = f"Tuple[{', '.join(several)}]"
    result = ["x"] if not names else returned if len(names) == 1 else [f"({', '.join(returned)})"]
    lines += [f"return {result[0]}"]
    data = body("\n".join(lines), kind, "x: Tensor,\n    case: int")
    return Model(schema, tuple(calls), data)


def rebuilt(whole: Model, case: int) -> Model:
    """The model that makes only one of the calls of another."""
    return model(whole.schema, [whole.calls[case]])


def call(schema: Schema, draw: Random) -> str:
    """A call of an operator with arguments that `draw` chooses."""
    arguments = []
    for argument in schema.arguments:
        if argument.kwarg_only and argument.has_default_value() and draw.random() < 0.5:
            continue
        value = _value(argument.type, argument.name, draw)
        arguments.append(f"{argument.name}={value}" if argument.kwarg_only else value)
    return f"torch.{schema.name.removeprefix('aten::')}({', '.join(arguments)})"


def _result(kind: Any) -> tuple[str, str, str]:
    """The type of a result as a model returns it, an initial value, and the text that makes that of it."""
    match kind.kind():
        case "TensorType":
            return "Tensor", "x", "{}"
        case "ListType" if kind.getElementType().kind() == "TensorType":
            return "List[Tensor]", "[x]", "{}"
        case "IntType" | "NumberType" | "FloatType" | "BoolType" as name:
            first = {"IntType": "0", "NumberType": "annotate(number, 0)", "FloatType": "0.", "BoolType": "False"}[name]
            return "Tensor", first, "torch.add(x, {})"
        case "StringType":
            return "Tensor", '""', "torch.add(x, torch.len({}))"
        case "ListType" if (element := _NAMES.get(kind.getElementType().kind())) is not None:
            return "Tensor", f"annotate(List[{element}], [])", "torch.add(x, torch.len({}))"
    raise Unwritable(str(kind))


_NAMES = {"IntType": "int", "FloatType": "float", "BoolType": "bool", "StringType": "str"}


def _value(kind: Any, name: str, draw: Random) -> str:
    odd = draw.random() < 0.3
    match kind.kind():
        case "TensorType":
            return draw.choice(_DEGENERATE if odd else _ORDINARY)
        case "IntType" if name in ("dtype", "out_dtype"):
            return str(draw.choice(_ODD_INTEGERS if odd else _DTYPES))
        case "IntType":
            return str(draw.choice(_ODD_INTEGERS if odd else _INTEGERS))
        case "FloatType":
            return draw.choice(_ODD_FLOATS if odd else _FLOATS)
        case "NumberType":
            return draw.choice([_value_of("IntType", name, draw), _value_of("FloatType", name, draw)])
        case "BoolType":
            return draw.choice(["True", "False"])
        case "ComplexType":
            return draw.choice(["(1.+2.j)", "infj"])
        case "StringType":
            return draw.choice(_TEXTS)
        case "DeviceObjType":
            return draw.choice(_DEVICES if odd else _DEVICES[:1])
        case "OptionalType" if kind.getElementType().kind() == "GeneratorType":
            return "None"
        case "OptionalType":
            value = _value(kind.getElementType(), name, draw)
            return "None" if draw.random() < 0.4 else value
        case "ListType":
            return _list(kind.getElementType(), name, draw)
        case "AnyType" | "VarType":
            return draw.choice(_ORDINARY)
    raise Unwritable(str(kind))


def _value_of(kind: str, name: str, draw: Random) -> str:
    odd = draw.random() < 0.3
    if kind == "IntType":
        return str(draw.choice(_ODD_INTEGERS if odd else _INTEGERS))
    return draw.choice(_ODD_FLOATS if odd else _FLOATS)


def _list(element: Any, name: str, draw: Random) -> str:
    length = draw.choice((0, 1, 1, 2, 2, 2, 3, 4, 5))
    values = ", ".join(_value(element, name, draw) for _ in range(length))
    kind = {"TensorType": "Tensor", **_NAMES}.get(element.kind())
    if kind is None and element.kind() == "OptionalType" and element.getElementType().kind() == "TensorType":
        kind = "Optional[Tensor]"
    if kind is None:
        raise Unwritable(f"a list of {element}")
    return f"annotate(List[{kind}], [{values}])"
