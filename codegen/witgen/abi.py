"""Each WIT type in Python: its annotation, and the codec that lifts and lowers it. No other module knows these.

In: a type of the resolved model, and the module that it is written in. Out: pieces of Python. `Abi.imports` has the
names that they use from other modules, of this package or an existing one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum

from witgen import naming
from witgen.layout import Layout, Module, Names, error_type
from witgen.lists import Lists
from witgen.model import (
    Alias,
    Borrow,
    EnumKind,
    FixedLengthList,
    Flags,
    Function,
    Kind,
    List,
    Map,
    Option,
    Own,
    Primitive,
    Record,
    Resource,
    Result,
    Tuple,
    TypeId,
    TypeRef,
    Variant,
)
from witgen.own import Variance, own_resources
from witgen.traits import CLASSES, word

_PRIMITIVES = {
    Primitive.BOOL: "bool",
    Primitive.CHAR: "str",
    Primitive.STRING: "str",
    Primitive.F32: "float",
    Primitive.F64: "float",
    **{Primitive(f"{sign}{bits}"): "int" for sign in "us" for bits in (8, 16, 32, 64)},
}


class Bytes(Enum):
    """The Python type of a `list<u8>`: borrowed for a call, taken from any buffer, or kept."""

    BORROWED = "memoryview"
    GIVEN = "Bytes"
    KEPT = "bytes"


#: The codecs of lists of numbers.
_LISTS = {Lists.LIST: "List", Lists.ARRAY: "ArrayList", Lists.NUMPY: "NumpyList"}
_FLOATS = (Primitive.F32, Primitive.F64)
_NUMBERS = (*_FLOATS, *(Primitive(f"{sign}{bits}") for sign in "us" for bits in (8, 16, 32, 64)))


class Abi:
    """The types of one world, as one module of its package writes them."""

    def __init__(self, layout: Layout, module: Module) -> None:
        self.resolved = layout.resolved
        self.layout = layout
        self.traits = layout.traits
        self.module = module
        self._imported: dict[tuple[str, str], str] = {}
        #: The type variables for the resources in the class that is being printed, and all of the module.
        self._own: dict[TypeId, str] = {}
        self._variables: dict[tuple[TypeId, Variance], str] = {}

    # --- annotations ---

    def annotation(self, reference: TypeRef | None, content: Bytes) -> str:
        """The annotation of a value; classes and aliases by name, everything else spelled out."""
        if reference is None:
            return "None"
        if isinstance(reference, Primitive):
            return self._spell(reference, content)
        found = self.resolved.origin(reference)
        definition = self.resolved.types[found]
        is_variable = bool(self._own) and isinstance(definition.kind, Own | Borrow)
        if definition.name is not None and self.has_name(found) and not is_variable:
            return self._name(found, _types) + self._arguments(found)
        return self._spell(definition.kind, content)

    def success(self, function: Function, content: Bytes) -> str:
        """The annotation of the value that a function returns; of a result, that is its `ok`."""
        result = self.resolved.result(function)
        return self.annotation(result.ok if result else function.result, content)

    def alias(self, type_id: TypeId) -> str:
        """The annotation that the alias of a type without a class stands for; a type variable alone is none."""
        is_handle = isinstance(self.resolved.kind(type_id), Own | Borrow)
        with self.generic_type(None if is_handle else type_id):
            return self._spell(self.resolved.types[type_id].kind, Bytes.KEPT)

    def has_name(self, type_id: TypeId) -> bool:
        """Whether a declared type has a name in Python.

        An alias that contains a `list<u8>` has none: its meaning depends on the direction, so that the name would be
        wrong in one of them.
        """
        return isinstance(self.resolved.types[type_id].kind, CLASSES) or not self.traits[type_id].is_directed

    def has_constant(self, type_id: TypeId) -> bool:
        """Whether a declared type has a constant that stands for it at the boundary."""
        return self.has_name(type_id) and not isinstance(self.resolved.types[type_id].kind, Alias)

    def _spell(self, kind: Primitive | Kind, content: Bytes) -> str:
        match kind:
            case Primitive():
                return _PRIMITIVES[kind]
            case Alias(target=target):
                return self.annotation(target, content)
            case List(type=Primitive.U8):
                return content.value
            case List(type=element) if (number := self._number(element)) is not None:
                return self._numbers(number, content)
            case List(type=element) | FixedLengthList(type=element):
                return self._joined(f"{self._container('list', 'Sequence', content)}[{{}}]", [element], content)
            case Map(key=key, value=value):
                return self._joined(f"{self._container('dict', 'Mapping', content)}[{{}}]", [key, value], content)
            case Tuple(types=types):
                return self._joined("tuple[{}]", types, content)
            case Option(type=some) if isinstance(self.resolved.kind(some), Option):
                return self._joined("Some[{}] | None", [some], content)
            case Option(type=some):
                return self._joined("{} | None", [some], content)
            case Result(ok=ok, err=err):
                return f"Ok[{self.annotation(ok, content)}] | Err[{self.annotation(err, content)}]"
            case Own(resource=resource) | Borrow(resource=resource):
                found = self.resolved.origin(resource)
                return self._own.get(found) or self.of_any(found)
            case _:
                raise TypeError(f"{word(kind)} has no Python type")  # `refusals.check` refuses them

    def _number(self, element: TypeRef) -> Primitive | None:
        """The type of numbers that an element is; None for all others."""
        kind = element if isinstance(element, Primitive) else self.resolved.types[self.resolved.origin(element)].kind
        primitive = kind.target if isinstance(kind, Alias) else kind
        return primitive if isinstance(primitive, Primitive) and primitive in _NUMBERS else None

    def _numbers(self, number: Primitive, content: Bytes) -> str:
        """A list of numbers; one to give may be any sequence, too."""
        sequence = f"{self._container('list', 'Sequence', content)}[{_PRIMITIVES[number]}]"
        if self.layout.lists is Lists.NUMPY:
            array = f"NDArray[{naming.dtype(number.value)}]"
            return f"{sequence} | {array}" if content is Bytes.GIVEN else array
        if self.layout.lists is Lists.ARRAY and content is not Bytes.GIVEN:
            return "FloatArray" if number in _FLOATS else "IntArray"
        return sequence

    def _container(self, made: str, taken: str, content: Bytes) -> str:
        """A value to give may be in any such container, so that one of a more special type fits."""
        if content is not Bytes.GIVEN:
            return made
        return taken

    def _joined(self, form: str, parts: Iterable[TypeRef], content: Bytes) -> str:
        return form.format(", ".join(self.annotation(part, content) for part in parts))

    # --- classes of resources ---

    @contextmanager
    def generic(self, functions: Sequence[Function]) -> Iterator[str]:
        """Print a class of a host with these functions in the block, which gets the parameters of the class."""
        with self._generic_over(own_resources(self.resolved, self.traits, functions)) as parameters:
            yield parameters

    @contextmanager
    def generic_type(self, reference: TypeRef | None) -> Iterator[str]:
        """Print a class or alias that consists of this type in the block, which gets the parameters of the class.

        Its values cannot be changed, so it is covariant. What belongs to a guest is never generic.
        """
        resources: Sequence[TypeId] = ()
        if reference is not None and not isinstance(reference, Primitive) and not self.module.is_export:
            resources = self.traits[reference].resources
        with self._generic_over(dict.fromkeys(resources, Variance.COVARIANT)) as parameters:
            yield parameters

    @contextmanager
    def _generic_over(self, found: Mapping[TypeId, Variance]) -> Iterator[str]:
        self._own = {resource: self._variable(resource, variance) for resource, variance in found.items()}
        try:
            yield _parameters(self._own.values())
        finally:
            self._own = {}

    def of_any(self, resource: TypeId) -> str:
        """The class of a resource, whatever classes it is generic over."""
        is_host = not self._owner(resource).is_export
        count = len(own_resources(self.resolved, self.traits, self.layout.methods(resource))) if is_host else 0
        return self._name(resource, _types) + _parameters(["Any"] * count)

    def variables(self) -> Iterator[tuple[str, str]]:
        """The type variables of the module, each with its value."""
        for (resource, variance), name in self._variables.items():
            bound = self.of_any(resource)
            if self._owner(resource) is self.module:
                bound = f'"{bound}"'  # the class comes later
            variances = {Variance.COVARIANT: ", covariant=True", Variance.CONTRAVARIANT: ", contravariant=True"}
            yield name, f'TypeVar("{name}", bound={bound}, default={bound}{variances.get(variance, "")})'

    def _variable(self, resource: TypeId, variance: Variance) -> str:
        if (resource, variance) not in self._variables:
            wanted = naming.variable(self._wit_name(resource), variance.value)
            self._variables[resource, variance] = self.module.names.scope.claim(wanted)
        return self._variables[resource, variance]

    def _arguments(self, type_id: TypeId) -> str:
        """The arguments of a class or alias; none, outside of generic classes, stand for resources of any class."""
        if not self._own:
            return ""
        return _parameters(self._own.get(each) or self.of_any(each) for each in self.traits[type_id].resources)

    # --- codecs ---

    def codec(self, reference: TypeRef | None, content: Bytes) -> str:
        """The expression for a codec; a type that has a constant is written as that."""
        if reference is None:
            return "None"
        if isinstance(reference, Primitive):
            return self._make(reference, content)
        found = self.resolved.origin(reference)
        definition = self.resolved.types[found]
        if definition.name is not None and self.has_constant(found):
            return self._name(found, _constants)
        return self._make(definition.kind, content)

    def constant(self, type_id: TypeId) -> str:
        """The value of the constant that stands for a type."""
        kind = self.resolved.types[type_id].kind
        match kind:
            case Resource() if self.module.is_export:
                return f'GuestResourceType("{self._wit_name(type_id)}", {self._name(type_id, _types)})'
            case Resource():
                return f'Resource[{self.of_any(type_id)}]("{self._wit_name(type_id)}")'
            case Record() | Variant() | EnumKind() | Flags():
                return self._class_codec(type_id, kind)
            case _:
                return self._make(kind, Bytes.KEPT)

    def _class_codec(self, type_id: TypeId, kind: Record | Variant | EnumKind | Flags) -> str:
        name = self._name(type_id, _types)
        match kind:
            case Record(fields=fields):
                parts = [f'"{field.name}": {self.codec(field.type, Bytes.KEPT)}' for field in fields]
                return f"wit.Record({name}, {{{', '.join(parts)}}})"
            case Variant(cases=cases):
                classes = self.module.names.cases
                parts = [
                    f'"{case.name}": ({classes[type_id, case.name]}, {self.codec(case.type, Bytes.KEPT)})'
                    for case in cases
                ]
                return f"wit.Variant({{{', '.join(parts)}}})"
            case EnumKind():
                return f"wit.Enum({name})"
            case Flags(flags=flags):
                labels = ", ".join(f'"{flag.name}"' for flag in flags)
                return f"wit.Flags({name}, [{labels}])"

    def _make(self, kind: Primitive | Kind, content: Bytes) -> str:
        match kind:
            case Primitive():
                return f"wit.{naming.constant(kind.value)}"
            case Alias(target=target):
                return self.codec(target, content)
            case List(type=Primitive.U8):
                return "wit.COPIED_BYTES" if content is Bytes.KEPT else "wit.BYTES"
            case List(type=element):
                name = _LISTS[Lists.LIST if self._number(element) is None else self.layout.lists]
                return self._wit(name, [element], content)
            case FixedLengthList(type=element, length=length):
                return f"wit.FixedLengthList({self.codec(element, content)}, {length})"
            case Map(key=key, value=value):
                return self._wit("Map", [key, value], content)
            case Tuple(types=types):
                return self._wit("Tuple", types, content)
            case Option(type=some):
                nested = isinstance(self.resolved.kind(some), Option)
                return self._wit("NestedOption" if nested else "Option", [some], content)
            case Result(ok=ok, err=err):
                return self._wit("NestedResult", [ok, err], content)
            case Own(resource=resource) | Borrow(resource=resource):
                return self._handle(type(kind).__name__, self.resolved.origin(resource))
            case _:
                raise TypeError(f"{word(kind)} has no Python type")  # `refusals.check` lets none pass

    def _wit(self, name: str, parts: Iterable[TypeRef | None], content: Bytes) -> str:
        return f"wit.{name}({', '.join(self.codec(part, content) for part in parts)})"

    def _handle(self, sort: str, resource: TypeId) -> str:
        guest = "Guest" if self._owner(resource).is_export else ""
        return f"wit.{guest}{sort}({self._name(resource, _constants)})"

    def resource(self, type_id: TypeId) -> str:
        """The constant that stands for a resource type."""
        return self._name(self.resolved.origin(type_id), _constants)

    def class_of(self, type_id: TypeId) -> str:
        """The class of a resource."""
        return self._name(self.resolved.origin(type_id), _types)

    def result_codec(self, function: Function, content: Bytes) -> str:
        """The codec of the values that a function returns or raises."""
        result = self.resolved.result(function)
        if result is None:
            return self.codec(function.result, content)
        sides = ", ".join(self.codec(side, content) for side in (result.ok, result.err))
        return f"wit.Result({sides}, {self.error(result)})"

    # --- errors ---

    def error(self, result: Result) -> str:
        """The exception class that stands for `err`: one of its own if the type of the error has a name.

        An existing package has such classes only for the types that functions of its own have as their errors.
        """
        type_id = error_type(self.resolved, result)
        if type_id is not None and self.has_name(type_id) and type_id in self._owner(type_id).names.errors:
            return self._name(type_id, _errors)
        return "ResultError"

    def error_in_docs(self, result: Result, content: Bytes) -> str:
        """The same for documentation, with the type of its value if the class does not imply it."""
        error = self.error(result)
        return f"{error}[{self.annotation(result.err, content)}]" if error == "ResultError" else error

    # --- names ---

    @property
    def imports(self) -> list[str]:
        """The statements that import the names of other modules."""
        return [
            f"from {module} import {name}" + ("" if local == name else f" as {local}")
            for (module, name), local in self._imported.items()
        ]

    def _name(self, type_id: TypeId, names: Callable[[Names], Mapping[TypeId, str]]) -> str:
        """The name of a type here; one of another module is imported, under another name if it is taken."""
        owner = self._owner(type_id)
        name = names(owner.names)[type_id]
        if owner is self.module:
            return name
        wanted = owner.existing or relative(self.module.path, owner.path), name
        if wanted not in self._imported:
            self._imported[wanted] = self.module.names.scope.claim(name)
        return self._imported[wanted]

    def _owner(self, type_id: TypeId) -> Module:
        return self.layout.owner(type_id, self.module)

    def _wit_name(self, type_id: TypeId) -> str:
        return self.resolved.types[type_id].name or ""


def _parameters(names: Iterable[str]) -> str:
    """The parameters of a class, or its arguments; empty without any."""
    joined = ", ".join(names)
    return f"[{joined}]" if joined else ""


def relative(path: tuple[str, ...], other: tuple[str, ...]) -> str:
    """The module at `other` as the one at `path` imports it; both are below one package."""
    parent = path[:-1]
    common = 0
    while common < len(parent) and parent[: common + 1] == other[: common + 1]:
        common += 1
    return "." * (len(parent) - common + 1) + ".".join(other[common:])


def _types(names: Names) -> Mapping[TypeId, str]:
    return names.types


def _constants(names: Names) -> Mapping[TypeId, str]:
    return names.constants


def _errors(names: Names) -> Mapping[TypeId, str]:
    return names.errors
