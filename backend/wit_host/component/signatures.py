"""Comparing a function's type with the codecs of the bindings.

The walk follows the types of the bindings, which are finite and small: however much a component makes of its own, no
more of it is looked at than there is of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import capi
from ..crossing.transport import Crossing
from ..errors import LinkError
from ..misfits import Misfit
from ..values import U32, Codec, Comparison, Result
from ..values.codec import check_optional
from .resource_identities import ComponentIdentities


def check_signature(
    theirs: capi.FunctionType,
    parameters: Mapping[str, Codec],
    result: Codec | Result | None,
    identities: ComponentIdentities,
    text: str,
    crossing: Crossing = Crossing.LIST,
    is_bridged: bool = False,
) -> None:
    """Raise `LinkError`, which begins with `text`, if the guest's function has another type.

    `crossing` says how the bytes in its parameters were prepared to cross; as strings they need one more parameter.
    `is_bridged` says that its result was prepared to cross by address, which then has become a last parameter.
    """
    if theirs.is_async:
        raise LinkError(f"{text}: this host has a plain function, the guest has an async one")
    types = list(theirs.parameters)
    if is_bridged and theirs.result is not None:
        raise LinkError(f"{text}: it was prepared and has a result all the same")
    if is_bridged or crossing is Crossing.STRING:
        if not types:
            raise LinkError(f"{text}: it was prepared and has no parameter for it")
        _check(U32, types.pop()[1], Comparison(identities), f"{text}: last parameter")
    if len(types) != len(parameters):
        raise LinkError(f"{text}: this host has {_count(len(parameters))}, the guest has {_count(len(types))}")
    comparison = Comparison(identities, crossing)
    for (name, codec), (_, type_) in zip(parameters.items(), types, strict=True):
        _check(codec, type_, comparison, f"{text}: parameter {name}")
    if not is_bridged:
        _check(result, theirs.result, Comparison(identities), f"{text}: result")


def _check(codec: Codec | Result | None, theirs: capi.ValueType | None, comparison: Comparison, where: str) -> None:
    try:
        check_optional(codec, theirs, comparison)
    except Misfit as misfit:
        raise LinkError(misfit.located(where)) from None


def _count(parameters: int) -> str:
    return f"{parameters} parameter{'' if parameters == 1 else 's'}"
