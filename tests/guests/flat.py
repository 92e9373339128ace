"""The canonical ABI's view of WIT types: size, alignment and core values.

In: `witgen`'s resolved model. Out: *shapes*, without the specialised types, as after "despecialize" of the component
model: a tuple is a record; an option, a result and an enum are variants; a map is a list of pairs. `list<T, N>` is N
fields of one type. A shape lists at most one core value more than can be passed, which is enough to check the limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

from witgen import model
from witgen.model import Function, Primitive, Resolved, TypeId, TypeRef

MAX_FLAT_PARAMS = 16
MAX_FLAT_RESULTS = 1


class Unsupported(ValueError):
    """A type or function that has no synchronous core signature of the kind written here."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The size and alignment in memory, and the first core values that a value flattens to."""

    size: int
    align: int
    flat: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Numbers, `bool`, `char`, flags and strings, which contain no other shapes."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Handle:
    """`own` or `borrow` of the resource with that type id, aliases followed."""

    resource: TypeId
    owned: bool
    layout: Layout = Layout(4, 4, ("i32",))


@dataclass(frozen=True, slots=True)
class List:
    """Pointer and number of elements."""

    element: Shape
    layout: Layout = Layout(8, 4, ("i32", "i32"))


@dataclass(frozen=True, slots=True)
class Array:
    """The same shape several times in a row."""

    element: Shape
    length: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Record:
    """Fields and their offsets in memory."""

    fields: tuple[Shape, ...]
    offsets: tuple[int, ...]
    layout: Layout


@dataclass(frozen=True, slots=True)
class Variant:
    """A discriminant with its size in bytes, and a payload at the same offset for all cases."""

    cases: tuple[Shape | None, ...]
    discriminant: int
    offset: int
    layout: Layout


Shape = Leaf | Handle | List | Array | Record | Variant


@dataclass(frozen=True, slots=True)
class Signature:
    """The shapes of a function's arguments and result, and how its core function is called.

    `spilled` means that a pointer to the record `arguments` is passed instead of the values, `returned` that the result
    is in memory.
    """

    arguments: Record
    result: Shape | None
    spilled: bool = field(init=False)
    returned: bool = field(init=False)

    def __post_init__(self) -> None:
        results = () if self.result is None else self.result.layout.flat
        object.__setattr__(self, "spilled", len(self.arguments.layout.flat) > MAX_FLAT_PARAMS)
        object.__setattr__(self, "returned", len(results) > MAX_FLAT_RESULTS)

    @property
    def params(self) -> tuple[str, ...]:
        """The core parameters that the import and the export share."""
        return ("i32",) if self.spilled else self.arguments.layout.flat

    @property
    def lowered(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Core parameters and results of the function as an import."""
        return (*self.params, *(("i32",) if self.returned else ())), () if self.returned else self._flat_result

    @property
    def lifted(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Core parameters and results of the function as an export."""
        return self.params, ("i32",) if self.returned else self._flat_result

    @property
    def _flat_result(self) -> tuple[str, ...]:
        return () if self.result is None else self.result.layout.flat


_LEAVES = {
    **dict.fromkeys((Primitive.BOOL, Primitive.U8, Primitive.S8), Leaf(Layout(1, 1, ("i32",)))),
    **dict.fromkeys((Primitive.U16, Primitive.S16), Leaf(Layout(2, 2, ("i32",)))),
    **dict.fromkeys((Primitive.U32, Primitive.S32, Primitive.CHAR), Leaf(Layout(4, 4, ("i32",)))),
    **dict.fromkeys((Primitive.U64, Primitive.S64), Leaf(Layout(8, 8, ("i64",)))),
    Primitive.F32: Leaf(Layout(4, 4, ("f32",))),
    Primitive.F64: Leaf(Layout(8, 8, ("f64",))),
    Primitive.STRING: Leaf(Layout(8, 4, ("i32", "i32"))),
}


class Shapes:
    """The shapes of a resolved model, each of which is created once."""

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._known: dict[TypeId, Shape] = {}

    def signature(self, function: Function) -> Signature:
        """The signature of `function`. Raises `Unsupported`."""
        if function.is_async:
            raise Unsupported(f"`{function.name}` is async")
        arguments = record([self.of(parameter.type) for parameter in function.parameters])
        return Signature(arguments, None if function.result is None else self.of(function.result))

    def resource(self, reference: TypeId) -> TypeId:
        """The id under which a resource was declared."""
        kind = self._resolved.types[reference].kind
        while isinstance(kind, model.Alias) and not isinstance(kind.target, Primitive):
            reference, kind = kind.target, self._resolved.types[kind.target].kind
        return reference

    def of(self, reference: TypeRef) -> Shape:
        """The shape of a type. Raises `Unsupported`."""
        if isinstance(reference, Primitive):
            if reference not in _LEAVES:
                raise Unsupported(f"`{reference.value}` has no shape")
            return _LEAVES[reference]
        if reference not in self._known:
            self._known[reference] = self._made(self._resolved.types[reference].kind)
        return self._known[reference]

    def _made(self, kind: model.Kind) -> Shape:
        match kind:
            case model.Alias(target):
                return self.of(target)
            case model.Own(resource):
                return Handle(self.resource(resource), owned=True)
            case model.Borrow(resource):
                return Handle(self.resource(resource), owned=False)
            case model.List(element):
                return List(self.of(element))
            case model.Map(key, value):
                return List(record([self.of(key), self.of(value)]))
            case model.FixedLengthList(element, length):
                return array(self.of(element), length)
            case model.Record(fields):
                return record([self.of(each.type) for each in fields])
            case model.Tuple(types):
                return record([self.of(each) for each in types])
            case model.Flags(flags):
                size = next(size for size in (1, 2, 4) if len(flags) <= 8 * size)
                return Leaf(Layout(size, size, ("i32",)))
            case model.EnumKind(cases):
                return variant([None] * len(cases))
            case model.Option(some):
                return variant([None, self.of(some)])
            case model.Result(ok, err):
                return variant([self._payload(ok), self._payload(err)])
            case model.Variant(cases):
                return variant([self._payload(case.type) for case in cases])
            case _:
                raise Unsupported(f"{type(kind).__name__.lower()} types have no shape")

    def _payload(self, reference: TypeRef | None) -> Shape | None:
        return None if reference is None else self.of(reference)


def record(fields: Sequence[Shape]) -> Record:
    """One field after the other, each aligned; the size is a multiple of the largest alignment."""
    align = max((each.layout.align for each in fields), default=1)
    offsets, at = list[int](), 0
    for each in fields:
        at = _aligned(at, each.layout.align)
        offsets.append(at)
        at += each.layout.size
    flat = _first(each.layout.flat for each in fields)
    return Record(tuple(fields), tuple(offsets), Layout(_aligned(at, align), align, flat))


def array(element: Shape, length: int) -> Array:
    """`length` times `element`; sizes are multiples of the alignment, so there are no gaps."""
    layout = element.layout
    flat = _first(layout.flat for _ in range(min(length, MAX_FLAT_PARAMS + 1)))
    return Array(element, length, Layout(layout.size * length, layout.align, flat))


def variant(cases: Sequence[Shape | None]) -> Variant:
    """A discriminant and overlapping payloads; core values that differ are joined."""
    layouts = [each.layout for each in cases if each is not None]
    discriminant = next(size for size in (1, 2, 4) if len(cases) <= 1 << 8 * size)
    align = max((discriminant, *(each.align for each in layouts)))
    offset = _aligned(discriminant, max((1, *(each.align for each in layouts))))
    size = _aligned(offset + max((0, *(each.size for each in layouts))), align)
    joined = (_join(each) for each in zip_longest(*(each.flat for each in layouts)))
    flat = _first([("i32",), tuple(joined)])
    return Variant(tuple(cases), discriminant, offset, Layout(size, align, flat))


def _first(parts: Iterable[Sequence[str]]) -> tuple[str, ...]:
    values: Iterator[str] = chain.from_iterable(parts)
    return tuple(islice(values, MAX_FLAT_PARAMS + 1))


def _join(values: Iterable[str | None]) -> str:
    """The core type that can carry each of `values`."""
    different = {each for each in values if each is not None}
    if len(different) == 1:
        return different.pop()
    return "i32" if different == {"i32", "f32"} else "i64"


def _aligned(at: int, align: int) -> int:
    return -(-at // align) * align
