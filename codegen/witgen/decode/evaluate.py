"""The definitions of a component → its imports and exports, with their types.

In: `definitions.Component`. Out: a `Scope`, whose imports and exports are `Type`s, `Function`s, `Instance`s and
`Shape`s. Indices are followed here, so the result has none. A type that has several names is several `Type`s, each of
which knows the one that it is another name of; `worlds` finds out which `use` or alias this was.

An instance is made anew each time that its type is used, and a component each time that it is instantiated: the types
that it declares are then other ones. So both are kept as they are written, with the scope around them, and followed
again; `Evaluation` limits how often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from witgen.decode import definitions
from witgen.decode.definitions import Code, Component, Description, Import, Item, Name, Sort, WrittenType
from witgen.diagnostics import WitError
from witgen.syntax import at_offset

MOST_STEPS = 200_000  # a guest that imports all of WASI takes 3,000
DEEPEST = 100

_WITH_INDICES = (Sort.FUNCTION, Sort.TYPE, Sort.COMPONENT, Sort.INSTANCE)


@dataclass(eq=False, slots=True)
class Type:
    """One type under one name. `code` is a keyword for a primitive type; `target` is the type that this one renames."""

    code: Code | str
    offset: int
    labels: Sequence[str] = ()
    parts: tuple[Type | str | None, ...] = ()
    length: int | None = None
    target: Type | None = None

    def renamed(self, offset: int) -> Type:
        """The same type under another name."""
        return Type(self.code, offset, self.labels, self.parts, self.length, self)


@dataclass(eq=False, slots=True)
class Function:
    """A function, by its type."""

    type: Type


@dataclass(eq=False, slots=True)
class Shape:
    """The type of an instance or component, or a component: items, and as much as they can see of the scope around."""

    code: Code
    items: Sequence[Item]
    offset: int
    outer: Scope | None = None
    visible: Mapping[Sort, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Instance:
    """An instance, by its exports."""

    exports: Mapping[str, Extern]


Entity = Type | Function | Shape | Instance


@dataclass(slots=True)
class Extern:
    """An import or export. Nothing is known about one that is a core module or a value."""

    name: Name
    entity: Entity | None


@dataclass(eq=False, slots=True)
class Scope:
    """What was defined so far, by sort and index, and what of it is imported and exported, by name."""

    shape: Shape
    spaces: dict[Sort, list[Entity]] = field(default_factory=lambda: {sort: [] for sort in _WITH_INDICES})
    imports: dict[str, Extern] = field(default_factory=dict)
    exports: dict[str, Extern] = field(default_factory=dict)


_Wanted = TypeVar("_Wanted", Type, Function, Shape, Instance)


def evaluate(file: str, component: Component) -> Scope:
    """Follow the definitions of a component. Raises `WitError`."""
    return Evaluation(file).component(component)


class Evaluation:
    """Follows definitions, within limits for all of them together."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._steps = 0
        self._depth = 0

    def component(self, component: Component) -> Scope:
        """The scope of a component whose imports are given by nobody."""
        return self.scope(Shape(Code.COMPONENT, component.items, component.offset))

    def scope(self, shape: Shape, arguments: Mapping[str, Entity | None] | None = None) -> Scope:
        """Follow the items of a shape; `arguments` take the place of its imports."""
        if self._depth == DEEPEST:
            self._refuse(f"instances are more than {DEEPEST} deep inside each other", shape.offset)
        self._depth += 1
        scope = Scope(shape)
        for item in shape.items:
            self.step(shape.offset)
            self._follow(scope, item, arguments)
        self._depth -= 1
        return scope

    def step(self, offset: int) -> None:
        """Count something that costs time and memory. Raises `WitError` if there is too much of it."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            self._refuse(f"the types stand for more than {MOST_STEPS} definitions", offset)

    def _follow(self, scope: Scope, item: Item, arguments: Mapping[str, Entity | None] | None) -> None:
        match item:
            case WrittenType():
                scope.spaces[Sort.TYPE].append(self._type(scope, item))
            case definitions.AliasOfExport():
                self._alias(scope, item)
            case definitions.AliasOfOuter():
                if item.sort in _WITH_INDICES:
                    scope.spaces[item.sort].append(self._outer(scope, item))
            case Import():
                self._import(scope, item, arguments)
            case definitions.Declaration():
                entity = self._described(scope, item.description)
                self._name(scope, scope.exports, item.name, item.description.sort, entity)
            case definitions.Export():
                self._export(scope, item)
            case definitions.Instantiation():
                scope.spaces[Sort.INSTANCE].append(self._instantiated(scope, item))
            case definitions.Bundle():
                exports = {each.name.text: Extern(each.name, self._passed(scope, each)) for each in item.exports}
                scope.spaces[Sort.INSTANCE].append(Instance(exports))
            case definitions.Lift():
                scope.spaces[Sort.FUNCTION].append(self._function(scope, item.type, item.offset))
            case Component():
                scope.spaces[Sort.COMPONENT].append(self._shape(scope, Code.COMPONENT, item.items, item.offset))

    # --- types ---

    def _type(self, scope: Scope, written: WrittenType) -> Entity:
        if written.code in (Code.INSTANCE, Code.COMPONENT):
            assert isinstance(written.code, Code)
            return self._shape(scope, written.code, written.items, written.offset)
        parts = tuple([self._part(scope, part, written.offset) for part in written.parts])
        return Type(written.code, written.offset, written.labels, parts, written.length)

    def _shape(self, scope: Scope, code: Code, items: Sequence[Item], offset: int) -> Shape:
        return Shape(code, items, offset, scope, {sort: len(space) for sort, space in scope.spaces.items()})

    def _part(self, scope: Scope, part: definitions.Reference | None, offset: int) -> Type | str | None:
        self.step(offset)
        return self._find(scope, Sort.TYPE, part, Type, offset) if isinstance(part, int) else part

    def _function(self, scope: Scope, index: int, offset: int) -> Function:
        type = self._find(scope, Sort.TYPE, index, Type, offset)
        if type.code not in (Code.FUNCTION, Code.ASYNC_FUNCTION):
            self._refuse(f"type {index} is not that of a function", offset)
        return Function(type)

    # --- names ---

    def _import(self, scope: Scope, item: Import, arguments: Mapping[str, Entity | None] | None) -> None:
        name, description = item.name, item.description
        if arguments is None:
            entity = self._described(scope, description)
        else:
            if name.text not in arguments:
                self._refuse(f"import `{name.text}` is given no argument", scope.shape.offset)
            entity = arguments[name.text]
            if isinstance(entity, Type) and description.sort is Sort.TYPE:
                entity = entity.renamed(name.offset)
        self._name(scope, scope.imports, name, description.sort, entity)

    def _export(self, scope: Scope, item: definitions.Export) -> None:
        entity = self._passed(scope, item.item)
        if item.description is not None:
            entity = self._described(scope, item.description)
        elif isinstance(entity, Type):
            entity = entity.renamed(item.item.name.offset)
        self._name(scope, scope.exports, item.item.name, item.item.sort, entity)

    def _name(self, scope: Scope, names: dict[str, Extern], name: Name, sort: Sort, entity: Entity | None) -> None:
        """Give a definition a name, and the next index."""
        if name.text in names:
            self._refuse(f"`{name.text}` is imported or exported twice", name.offset)
        names[name.text] = Extern(name, entity)
        if entity is not None and sort in _WITH_INDICES:
            scope.spaces[sort].append(entity)

    def _described(self, scope: Scope, description: Description) -> Entity | None:
        """A new definition of the type that an import or export has."""
        sort, index, offset = description.sort, description.index, description.offset
        if sort in (Sort.CORE, Sort.VALUE):
            return None
        if index is None:
            return Type(Code.RESOURCE, offset)
        if sort is Sort.FUNCTION:
            return self._function(scope, index, offset)
        if sort is Sort.INSTANCE:
            shape = self._find(scope, Sort.TYPE, index, Shape, offset)
            if shape.code is not Code.INSTANCE:
                self._refuse(f"type {index} is not that of an instance", offset)
            return Instance(self.scope(shape).exports)
        if sort is Sort.COMPONENT:
            return self._find(scope, Sort.TYPE, index, Shape, offset)
        entity = self._at(scope.spaces[sort], sort, index, offset)
        return entity.renamed(offset) if isinstance(entity, Type) else entity

    # --- indices ---

    def _alias(self, scope: Scope, item: definitions.AliasOfExport) -> None:
        instance = self._find(scope, Sort.INSTANCE, item.instance, Instance, item.offset)
        if item.name not in instance.exports:
            self._refuse(f"instance {item.instance} has no export `{item.name}`", item.offset)
        entity = instance.exports[item.name].entity
        if entity is not None and item.sort in _WITH_INDICES:
            scope.spaces[item.sort].append(entity)

    def _outer(self, scope: Scope, item: definitions.AliasOfOuter) -> Entity:
        shape, visible = scope.shape, len(scope.spaces[item.sort])
        for _ in range(item.outwards):
            if shape.outer is None:
                self._refuse(f"there are not {item.outwards} components or types around this one", item.offset)
            scope, visible = shape.outer, shape.visible[item.sort]
            shape = scope.shape
        if item.index >= visible:
            self._refuse(f"there is no {item.sort.name.lower()} {item.index} there", item.offset)
        return scope.spaces[item.sort][item.index]

    def _instantiated(self, scope: Scope, item: definitions.Instantiation) -> Instance:
        component = self._find(scope, Sort.COMPONENT, item.component, Shape, item.offset)
        arguments = {each.name.text: self._passed(scope, each) for each in item.arguments}
        return Instance(self.scope(component, arguments).exports)

    def _passed(self, scope: Scope, item: definitions.Passed) -> Entity | None:
        self.step(item.name.offset)
        if item.sort in (Sort.CORE, Sort.VALUE):
            return None
        return self._at(scope.spaces[item.sort], item.sort, item.index, item.name.offset)

    def _find(self, scope: Scope, sort: Sort, index: int, wanted: type[_Wanted], offset: int) -> _Wanted:
        entity = self._at(scope.spaces[sort], sort, index, offset)
        if not isinstance(entity, wanted):
            self._refuse(f"{sort.name.lower()} {index} cannot be used here", offset)
        return entity

    def _at(self, space: Sequence[Entity], sort: Sort, index: int, offset: int) -> Entity:
        if index >= len(space):
            self._refuse(f"there is no {sort.name.lower()} {index} here", offset)
        return space[index]

    def _refuse(self, message: str, offset: int) -> NoReturn:
        raise WitError(message, at_offset(self._file, offset))
