"""Components rewritten so that `list<u8>` crosses as a string, for hosts that cannot use addresses.

In: a component, and the interfaces that a host serves. Out: the component with other types for functions of these, so
that the engine passes a string to the host and boxes no bytes. With the encoding `latin1+utf16` a string is the same
two core values as a `list<u8>`, and each of its bytes is one character. It differs in two ways, which a bridge for each
function compensates: its address must be even, and its length less than 2^31, since the highest bit would mean UTF-16.

A bridge sees the core values of parameters but not the memory that they point to. So a function changes only if its
bytes are parameters of the type `list<u8>`, not inside other types, and if it has no other strings, since one encoding
applies to all strings of a function. Each function that stays as it is has a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from .binary import encoded
from .bridge_code import StringCode
from .bridge_insertion import Lowered
from .core_memories import check_addresses
from .definitions import Origin, Space
from .function_types import parameters, result, unused
from .instance_types import InstanceType
from .obstacles import Obstacle
from .sections import Edit
from .served_imports import Change, Import, Rewritten, Served, rewrite_imports
from .shapes import I32, MOST_FLAT, STRING, Shape, flattened, of_part
from .types import FUNCTION, Type
from .uses import Lower

#: The option `string-encoding=latin1+utf16`.
_LATIN1: Final = b"\x02"
#: The type `u32`, encoded.
_U32: Final = b"\x79"


def pass_as_strings(wasm: bytes, interfaces: Collection[str]) -> Rewritten:
    """Change the types of functions of the imports that `interfaces` serve, which are full names with versions.

    In each function that `Rewritten.functions` names, each parameter `list<u8>` is a `string`: one character for each
    byte. The function has one more parameter, a `u32`: the bit `1 << n` says that the first character of the n-th of
    these strings is not one of its bytes, and `1 << (n + TOO_LONG_BITS)` that there were too many bytes to cross, so
    that the string has no meaning. Results do not change.
    """
    return rewrite_imports(wasm, interfaces, _change, _check)


def _check(served: Served) -> None:
    """Raise `Obstacle` if the address and the length of a list may have more than 32 bits."""
    if any(each.origin != Origin.MODULE for _, each in served.found.indexed(Space.CORE_MODULE)):
        raise Obstacle("the component gets core modules from elsewhere")
    check_addresses(served.wasm, served.parts)


def _change(served: Served, each: Import) -> Change | None:
    declared = each.declared
    if declared.unfamiliar is not None:
        raise Obstacle(declared.unfamiliar)
    codes: dict[int, StringCode] = {}
    reasons: dict[bytes, str] = {}
    for name, index in declared.functions.items():
        try:
            code = _code(declared, declared.function(index))
        except Obstacle as obstacle:
            reasons[name] = str(obstacle)
        else:
            if code is not None:
                codes[index] = code
    if not codes:
        _check_unchanged(declared, reasons)
        return None
    changed = {name: codes[index] for name, index in declared.functions.items() if index in codes}
    lowers = [lower for lower in each.uses.lowers if lower.function in changed]
    return Change(
        [_retyped(served.wasm, declared, declared.function(index)) for index in sorted(codes)],
        changed,
        [Lowered(lower.index, changed[lower.function]) for lower in lowers],
        [(lower.index, _latin1(lower)) for lower in lowers],
        reasons,
    )


def _check_unchanged(declared: InstanceType, reasons: Mapping[bytes, str]) -> None:
    """Raise `Obstacle` if bytes cross nevertheless."""
    if reasons:
        raise Obstacle("; ".join(dict.fromkeys(reasons.values())))
    results = [result(declared.function(index)) for index in declared.functions.values()]
    if any(each is not None and of_part(each, declared.shapes).holds_bytes for each in results):
        raise Obstacle("there are bytes in results alone")


def _code(declared: InstanceType, function: Type) -> StringCode | None:
    """Return the bridge that a function needs; None if it takes no bytes. Raises `Obstacle` if it cannot change."""
    taken = [of_part(part, declared.shapes) for part in parameters(function)]
    returned = _returned(declared, function)
    if not any(each.holds_bytes or each.unfamiliar for each in taken):
        return None
    if any(each.unfamiliar for each in (*taken, *returned)):
        raise Obstacle("there is an unfamiliar type")
    if any(each.holds_bytes and not each.is_bytes for each in taken):
        raise Obstacle("there are bytes inside other types")
    if any(each.holds_text for each in (*taken, *returned)):
        raise Obstacle("there are strings besides the bytes")
    flat = flattened(taken)
    if flat is None or len(flat) == MOST_FLAT:
        raise Obstacle("there are too many parameters")
    addresses: list[int] = []
    at = 0
    for each in taken:
        addresses += [at] if each.is_bytes else []
        at += len(each.flat or b"")
    core = flattened(returned)
    fits = core is not None and len(core) <= 1  # otherwise the result is stored at a place that the guest passes
    return StringCode(flat, tuple(addresses), core if core and fits else b"", b"" if fits else I32)


def _returned(declared: InstanceType, function: Type) -> list[Shape]:
    part = result(function)
    return [] if part is None else [of_part(part, declared.shapes)]


def _retyped(wasm: bytes, declared: InstanceType, function: Type) -> Edit:
    """Return the type of a function with strings and one more parameter; the indices in it stay valid."""
    labels, parts = list(function.labels), parameters(function)
    values = [
        bytes([STRING]) if of_part(part, declared.shapes).is_bytes else wasm[part.start : part.end] for part in parts
    ]
    labels.append(unused(labels, b"bits"))
    values.append(_U32)
    taken = b"".join(encoded(len(label)) + label + value for label, value in zip(labels, values, strict=True))
    ending = wasm[parts[-1].end : function.end]
    return Edit(function.start, function.end, bytes([FUNCTION]) + encoded(len(labels)) + taken + ending)


def _latin1(lower: Lower) -> Edit:
    encoding, count = lower.options.encoding, lower.options.count
    if encoding is not None:
        return Edit(encoding.start, encoding.end, _LATIN1)
    return Edit(count.start, count.end, encoded(count.value + 1) + _LATIN1)
