"""The declarations of an instance type, with the shapes of its types.

In: the definition of an instance type and the shapes of the types around it. Out: its own index space of types, and its
functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .binary import InvalidComponent
from .obstacles import Obstacle
from .parts import Alias, Extern, Part
from .shapes import LARGEST, UNFAMILIAR, Shape, shape
from .types import (
    ASYNC_FUNCTION,
    ASYNC_RESOURCE,
    COMPONENT,
    FUNCTION,
    INSTANCE,
    RECORD,
    RESOURCE,
    VARIANT,
    CoreType,
    Declaration,
    Type,
)

#: The most declarations; the engine's limit is higher, and a large interface has hundreds.
MOST = 10_000

_FUNC_SORT, _TYPE_SORT = 1, 3
#: The shape of a resource type, which is never passed itself.
_RESOURCE = Shape(None)
#: The kinds of types that cannot be rewritten.
_UNFAMILIAR = (ASYNC_FUNCTION, ASYNC_RESOURCE, COMPONENT, INSTANCE, RESOURCE)


@dataclass(frozen=True, slots=True)
class Local:
    """One type index.

    `definition` is set if the type is defined here, `names` is the index that it is another name of. `nominal`
    says that the type can only be used under a name, as records and variants are.
    """

    shape: Shape
    definition: Type | None = None
    names: int | None = None
    nominal: bool = False
    foreign: bool = False


@dataclass(slots=True)
class InstanceType:
    """The content of an instance type, in the order of the bytes.

    `shapes` are those of the `types`. `steps` are the declarations, each with the type index that it takes, if any.
    `unfamiliar` is the reason why it cannot be rewritten; `read` says that all declarations were read.
    """

    types: list[Local] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    steps: list[tuple[Declaration, int | None]] = field(default_factory=list)
    functions: dict[bytes, int] = field(default_factory=dict)
    exports: dict[bytes, int] = field(default_factory=dict)
    unfamiliar: str | None = None
    read: bool = True

    def passes_bytes(self) -> bool:
        """Return whether there is, or may be, a `list<u8>` among the types."""
        return not self.read or any(each.holds_bytes for each in self.shapes)

    def function(self, index: int) -> Type:
        """Return the function type at `index`. Raises `Obstacle` if this instance type does not define it."""
        definition = self.types[index].definition if index < len(self.types) else None
        if definition is None or definition.kind != FUNCTION:
            raise Obstacle("a function has an unfamiliar type")
        return definition

    def exported(self, name: bytes) -> Shape:
        """Return the shape of the type that is exported under a name."""
        index = self.exports.get(name)
        return UNFAMILIAR if index is None else self.types[index].shape


def instance_type(definition: Type, around: Sequence[Shape]) -> InstanceType:
    """Read an instance type; `around` are the types of the enclosing component. Raises `InvalidComponent`."""
    found, total = InstanceType(), 0
    if len(definition.declarations) > MOST:
        found.unfamiliar, found.read = f"it declares more than {MOST} types and functions", False
        return found
    for each in definition.declarations:
        local = _local(each, found, around)
        found.steps.append((each, None if local is None else len(found.types)))
        if local is not None:
            found.types.append(local)
            found.shapes.append(local.shape)
            total += local.shape.size
    if total > LARGEST:
        found.unfamiliar = "its types are too large"
    return found


def _local(each: Declaration, found: InstanceType, around: Sequence[Shape]) -> Local | None:
    match each.content:
        case Type() as content:
            return _defined(content, found)
        case Alias(sort=3, outer=(1, target)):
            known = target.value < len(around)
            return Local(around[target.value] if known else UNFAMILIAR, foreign=True)
        case Extern() as content:
            return _exported(content, found)
        case _:
            found.unfamiliar = "it declares something unfamiliar"
            return None if isinstance(each.content, CoreType) or each.content.sort != _TYPE_SORT else Local(UNFAMILIAR)


def _defined(content: Type, found: InstanceType) -> Local:
    if content.kind in _UNFAMILIAR:
        found.unfamiliar = "it defines something other than functions and types of values"
        return Local(UNFAMILIAR)
    for part in content.type_parts():
        _check(part, found)
    if content.kind == FUNCTION:
        return Local(UNFAMILIAR, content)
    return Local(shape(content, found.shapes), content, nominal=content.kind in (RECORD, VARIANT))


def _exported(export: Extern, found: InstanceType) -> Local | None:
    if export.sort == _FUNC_SORT and export.type is not None:
        _check(export.type, found)
        found.functions[export.name] = export.type.value
        return None
    if export.sort != _TYPE_SORT:
        found.unfamiliar = "it exports something other than functions and types"
        return None
    found.exports[export.name] = len(found.types)
    if export.type is None:
        return Local(_RESOURCE)
    _check(export.type, found)
    of = found.types[export.type.value]
    return Local(of.shape, names=export.type.value, nominal=of.nominal, foreign=of.foreign)


def _check(part: Part, found: InstanceType) -> None:
    if part.value >= len(found.types):
        raise InvalidComponent(f"there is no type {part.value} here", part.start)
