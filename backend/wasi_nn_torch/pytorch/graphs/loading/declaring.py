"""The dtypes of a model's inputs that do not come from its signature, but from the operator or a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pytorch.dtypes import find_dtype, spell
from wasi_nn_torch.pytorch.fitting import OFFERED
from wasi_nn_torch.pytorch.graphs.inputs.parameters import (
    EACH,
    Argument,
    Group,
    Kind,
    Many,
    Parameter,
    Path,
    key_of,
    spelled,
)
from wasi_nn_torch.pytorch.graphs.inputs.signature import Signature


def dtypes_of(named: Iterable[tuple[str, str]], name: str) -> dict[str, torch.dtype]:
    """Dtypes by the names of inputs; raises ModelError for a dtype that a guest's tensor cannot be converted to."""
    dtypes: dict[str, torch.dtype] = {}
    for at, text in named:
        dtype = find_dtype(text)
        if dtype is None or dtype not in OFFERED:
            known = ", ".join(sorted(map(spell, OFFERED)))
            raise ModelError(
                f"{name}: the input {quote(at)} cannot have the dtype {quote(text)}; choose one of {known}"
            )
        dtypes[at] = dtype
    return dtypes


def declared(signature: Signature, dtypes: Mapping[str, torch.dtype], name: str) -> Signature:
    """A signature with the dtypes that the operator declares for its inputs.

    Raises ModelError for an input that does not exist or takes a number, and for one that the program was exported
    with another dtype for.
    """
    known = {each.name: each for each in signature.inputs}
    for at, dtype in dtypes.items():
        found = known.get(at) or signature.find(at)
        if found is None:
            raise ModelError(f"{name} has no input {quote(at)}, for which a dtype is given; it has {quote_all(known)}")
        if found.kind is not Kind.TENSOR:
            raise ModelError(f"{name} takes the input {quote(at)} as {found.kind.value}; leave out its dtype")
        if found.shape is not None and found.dtype not in (None, dtype):
            raise ModelError(
                f"{name} was exported with another dtype for {quote(at)} than {spell(dtype)}; leave it out"
            )
    return with_dtypes(signature, dtypes)


def with_dtypes(signature: Signature, dtypes: Mapping[str, torch.dtype]) -> Signature:
    """A signature whose inputs have the given dtypes, by name."""
    if not dtypes:
        return signature
    return replace(signature, parameters=tuple(_with(each, dtypes, ()) for each in signature.parameters))


def _with(argument: Argument, dtypes: Mapping[str, torch.dtype], path: Path) -> Argument:
    path = (*path, argument.name)
    match argument:
        case Parameter():
            return replace(argument, dtype=dtypes.get(spelled(path), argument.dtype))
        case Group(parts=parts):
            return replace(argument, parts=tuple(_with(part, dtypes, path) for part in parts))
        case Many(item=item):
            known = {**dict(argument.known), **_known(argument, dtypes, spelled(path) + ".")}
            return replace(argument, item=_with(replace(item, name=EACH), dtypes, path), known=tuple(known.items()))


def _known(many: Many, dtypes: Mapping[str, torch.dtype], above: str) -> dict[str | int, Parameter]:
    """The parts that are named individually."""
    named = {name.removeprefix(above): dtype for name, dtype in dtypes.items() if name.startswith(above)}
    keys = {key_of(many, rest.split("."))[0]: dtype for rest, dtype in named.items() if rest != EACH}
    item = many.item
    if not isinstance(item, Parameter):
        return {}
    return {key: replace(item, name=str(key), dtype=dtype) for key, dtype in keys.items() if key is not None}
