"""The types of a component: the shape of each, and the declarations of its instance types.

In: the index spaces of a component. Out: both, by type index. An instance type can refer to types of other instances
that are imported before it, so all are read in their order.
"""

from __future__ import annotations

from .definitions import Definition, Origin, Role, Space
from .index_spaces import Indices
from .instance_types import InstanceType, instance_type
from .shapes import UNFAMILIAR, Shape, shape
from .types import INSTANCE


class RootTypes:
    """The types of the outermost component: `shapes` and `instances`, which are instance types, by type index."""

    def __init__(self, found: Indices) -> None:
        self._found = found
        self.shapes: list[Shape] = []
        self.instances: dict[int, InstanceType] = {}
        for index, each in found.indexed(Space.TYPE):
            self.shapes.append(self._shape(index, each))

    def _shape(self, index: int, each: Definition) -> Shape:
        if each.type is not None:
            if each.type.kind != INSTANCE:
                return shape(each.type, self.shapes)
            self.instances[index] = instance_type(each.type, self.shapes)
        elif each.origin == Origin.ALIAS_EXPORT:
            return self._of_instance(each.references[0].index, each.name)
        elif each.references and each.references[0].index < len(self.shapes):
            return self.shapes[each.references[0].index]
        return UNFAMILIAR

    def _of_instance(self, index: int, name: bytes) -> Shape:
        """Return the shape of a type that an instance exports."""
        type_index = imported_type(self._found.definition(Space.INSTANCE, index))
        known = None if type_index is None else self.instances.get(type_index)
        return UNFAMILIAR if known is None else known.exported(name)


def imported_type(each: Definition | None) -> int | None:
    """Return the type index of an import."""
    if each is None or each.origin != Origin.IMPORT:
        return None
    return next((use.index for use in each.references if use.role == Role.TYPE), None)
