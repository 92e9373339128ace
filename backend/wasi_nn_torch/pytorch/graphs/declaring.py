"""What is known of a model's inputs from elsewhere than its signature: the operator, and the inputs of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from wasi_nn_torch.contract.errors import ModelError, quote, quote_all
from wasi_nn_torch.pytorch.dtypes import find_dtype, spell
from wasi_nn_torch.pytorch.fitting import OFFERED
from wasi_nn_torch.pytorch.graphs.parameters import EACH, Argument, Group, Kind, Many, Parameter, Path, key_of, spelled
from wasi_nn_torch.pytorch.graphs.signature import Signature


def dtypes_of(named: Iterable[tuple[str, str]], name: str) -> dict[str, torch.dtype]:
    """Return dtypes by the name of an input; raises ModelError for a dtype that no guest's tensor can have."""
    dtypes: dict[str, torch.dtype] = {}
    for at, text in named:
        dtype = find_dtype(text)
        if dtype is None or dtype not in OFFERED:
            known = ", ".join(sorted(map(spell, OFFERED)))
            raise ModelError(f"{name}: the input {quote(at)} cannot be of the dtype {quote(text)}; there are {known}")
        dtypes[at] = dtype
    return dtypes


def declared(signature: Signature, dtypes: Mapping[str, torch.dtype], name: str) -> Signature:
    """Return a signature with the dtypes that the operator says its inputs have.

    Raises ModelError for an input that is not there or takes a number, or that the program was exported for another
    dtype of.
    """
    known = {each.name: each for each in signature.inputs}
    for at, dtype in dtypes.items():
        found = known.get(at) or signature.find(at)
        if found is None:
            raise ModelError(f"{name} has no input {quote(at)} of which a dtype is given; it has {quote_all(known)}")
        if found.kind is not Kind.TENSOR:
            raise ModelError(f"{name} takes the input {quote(at)} as {found.kind.value}, whatever its dtype")
        if found.shape is not None and found.dtype not in (None, dtype):
            raise ModelError(f"{name} was exported for another dtype of {quote(at)} than {spell(dtype)}; leave it out")
    return with_dtypes(signature, dtypes)


def with_dtypes(signature: Signature, dtypes: Mapping[str, torch.dtype]) -> Signature:
    """Return a signature with dtypes by the names of its inputs."""
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
    """Return the parts that are named one by one."""
    named = {name.removeprefix(above): dtype for name, dtype in dtypes.items() if name.startswith(above)}
    keys = {key_of(many, rest.split("."))[0]: dtype for rest, dtype in named.items() if rest != EACH}
    item = many.item
    if not isinstance(item, Parameter):
        return {}
    return {key: replace(item, name=str(key), dtype=dtype) for key, dtype in keys.items() if key is not None}
