"""The resolved model: the meaning of WIT text, with no names left to look up.

In: nothing; these are plain frozen dataclasses. Out: `Resolved`, which `witgen.resolver` builds and everything after it
reads. A *type id* is an index into `Resolved.types`, an *interface id* into `Resolved.interfaces`, and so on. A type
refers to lower type ids only, and packages, interfaces and worlds are listed dependencies first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from witgen.syntax import Span

TypeId = int
InterfaceId = int
WorldId = int
PackageId = int

WorldKey = str | InterfaceId
"""The key of an import or export: its plain name, or the id of an interface that is named by its path."""


class Primitive(Enum):
    """A type without parts; the value is its WIT keyword."""

    BOOL = "bool"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    S8 = "s8"
    S16 = "s16"
    S32 = "s32"
    S64 = "s64"
    F32 = "f32"
    F64 = "f64"
    CHAR = "char"
    STRING = "string"
    ERROR_CONTEXT = "error-context"


TypeRef = Primitive | TypeId


@dataclass(frozen=True, slots=True)
class Stability:
    """A gate that was kept: `@unstable(feature)` or `@since(version)`, and `@deprecated(version)` beside it."""

    feature: str | None = None
    since: str | None = None
    deprecated: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record."""

    name: str
    type: TypeRef
    docs: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a variant; `type` is its payload."""

    name: str
    type: TypeRef | None
    docs: str | None


@dataclass(frozen=True, slots=True)
class Label:
    """One flag, or one case of an enum."""

    name: str
    docs: str | None


@dataclass(frozen=True, slots=True)
class Alias:
    """`type a = b;`, or a name from a `use`; `target` is followed as it is, a resource stays a resource."""

    target: TypeRef


@dataclass(frozen=True, slots=True)
class Record:
    """`record r { … }`."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """`flags f { … }`."""

    flags: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """`variant v { … }`."""

    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class EnumKind:
    """`enum e { … }`."""

    cases: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """`resource r { … }`; its functions are in the functions of the interface or world that owns it."""


@dataclass(frozen=True, slots=True)
class Own:
    """An owned handle; `resource` is the id that was named, possibly an alias of the resource."""

    resource: TypeId


@dataclass(frozen=True, slots=True)
class Borrow:
    """A handle for one call; `resource` is the id that was named, possibly an alias of the resource."""

    resource: TypeId


@dataclass(frozen=True, slots=True)
class Tuple:
    """`tuple<A, B, …>`."""

    types: tuple[TypeRef, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """`option<T>`."""

    type: TypeRef


@dataclass(frozen=True, slots=True)
class List:
    """`list<T>`."""

    type: TypeRef


@dataclass(frozen=True, slots=True)
class FixedLengthList:
    """`list<T, N>`."""

    type: TypeRef
    length: int


@dataclass(frozen=True, slots=True)
class Map:
    """`map<K, V>`."""

    key: TypeRef
    value: TypeRef


@dataclass(frozen=True, slots=True)
class Result:
    """`result<O, E>`; either side may be absent."""

    ok: TypeRef | None
    err: TypeRef | None


@dataclass(frozen=True, slots=True)
class Future:
    """`future<T>`."""

    type: TypeRef | None


@dataclass(frozen=True, slots=True)
class Stream:
    """`stream<T>`."""

    type: TypeRef | None


Kind = (
    Alias
    | Record
    | Flags
    | Variant
    | EnumKind
    | Resource
    | Own
    | Borrow
    | Tuple
    | Option
    | List
    | FixedLengthList
    | Map
    | Result
    | Future
    | Stream
)


@dataclass(frozen=True, slots=True)
class InterfaceOwner:
    """The type was declared in this interface."""

    interface: InterfaceId


@dataclass(frozen=True, slots=True)
class WorldOwner:
    """The type was declared in this world."""

    world: WorldId


Owner = InterfaceOwner | WorldOwner


@dataclass(frozen=True, slots=True)
class TypeDef:
    """One type. Anonymous ones (`list<u8>` in a signature) have no name and no owner."""

    name: str | None
    kind: Kind
    owner: Owner | None
    docs: str | None
    stability: Stability | None
    external_id: str | None
    span: Span


class FunctionSort(Enum):
    """How a function is attached: to its scope, or to a resource."""

    FREESTANDING = "freestanding"
    METHOD = "method"
    STATIC = "static"
    CONSTRUCTOR = "constructor"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; a method's first is `self`, a borrow of its resource."""

    name: str
    type: TypeRef


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `name` is the full one (`[method]r.m`); `resource` is set for every sort but freestanding."""

    name: str
    sort: FunctionSort
    resource: TypeId | None
    is_async: bool
    parameters: tuple[Parameter, ...]
    result: TypeRef | None
    docs: str | None
    stability: Stability | None
    external_id: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface; `name` is absent for one that is written inside a world."""

    name: str | None
    package: PackageId
    types: Mapping[str, TypeId]
    functions: Mapping[str, Function]
    docs: str | None
    stability: Stability | None
    span: Span
    clone_of: InterfaceId | None = None


@dataclass(frozen=True, slots=True)
class InterfaceItem:
    """A world imports or exports an interface."""

    interface: InterfaceId
    docs: str | None
    stability: Stability | None
    external_id: str | None


@dataclass(frozen=True, slots=True)
class FunctionItem:
    """A world imports or exports a bare function."""

    function: Function


@dataclass(frozen=True, slots=True)
class TypeItem:
    """A type that a world declares or has from a `use`; only among imports."""

    type: TypeId


WorldItem = InterfaceItem | FunctionItem | TypeItem


@dataclass(frozen=True, slots=True)
class World:
    """One world: its imports and exports by their keys."""

    name: str
    package: PackageId
    imports: Mapping[WorldKey, WorldItem]
    exports: Mapping[WorldKey, WorldItem]
    docs: str | None
    stability: Stability | None
    span: Span


@dataclass(frozen=True, slots=True)
class PackageName:
    """`namespace:name@version`."""

    namespace: str
    name: str
    version: str | None

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}" + (f"@{self.version}" if self.version else "")

    def of(self, interface: str) -> str:
        """The full name of an interface or world of this package, `namespace:name/interface@version`."""
        return f"{self.namespace}:{self.name}/{interface}" + (f"@{self.version}" if self.version else "")


@dataclass(frozen=True, slots=True)
class Package:
    """One package: its named interfaces and worlds. `file` is the first one that has its name."""

    name: PackageName
    docs: str | None
    interfaces: Mapping[str, InterfaceId]
    worlds: Mapping[str, WorldId]
    file: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """Everything that was read, resolved; `main` is the package that was asked for."""

    packages: tuple[Package, ...]
    interfaces: tuple[Interface, ...]
    worlds: tuple[World, ...]
    types: tuple[TypeDef, ...]
    main: PackageId

    def origin(self, type_id: TypeId) -> TypeId:
        """The first definition of a type, at the end of aliases of named types and of names from a `use`."""
        kind = self.types[type_id].kind
        while isinstance(kind, Alias) and not isinstance(kind.target, Primitive):
            type_id, kind = kind.target, self.types[kind.target].kind
        return type_id

    def kind(self, reference: TypeRef) -> Primitive | Kind:
        """The kind of a type, aliases followed."""
        while not isinstance(reference, Primitive):
            kind = self.types[reference].kind
            if not isinstance(kind, Alias):
                return kind
            reference = kind.target
        return reference

    def result(self, function: Function) -> Result | None:
        """The `result` that a function returns, aliases followed, if it is one: `ok` is returned, `err` is raised."""
        kind = None if function.result is None else self.kind(function.result)
        return kind if isinstance(kind, Result) else None
