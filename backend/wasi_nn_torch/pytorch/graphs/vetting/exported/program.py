"""The JSON of an exported program: every field that PyTorch reads, and its allowed values.

PyTorch prints names into Python code that it then runs, imports the modules that descriptions of containers name, and
looks up operators as attributes of its own modules. So names must be identifiers, containers become lists, tuples or
dicts, and operators must be harmless. All devices become the CPU, since the loader moves the model.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from wasi_nn_torch.pytorch.graphs.inputs.structure import keys_of
from wasi_nn_torch.pytorch.graphs.vetting.exported import expressions
from wasi_nn_torch.pytorch.graphs.vetting.exported.public import REPLACED, with_public_names
from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import (
    Misfit,
    Shape,
    absent_as,
    always,
    anything_else,
    boolean,
    int64,
    integer,
    listing,
    mapping,
    nullable,
    number,
    one_of,
    parse,
    record,
    spell,
    text,
    union,
)
from wasi_nn_torch.pytorch.graphs.vetting.operators import exported_operators, why_refused

_WIDEST = 64
_DEEPEST = 24
_LONGEST_CLASS = 500
_LONGEST_STRUCTURE = 1 << 16  # PyTorch keeps some of these indefinitely
_TORCH = "torch.ops.aten."
_STRIDED = 7

#: The exported form of `torch.no_grad()`, which only calls a part of the program.
_WITHOUT_GRADIENTS = "torch.ops.higher_order.wrap_with_set_grad_enabled"

#: The exported form of `torch.autocast`, which calls a part of the program, in another precision if it is enabled.
_AUTOCAST = "torch.ops.higher_order.wrap_with_autocast"

#: The names that are used by the code that PyTorch prints.
_TAKEN = frozenset(
    {"L", "NoneType", "device", "fx_pytree", "inf", "math", "nan", "operator", "pytree", "self", "torch"}
)

_POWER = "_operator.pow"
_LARGEST_POWER = 8

#: The functions on numbers. Not listed: shifts, since Python's numbers grow without bound.
_ON_NUMBERS = frozenset(
    """_operator.add _operator.and_ _operator.eq _operator.floordiv _operator.ge _operator.gt _operator.le _operator.lt
    _operator.mod _operator.mul _operator.ne _operator.neg _operator.or_ _operator.pos _operator.sub _operator.truediv
    math.trunc torch.sym_float torch.sym_int torch.sym_ite torch.sym_max torch.sym_min torch.sym_not
    torch.sym_sqrt""".split()
)

_identifier = text(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,500}")
_path = text(r"(?!__)\w{1,200}(?:\.(?!__)\w{1,200}){0,40}")
_key = text(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,500}")


def name(value: object) -> object:
    """Pass names of values, which become variables in the code that PyTorch prints."""
    passed = str(_identifier(value))
    if keyword.iskeyword(passed) or passed in _TAKEN:
        raise Misfit(f"{spell(value)} cannot be a name")
    return passed


def part(value: object) -> object:
    """Pass names of parts of the model, which become attributes of a module and may not overwrite its own."""
    if value in _attributes():
        raise Misfit(f"{spell(value)} cannot be the name of a part of the model")
    return _path(value)


def path(value: object) -> object:
    """Pass paths of weights or buffers within the model."""
    passed = str(_path(value))
    for name in passed.split("."):
        part(name)
    return passed


@cache
def _attributes() -> frozenset[str]:
    return frozenset(dir(torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())))


_expression = record(expr_str=expressions.size, hint=nullable(union(as_int=int64, as_bool=boolean, as_float=number)))
_symbolic_int = union(as_expr=_expression, as_int=int64)
_device = always({"type": "cpu", "index": None})
_dtype = integer(1, 35)


def tensor(size: Shape) -> Shape:
    """Pass descriptions of dense tensors whose sizes pass."""
    return record(
        dtype=_dtype,
        sizes=listing(size, _WIDEST),
        requires_grad=always(False),
        device=_device,
        strides=listing(size, _WIDEST),
        storage_offset=size,
        layout=one_of(_STRIDED),
    )


_tensor = record(name=name)
_some_int = union(as_name=name, as_int=int64)
_some_float = union(as_name=name, as_float=number)
_some_bool = union(as_name=name, as_bool=boolean)
_some_tensor = union(as_tensor=_tensor, as_none=boolean)
_ARGUMENTS: dict[str, Shape] = {
    "as_none": boolean,
    "as_tensor": _tensor,
    "as_tensors": listing(_tensor),
    "as_int": int64,
    "as_ints": listing(int64),
    "as_float": number,
    "as_floats": listing(number),
    "as_string": text(r"[ -~\n]{0,2000}"),
    "as_sym_int": _some_int,
    "as_sym_ints": listing(_some_int),
    "as_scalar_type": _dtype,
    "as_memory_format": integer(1, 4),
    "as_layout": one_of(_STRIDED),
    "as_device": _device,
    "as_bool": boolean,
    "as_bools": listing(boolean),
    "as_sym_bool": _some_bool,
    "as_sym_bools": listing(_some_bool),
    "as_optional_tensors": listing(_some_tensor),
    "as_sym_float": _some_float,
    "as_sym_floats": listing(_some_float),
    "as_optional_tensor": _some_tensor,
    "as_complex": record(real=number, imag=number),
}
_argument = union(**_ARGUMENTS)


def _operator(value: object) -> object:
    if isinstance(value, str):
        if value in _ON_NUMBERS or value == _POWER:
            return value
        operator = value.removeprefix(_TORCH) if value.startswith(_TORCH) else ""
        if operator in exported_operators() or operator in REPLACED:
            return value
        if operator:
            reason = why_refused(operator.partition(".")[0]) or "which has no such overload"
            raise Misfit(f"it calls {spell(value)}, {reason}")
    raise Misfit(f"it calls {spell(value)}")


def _call_of(operator: Shape, argument: Shape) -> Callable[[object], dict[str, Any]]:
    return record(
        target=operator,
        inputs=listing(record(name=text(r"\w{0,200}"), arg=argument, kind=nullable(integer(0, 2)))),
        outputs=listing(_argument),
        metadata=always({}),
        is_hop_single_tensor_return=nullable(boolean),
        name=nullable(name),
    )


def _inner(value: object) -> object:
    return record(name=part, graph=_graph)(value)


_plain_node = _call_of(_operator, _argument)
_nesting_node = _call_of(one_of(_WITHOUT_GRADIENTS, _AUTOCAST), union(**_ARGUMENTS, as_graph=_inner))


def _node(value: object) -> object:
    match value:
        case {"target": str(target)} if target == _WITHOUT_GRADIENTS:
            return _nesting_node(value)
        case {"target": str(target)} if target == _AUTOCAST:
            return _in_a_precision(_nesting_node(value))
        case {"target": str(target)} if target == _POWER:
            return _power(_plain_node(value))
    return _plain_node(value)


def _in_a_precision(node: dict[str, Any]) -> object:
    """Pass `autocast` with a precision; if it is disabled, which is the default here, turn it into a plain call."""
    match [item["arg"] for item in node["inputs"][:4]]:
        case [{"as_string": "cpu" | "cuda" | "mps" | "xpu"}, _, {"as_bool": True}, _]:
            return node
        case [_, _, {"as_bool": False}, _]:
            gradients = {"name": "", "arg": {"as_bool": False}, "kind": 1}
            return {**node, "target": _WITHOUT_GRADIENTS, "inputs": [gradients, *node["inputs"][4:]]}
    raise Misfit("`autocast` is called with arguments that PyTorch does not use")


def _power(node: dict[str, Any]) -> object:
    """Pass small constant powers, since Python's numbers grow without bound."""
    match [item["arg"] for item in node["inputs"]]:
        case [_, {"as_int": power} | {"as_sym_int": {"as_int": power}}] if 0 <= power <= _LARGEST_POWER:
            return node
    raise Misfit(f"it calls {spell(_POWER)} with a power that is not a constant up to {_LARGEST_POWER}")


_written_graph = record(
    inputs=listing(_argument),
    outputs=listing(_argument),
    nodes=listing(_node),
    tensor_values=mapping(name, tensor(_symbolic_int)),
    sym_int_values=mapping(name, _symbolic_int),
    sym_bool_values=mapping(name, union(as_expr=_expression, as_bool=boolean)),
    sym_float_values=absent_as({}, mapping(name, union(as_expr=_expression, as_float=number))),
    is_single_tensor_return=absent_as(False, boolean),
    custom_obj_values=always({}),
)


def _graph(value: object) -> object:
    return with_public_names(_written_graph(value))


_constant = union(
    as_none=boolean, as_int=int64, as_float=number, as_bool=boolean, as_string=text(r"[A-Za-z0-9_ .-]{0,500}")
)
_signature = record(
    input_specs=listing(
        union(
            user_input=record(arg=_argument),
            parameter=record(arg=_tensor, parameter_name=path),
            buffer=record(arg=_tensor, buffer_name=path, persistent=boolean),
            tensor_constant=record(arg=_tensor, tensor_constant_name=path),
            constant_input=record(name=name, value=_constant),
        )
    ),
    output_specs=listing(
        union(
            user_output=record(arg=_argument),
            loss_output=record(arg=_tensor),
            buffer_mutation=record(arg=_tensor, buffer_name=path),
            user_input_mutation=record(arg=_tensor, user_input_name=name),
        )
    ),
)


def _structure(value: object) -> object:
    """Pass descriptions of nested containers, which are JSON in a string."""
    match parse(value) if isinstance(value, str) and len(value) <= _LONGEST_STRUCTURE else None:
        case [1, spec]:
            return json.dumps([1, _container(spec, 0)])
    return anything_else(value)


def _container(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        raise Misfit("containers are nested too deeply")
    match value:
        case {"type": None, "context": None, "children_spec": []}:
            return {"type": None, "context": None, "children_spec": []}
        case {"type": "builtins.tuple" | "builtins.list" as kind, "context": "null", "children_spec": list() as inner}:
            keys = "null"
        case {
            "type": "builtins.dict" | "collections.OrderedDict" as kind,
            "context": str() as context,
            "children_spec": list() as inner,
        }:
            keys = _keys(context, len(inner))
        case {"type": str() as kind, "context": str() as context, "children_spec": list() as inner} if _is_other(kind):
            keys = json.dumps([_key(key) for key in keys_of(parse(context), len(inner))])
            kind = "builtins.dict"
        case {"type": kind}:
            raise Misfit(f"a container of the type {spell(kind)} is not allowed there")
        case _:
            return anything_else(value)
    return {"type": kind, "context": keys, "children_spec": [_container(item, depth + 1) for item in inner]}


def _is_other(kind: str) -> bool:
    """Whether a container has a class of another package, such as an output of transformers; only its keys are used."""
    return not kind.startswith(("builtins.", "collections.")) and len(kind) <= _LONGEST_CLASS


def _keys(context: str, count: int) -> str:
    keys = parse(context)
    if not isinstance(keys, list) or len(keys) != count or len({*map(str, keys)}) != count:
        raise Misfit(f"{spell(context)} does not name {count} items")
    return json.dumps([key if type(key) is int else _key(key) for key in keys])


def _inputs(value: object) -> object:
    """Pass the structure of the inputs; keywords become parameters in the code that PyTorch prints."""
    passed = _structure(value)
    match json.loads(str(passed)):
        case [1, {"children_spec": [{"type": "builtins.tuple"}, {"type": "builtins.dict", "context": keywords}]}]:
            listing(name)(json.loads(keywords))
            return passed
    return anything_else(value)


_call = record(
    fqn=one_of(""),
    signature=record(
        inputs=always([]),
        outputs=always([]),
        in_spec=_inputs,
        out_spec=_structure,
        forward_arg_names=nullable(listing(name)),
    ),
)


def _calls(value: object) -> object:
    """Pass the call of the whole model, and drop those of its parts, which are not used here."""
    return [_call(value[0])] if isinstance(value, list) and value else anything_else(value)


def _symbol(value: object) -> object:
    return value if expressions.is_symbol(value) else anything_else(value)


#: Passes a whole program. Raises Misfit unless all of it is harmless.
program = record(
    graph_module=record(
        graph=_graph,
        signature=_signature,
        module_call_graph=_calls,
        metadata=always({}),
        treespec_namedtuple_fields=always({}),
    ),
    opset_version=mapping(text(r"\w{1,50}"), integer(0, 1000), 20),
    range_constraints=mapping(_symbol, record(min_val=nullable(int64), max_val=nullable(int64))),
    schema_version=record(major=integer(0, 1000), minor=integer(0, 1000)),
    verifiers=listing(one_of("TRAINING", "ATEN"), 4),
    torch_version=text(r"[\w.+<= -]{0,100}"),
    guards_code=absent_as([], listing(expressions.guard, 1000)),
)
