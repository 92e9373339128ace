"""Comparing a function's type with the codecs of the bindings.

The walk follows the types of the bindings, which are finite and small: however much a component makes of its own, no
more of it is looked at than there is of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from wasmtime.component import FuncType

from . import capi
from .errors import LinkError
from .identities import ComponentIdentities
from .misfits import Misfit
from .values import U32, Codec, Result
from .values.codec import check_optional


def check_signature(
    theirs: FuncType,
    parameters: Mapping[str, Codec],
    result: Codec | Result | None,
    identities: ComponentIdentities,
    text: str,
    by_address: bool = False,
    is_bridged: bool = False,
) -> None:
    """Raise `LinkError`, which begins with `text`, where the guest's function has another type.

    `by_address` says that the bytes in its parameters were prepared to cross by address, `is_bridged` that its result
    was, which then has become a last parameter.
    """
    if capi.is_async(theirs):
        raise LinkError(f"{text}: this host has a plain function, the guest has an async one")
    types = capi.parameter_types(theirs)
    if is_bridged:
        if not types or capi.result_type(theirs) is not None:
            raise LinkError(f"{text}: it was prepared and has no place for its result")
        _check(U32, types.pop()[1], identities, f"{text}: result")
    if len(types) != len(parameters):
        raise LinkError(f"{text}: this host has {_count(len(parameters))}, the guest has {_count(len(types))}")
    identities.by_address = by_address
    for (name, codec), (_, type_) in zip(parameters.items(), types, strict=True):
        _check(codec, type_, identities, f"{text}: parameter {name}")
    identities.by_address = False
    if not is_bridged:
        _check(result, capi.result_type(theirs), identities, f"{text}: result")


def _check(
    codec: Codec | Result | None, theirs: capi.ValueType | None, identities: ComponentIdentities, where: str
) -> None:
    try:
        check_optional(codec, theirs, identities)
    except Misfit as misfit:
        raise LinkError(misfit.located(where)) from None


def _count(parameters: int) -> str:
    return f"{parameters} parameter{'' if parameters == 1 else 's'}"
