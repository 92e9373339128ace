"""Core code that visits the handles inside a value and replaces each by the result of a function.

In: the shape of a value, and its core values or its address. Out: WebAssembly text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.guests.flat import Array, Handle, Leaf, List, Record, Shape, Variant

_LOADS = {1: "i32.load8_u", 2: "i32.load16_u", 4: "i32.load"}


@dataclass(frozen=True, slots=True)
class Local:
    """A local variable and its core type."""

    name: str
    core: str


class Visit:
    """Visits the handles for which `action` names a core function from handle to handle, `i32` to `i32`.

    `functions` are the functions that the code generated so far needs.
    """

    def __init__(self, name: str, action: Callable[[Handle], str | None]) -> None:
        self.functions: list[str] = []
        self._name = name
        self._action = action
        self._concerns: dict[int, bool] = {}
        self._visitors: dict[tuple[str, int], str] = {}
        self._seen: list[Shape] = []  # keeps shapes alive, since they are known by their ids

    def flat(self, shape: Shape, values: Sequence[Local]) -> Iterator[str]:
        """Code for a value in local variables, of which there are at most as many as can be passed."""
        if not self.concerns(shape):
            return
        match shape:
            case Handle():
                yield _set(values[0], f"(call {self._action(shape)} {_get(values[0])})")
            case List(element):
                yield f"(call {self._each(element)} {_get(values[0])} {_get(values[1])})"
            case Array(element, length):
                yield from self._fields([element] * length, values)
            case Record(fields):
                yield from self._fields(fields, values)
            case Variant(cases):
                for case, payload in self._payloads(cases):
                    steps = " ".join(self.flat(payload, values[1:]))
                    yield f"(if (i32.eq {_get(values[0])} (i32.const {case})) (then {steps}))"

    def memory(self, shape: Shape, at: str) -> Iterator[str]:
        """Code for a value at an address."""
        if self.concerns(shape):
            yield f"(call {self._at(shape)} {at})"

    def concerns(self, shape: Shape) -> bool:
        """Whether a value of this shape may contain such a handle."""
        if id(shape) not in self._concerns:
            self._seen.append(shape)
            self._concerns[id(shape)] = (isinstance(shape, Handle) and self._action(shape) is not None) or any(
                self.concerns(part) for part in _parts(shape)
            )
        return self._concerns[id(shape)]

    def _fields(self, fields: Sequence[Shape], values: Sequence[Local]) -> Iterator[str]:
        at = 0
        for part in fields:
            yield from self.flat(part, values[at:])
            at += len(part.layout.flat)

    def _payloads(self, cases: Sequence[Shape | None]) -> Iterator[tuple[int, Shape]]:
        for case, payload in enumerate(cases):
            if payload is not None and self.concerns(payload):
                yield case, payload

    def _at(self, shape: Shape) -> str:
        """The function that visits a `shape` at an address."""
        return self._visitor("at", shape, lambda name: f"(func {name} (param $at i32) {' '.join(self._steps(shape))})")

    def _each(self, element: Shape) -> str:
        """The function that visits a number of `element`s at an address."""
        return self._visitor("each", element, lambda name: _loop(name, self._at(element), element.layout.size))

    def _visitor(self, kind: str, shape: Shape, text: Callable[[str], str]) -> str:
        if (kind, id(shape)) not in self._visitors:
            name = self._visitors[kind, id(shape)] = f"${self._name}-{kind}-{len(self._visitors)}"
            self.functions.append(text(name))
        return self._visitors[kind, id(shape)]

    def _steps(self, shape: Shape) -> Iterator[str]:
        match shape:
            case Handle():
                yield f"(i32.store (local.get $at) (call {self._action(shape)} (i32.load (local.get $at))))"
            case List(element):
                yield f"(call {self._each(element)} (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))"
            case Array(element, length):
                yield f"(call {self._each(element)} (local.get $at) (i32.const {length}))"
            case Record(fields, offsets):
                for part, offset in zip(fields, offsets, strict=True):
                    yield from self.memory(part, _plus(offset))
            case Variant(cases, discriminant, offset):
                for case, payload in self._payloads(cases):
                    steps = " ".join(self.memory(payload, _plus(offset)))
                    found = f"({_LOADS[discriminant]} (local.get $at))"
                    yield f"(if (i32.eq {found} (i32.const {case})) (then {steps}))"


def _parts(shape: Shape) -> Sequence[Shape]:
    match shape:
        case Leaf() | Handle():
            return ()
        case List(element) | Array(element):
            return (element,)
        case Record(fields):
            return fields
        case Variant(cases):
            return [case for case in cases if case is not None]


def _loop(name: str, visitor: str, size: int) -> str:
    return f"""(func {name} (param $at i32) (param $left i32)
      (block $done (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (call {visitor} (local.get $at))
        (local.set $at (i32.add (local.get $at) (i32.const {size})))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next))))"""


def _plus(offset: int) -> str:
    return f"(i32.add (local.get $at) (i32.const {offset}))"


def _get(value: Local) -> str:
    """An `i32`, which is in an `i64` if another case of a variant needs that much."""
    get = f"(local.get {value.name})"
    return get if value.core == "i32" else f"(i32.wrap_i64 {get})"


def _set(value: Local, new: str) -> str:
    return f"(local.set {value.name} {new if value.core == 'i32' else f'(i64.extend_i32_u {new})'})"
