"""The inputs that a guest can give for an argument of TorchScript, derived from its type."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from wasi_nn_torch.pytorch.graphs.inputs.parameters import EACH, Argument, Group, Kind, Many, Parameter

_KINDS = {
    "TensorType": Kind.TENSOR,
    "IntType": Kind.INTEGER,
    "FloatType": Kind.FLOAT,
    "BoolType": Kind.BOOLEAN,
}
_KEYS: dict[str, type[str | int]] = {"StringType": str, "IntType": int}

_INNER = re.compile(r"[(\[][^()\[\]]*[)\]]")
_FIELD = re.compile(r"(\w+) : ")


def argument_of(wanted: torch._C.JitType, name: str, has_default: bool = False) -> Argument | None:
    """The argument, or the part of one, with the key `name`; None if a guest cannot give it."""
    takes_none = isinstance(wanted, torch._C.OptionalType)
    if isinstance(wanted, torch._C.OptionalType):
        wanted = wanted.getElementType()
    optional, none_if_absent = takes_none or has_default, takes_none and not has_default
    if wanted.kind() in _KINDS:
        return Parameter(name, _KINDS[wanted.kind()], optional, none_if_absent)
    if isinstance(wanted, torch._C.TupleType):
        kinds = wanted.elements()
        parts = [argument_of(kind, field) for field, kind in zip(fields_of(wanted), kinds, strict=True)]
        known = tuple(part for part in parts if part is not None)
        return Group(name, known, _tuple, optional, none_if_absent) if known and len(known) == len(parts) else None
    if isinstance(wanted, torch._C.ListType):
        item = argument_of(wanted.getElementType(), EACH)
        return None if item is None else Many(name, item, list, None, optional, none_if_absent)
    if isinstance(wanted, torch._C.DictType):
        item, key = argument_of(wanted.getValueType(), EACH), _KEYS.get(wanted.getKeyType().kind())
        return None if item is None or key is None else Many(name, item, dict, key, optional, none_if_absent)
    return None


def fields_of(kind: torch._C.TupleType) -> list[str]:
    """The names of the fields of a NamedTuple, or the positions in any other tuple."""
    spelled = str(kind.str())  # type: ignore[attr-defined]  # the stub lacks it
    text = spelled.removeprefix("NamedTuple(").removesuffix(")")
    if not spelled.startswith("NamedTuple("):
        return [str(position) for position in range(len(kind.elements()))]
    while _INNER.search(text):
        text = _INNER.sub("", text)
    return _FIELD.findall(text)


def _tuple(parts: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(parts.values())
