"""Type expressions and type definitions.

In: the types of a scope that may be referred to. Out: tokens, and what has to be known of a type to refer to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.witgen.helpers.writer.dice import Dice, Gate, identifier, listed

PRIMITIVES = tuple("bool u8 u16 u32 u64 s8 s16 s32 s64 f32 f64 char string error-context".split())
KEYS = tuple(name for name in PRIMITIVES if name not in ("f32", "f64", "error-context"))


@dataclass(frozen=True, slots=True)
class Named:
    """A type with a name; `borrows` says that a borrowed handle is in it, `off` that a feature hides it."""

    name: str
    resource: bool = False
    borrows: bool = False
    off: bool = False


def expression(dice: Dice, types: Sequence[Named], borrow: bool, depth: int = 3) -> tuple[str, bool]:
    """A type expression over `types`, and whether it borrows, which it does only if `borrow` is set."""
    types = [type for type in types if borrow or not type.borrows]
    if depth == 0 or dice.chance(45):
        return _simple(dice, types)
    resources = [type for type in types if type.resource]
    if resources and dice.chance(30):
        return _handle(dice, resources, borrow)
    parts = [expression(dice, types, borrow, depth - 1) for _ in range(3)]
    form, count = _compound(dice, [text for text, _ in parts])
    return form, any(borrows for _, borrows in parts[:count])


def _simple(dice: Dice, types: Sequence[Named]) -> tuple[str, bool]:
    if not types or dice.chance(40):
        return dice.pick(PRIMITIVES), False
    type = dice.pick(types)
    return identifier(dice, type.name), type.borrows


def _handle(dice: Dice, resources: Sequence[Named], borrow: bool) -> tuple[str, bool]:
    borrowed = borrow and dice.chance(60)
    name = identifier(dice, dice.pick(resources).name)
    return f"{'borrow' if borrowed else 'own'} < {name} >", borrowed


def _compound(dice: Dice, parts: Sequence[str]) -> tuple[str, int]:
    """A form that takes other types, and how many of `parts` it took."""
    one, two, _ = parts
    length = dice.pick((1, 2, 16, 4294967295))
    several = 1 + dice.upto(2)
    return dice.pick(
        (
            (f"tuple < {listed(dice, parts[:several])} >", several),
            (f"list < {one} >", 1),
            (f"list < {one} , {length} >", 1),
            (f"map < {dice.pick(KEYS)} , {one} >", 1),
            (f"option < {one} >", 1),
            ("result", 0),
            (f"result < {one} >", 1),
            (f"result < {one} , {two} >", 2),
            (f"result < _ , {one} >", 1),
            (f"future < {one} >", 1),
            ("future", 0),
            (f"stream < {one} >", 1),
            ("stream", 0),
        )
    )


def definition(dice: Dice, name: str, gate: Gate, types: Sequence[Named]) -> tuple[str, Named]:
    """A definition of anything but a resource, over earlier types."""
    # An unnamed type belongs to the first that needs it; if that one is hidden, nothing else may need it.
    depth = 0 if gate.off and dice.chance(90) else 3
    written = identifier(dice, name)
    sort = dice.pick(("type", "type", "record", "record", "variant", "flags", "enum"))
    if sort == "type":
        return _alias(dice, name, gate, types, depth)
    if sort in ("flags", "enum"):
        labels = [identifier(dice, label) for label in _labels(dice)]
        return _tokens(gate.text, sort, written, "{", listed(dice, labels), "}"), Named(name, off=gate.off)
    parts, borrows = [], False
    for label in _labels(dice):
        if sort == "variant" and dice.chance(30):
            parts.append(identifier(dice, label))
            continue
        text, borrowed = expression(dice, types, True, depth)
        borrows = borrows or borrowed
        parts.append(f"{identifier(dice, label)} {f': {text}' if sort == 'record' else f'( {text} )'}")
    return _tokens(gate.text, sort, written, "{", listed(dice, parts), "}"), Named(name, borrows=borrows, off=gate.off)


def _alias(dice: Dice, name: str, gate: Gate, types: Sequence[Named], depth: int) -> tuple[str, Named]:
    written = identifier(dice, name)
    if types and dice.chance(40):
        target = dice.pick(types)
        text = f"type {written} = {identifier(dice, target.name)} ;"
        return _tokens(gate.text, text), Named(name, target.resource, target.borrows, gate.off)
    text, borrows = expression(dice, types, True, depth)
    named = next((type for type in types if text.removeprefix("%") == type.name), None)
    resource = named is not None and named.resource
    return _tokens(gate.text, f"type {written} = {text} ;"), Named(name, resource, borrows, gate.off)


def _labels(dice: Dice) -> list[str]:
    taken: set[str] = set()
    return [dice.fresh(taken) for _ in range(1 + dice.upto(3))]


def _tokens(*parts: str) -> str:
    return " ".join(part for part in parts if part)
