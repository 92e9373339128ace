"""What each WIT type is in Python: its annotation, and the codec that lifts and lowers it. The only place that knows.

In: a type of the resolved model. Out: `Code`, a piece of Python with the imports that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from witgen import naming
from witgen.diagnostics import WitError
from witgen.model import (
    Alias,
    Borrow,
    EnumKind,
    InterfaceId,
    InterfaceOwner,
    Kind,
    List,
    Option,
    Own,
    Primitive,
    Resolved,
    Resource,
    Result,
    Tuple,
    TypeId,
    TypeRef,
)
from witgen.syntax import Span


@dataclass(frozen=True, order=True, slots=True)
class Import:
    """`from module import name`."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression, and what has to be imported for it."""

    text: str
    needs: frozenset[Import] = frozenset()


CODECS = Import("wit_host", "values as wit")
BYTES = Import("wit_host", "Bytes")

_ANNOTATIONS = {
    Primitive.BOOL: "bool",
    Primitive.CHAR: "str",
    Primitive.STRING: "str",
    Primitive.F32: "float",
    Primitive.F64: "float",
    **{Primitive(f"{sign}{bits}"): "int" for sign in "us" for bits in (8, 16, 32, 64)},
}


class Abi:
    """The types of one resolved set of packages, as the module of one interface writes them."""

    def __init__(self, resolved: Resolved, interface: InterfaceId) -> None:
        self.resolved = resolved
        self.interface = interface
        self._directed: dict[TypeId, bool] = {}

    def parameter(self, reference: TypeRef) -> Code:
        """The annotation of what an implementation is given."""
        return self._annotation(reference, Code("memoryview"))

    def returned(self, reference: TypeRef | None) -> Code:
        """The annotation of what an implementation returns; of a result, that is its `ok`."""
        if reference is None:
            return Code("None")
        kind = self.resolved.kind(reference)
        if isinstance(kind, Result):
            return self.returned(kind.ok)
        return self._annotation(reference, Code("Bytes", frozenset({BYTES})))

    def alias(self, type_id: TypeId) -> Code | None:
        """What a type alias of this interface stands for.

        Nothing where that depends on the direction, so that the name would be wrong in one of them, and nothing for a
        name that was brought in by `use`.
        """
        definition = self.resolved.types[type_id]
        if not isinstance(definition.kind, Alias | List | Tuple | Option):
            return None
        if self._is_directed(type_id) or self._origin_owner(type_id) != definition.owner:
            return None
        return self._spell(definition.kind, Code("memoryview"))

    def codec(self, reference: TypeRef) -> Code:
        """The expression that makes the codec."""
        kind = self.resolved.kind(reference)
        match kind:
            case Primitive.ERROR_CONTEXT:
                return self.refuse("error-context")
            case Primitive():
                return Code(f"wit.{kind.value.upper()}", frozenset({CODECS}))
            case List(type=Primitive.U8):
                return Code("wit.BYTES", frozenset({CODECS}))
            case List(type=element):
                return _codec("List", [self.codec(element)])
            case Option(type=some):
                return _codec("Option", [self.codec(some)])
            case Tuple(types=types):
                return _codec("Tuple", [self.codec(item) for item in types])
            case EnumKind() if not isinstance(reference, Primitive):
                return _codec("Enum", [self._named(reference, naming.type_)])
            case Own(resource=resource):
                return _codec("Own", [self.resource(resource)])
            case Borrow(resource=resource):
                return _codec("Borrow", [self.resource(resource)])
            case _:
                return self.refuse(_word(kind))

    def result_codec(self, reference: TypeRef) -> Code:
        """The expression that makes the codec of a function's result, where a `result` is returned or raised."""
        kind = self.resolved.kind(reference)
        if not isinstance(kind, Result):
            return self.codec(reference)
        sides = [Code("None") if side is None else self.codec(side) for side in (kind.ok, kind.err)]
        return _codec("Result", [*sides, self.error(kind)])

    def resource(self, type_id: TypeId) -> Code:
        """The constant that stands for a resource type."""
        return self._named(type_id, naming.constant)

    def error(self, result: Result) -> Code:
        """The exception class that answers `err`."""
        type_id = error_type(self.resolved, result)
        if type_id is None:
            self.refuse("a result whose error has no name")
        owner = self._owner(type_id)
        return self._local(owner, naming.error(self._interface_name(owner), self._type_name(type_id)))

    def refuse(self, what: str) -> NoReturn:
        """Raise for something that WIT can say and Python hosts cannot do."""
        raise Unsupported(what)

    def _annotation(self, reference: TypeRef, byte_list: Code) -> Code:
        """Named types by name; everything else spelled out."""
        if isinstance(reference, Primitive):
            return self._spell(reference, byte_list)
        origin = _origin(self.resolved, reference)
        definition = self.resolved.types[origin]
        has_class = isinstance(definition.kind, EnumKind | Resource)
        if has_class or (definition.name is not None and self._is_aliased(origin)):
            return self._named(origin, naming.type_)
        return self._spell(definition.kind, byte_list)

    def _is_aliased(self, type_id: TypeId) -> bool:
        return isinstance(self.resolved.types[type_id].kind, List | Tuple | Option) and not self._is_directed(type_id)

    def _spell(self, kind: Primitive | Kind, byte_list: Code) -> Code:
        def parts(items: Iterable[TypeRef]) -> list[Code]:
            return [self._annotation(item, byte_list) for item in items]

        match kind:
            case Primitive():
                return Code(_ANNOTATIONS[kind]) if kind in _ANNOTATIONS else self.refuse(kind.value)
            case Alias(target=target):
                return self._annotation(target, byte_list)
            case List(type=Primitive.U8):
                return byte_list
            case List(type=element):
                return _generic("list[{}]", parts([element]))
            case Tuple(types=types):
                return _generic("tuple[{}]", parts(types)) if types else Code("tuple[()]")
            case Option(type=some):
                if isinstance(self.resolved.kind(some), Option):
                    self.refuse("an option of an option")
                return _generic("{} | None", parts([some]))
            case Own(resource=resource) | Borrow(resource=resource):
                return self._named(resource, naming.type_)
            case _:
                return self.refuse(_word(kind))

    def _is_directed(self, type_id: TypeId) -> bool:
        """Whether the type holds a `list<u8>`, which is given and returned as different Python types."""
        if type_id not in self._directed:
            self._directed[type_id] = any(
                (is_list and part is Primitive.U8) or (not isinstance(part, Primitive) and self._is_directed(part))
                for is_list, part in _parts(self.resolved.types[type_id].kind)
            )
        return self._directed[type_id]

    def _origin_owner(self, type_id: TypeId) -> object:
        """The owner of what an alias names directly; its own owner for everything else."""
        kind = self.resolved.types[type_id].kind
        if isinstance(kind, Alias) and not isinstance(kind.target, Primitive):
            return self.resolved.types[kind.target].owner
        return self.resolved.types[type_id].owner

    def _named(self, type_id: TypeId, spell: Callable[[str], str]) -> Code:
        origin = _origin(self.resolved, type_id)
        return self._local(self._owner(origin), spell(self._type_name(origin)))

    def _type_name(self, type_id: TypeId) -> str:
        name = self.resolved.types[type_id].name
        return name if name is not None else self.refuse("a type without a name")

    def _interface_name(self, interface: InterfaceId) -> str:
        name = self.resolved.interfaces[interface].name
        return name if name is not None else self.refuse("an interface without a name")

    def _owner(self, type_id: TypeId) -> InterfaceId:
        owner = self.resolved.types[type_id].owner
        return owner.interface if isinstance(owner, InterfaceOwner) else self.refuse("a type that a world declares")

    def _local(self, owner: InterfaceId, name: str) -> Code:
        if owner == self.interface:
            return Code(name)
        return Code(name, frozenset({Import(f".{naming.module(self._interface_name(owner))}", name)}))


class Unsupported(Exception):
    """Something that generated bindings cannot do; `refused_at` says where it stands."""


@contextmanager
def refused_at(what: str, span: Span) -> Iterator[None]:
    """Refuse the function or type at `span` where something in it is unsupported: raises `WitError`."""
    try:
        yield
    except Unsupported as unsupported:
        refusal = WitError(
            f"{what} cannot be bound: {unsupported} is not supported",
            span,
            hint="Python hosts cover functions that are not async, without streams and futures",
        )
    else:
        return
    raise refusal


def error_type(resolved: Resolved, result: Result) -> TypeId | None:
    """The named type that a result's error is, handles and aliases followed."""
    kind = None if result.err is None else resolved.kind(result.err)
    error = kind.resource if isinstance(kind, Own) else result.err
    if error is None or isinstance(error, Primitive):
        return None
    origin = _origin(resolved, error)
    return None if resolved.types[origin].name is None else origin


def raised_types(resolved: Resolved) -> set[TypeId]:
    """Every type that a function of any interface has as its error."""
    functions = (function for interface in resolved.interfaces for function in interface.functions.values())
    kinds = (resolved.kind(function.result) for function in functions if function.result is not None)
    errors = (error_type(resolved, kind) for kind in kinds if isinstance(kind, Result))
    return {error for error in errors if error is not None}


def _origin(resolved: Resolved, type_id: TypeId) -> TypeId:
    """The type where it was first defined: aliases of named types, and names brought in by `use`, lead there."""
    kind = resolved.types[type_id].kind
    while isinstance(kind, Alias) and not isinstance(kind.target, Primitive):
        type_id, kind = kind.target, resolved.types[kind.target].kind
    return type_id


def _generic(form: str, parts: list[Code]) -> Code:
    needs: frozenset[Import] = frozenset().union(*(part.needs for part in parts))
    return Code(form.format(", ".join(part.text for part in parts)), needs)


def _codec(name: str, parts: list[Code]) -> Code:
    made = _generic(f"wit.{name}({{}})", parts)
    return Code(made.text, made.needs | {CODECS})


def _parts(kind: Kind) -> Iterator[tuple[bool, TypeRef]]:
    """The types inside a type, each with whether it is the element of a list."""
    match kind:
        case List(type=element):
            yield True, element
        case Alias(target=part) | Option(type=part):
            yield False, part
        case Tuple(types=parts):
            yield from ((False, part) for part in parts)


def _word(kind: object) -> str:
    """What a kind of type is called, for a message."""
    name = type(kind).__name__
    return {"EnumKind": "enum", "FixedLengthList": "fixed-length list"}.get(name, name.lower())
