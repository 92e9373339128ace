"""The comparison of a function's type with the codecs of the bindings.

The comparison follows the types of the bindings, which are finite and small: no more of a component's types is read
than the bindings have.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from .. import capi
from ..crossing.transport import Crossing
from ..errors import LinkError
from ..misfits import Misfit
from ..values import U32, Codec, Comparison, Result
from ..values.codec import check_optional
from .resource_identities import ComponentIdentities


class Answer(Enum):
    """How the bytes in a result cross.

    As an `ADDRESS`, the function has no result, and one more parameter; `PLACED`, its result has an address in the
    place of bytes, and there is one more parameter, too.
    """

    VALUE = auto()
    ADDRESS = auto()
    PLACED = auto()


def check_signature(
    theirs: capi.FunctionType,
    parameters: Mapping[str, Codec],
    result: Codec | Result | None,
    identities: ComponentIdentities,
    text: str,
    crossing: Crossing = Crossing.LIST,
    answer: Answer = Answer.VALUE,
    is_async: bool = False,
) -> None:
    """Raise `LinkError`, which begins with `text`, if the guest's function has another type.

    `crossing` is the way in which the bytes in its parameters cross; for strings there is one more parameter.
    `answer` is the way of those in its result. `is_async` says whether the bindings have an async function.
    """
    if theirs.is_async is not is_async:
        ours, other = ("an async", "a plain") if is_async else ("a plain", "an async")
        raise LinkError(f"{text}: this host has {ours} function, the guest has {other} one")
    types = list(theirs.parameters)
    if answer is Answer.ADDRESS and theirs.result is not None:
        raise LinkError(f"{text}: it was rewritten, but has a result")
    if answer is not Answer.VALUE or crossing is Crossing.STRING:
        if not types:
            raise LinkError(f"{text}: it was rewritten, but has no parameter for it")
        _check(U32, types.pop()[1], Comparison(identities), f"{text}: last parameter")
    if len(types) != len(parameters):
        raise LinkError(f"{text}: this host has {_count(len(parameters))}, the guest has {_count(len(types))}")
    comparison = Comparison(identities, crossing)
    for (name, codec), (_, type_) in zip(parameters.items(), types, strict=True):
        _check(codec, type_, comparison, f"{text}: parameter {name}")
    if answer is not Answer.ADDRESS:
        form = Crossing.ADDRESS if answer is Answer.PLACED else Crossing.LIST
        _check(result, theirs.result, Comparison(identities, form), f"{text}: result")


def _check(codec: Codec | Result | None, theirs: capi.ValueType | None, comparison: Comparison, where: str) -> None:
    try:
        check_optional(codec, theirs, comparison)
    except Misfit as misfit:
        raise LinkError(misfit.located(where)) from None


def _count(parameters: int) -> str:
    return f"{parameters} parameter{'' if parameters == 1 else 's'}"
