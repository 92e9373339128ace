"""Names for the types of exported functions.

In: the types of a component. Out: sections that define types again and export them. All types in an exported function
need names, or have to be built of types with names; a record, a variant, an enum, flags or a resource that only an
instance of the component exports has none.
"""

from __future__ import annotations

from .binary import encoded, encoded_type
from .definitions import EXPORT, TYPE, Definition, Origin, Space
from .encoding import name, section, vector
from .index_spaces import Indices
from .outer_component import PLAIN
from .parts import PRIMITIVES, Part
from .types import BORROW, ENUM, FLAGS, LIST, OPTION, OWN, RECORD, RESOURCE, RESULT, TUPLE, VARIANT, Type

#: The types that need a name, and those that do not if the types in them have one.
_NAMED = frozenset({RECORD, VARIANT, ENUM, FLAGS})
_NAMELESS = frozenset({LIST, TUPLE, OPTION, RESULT, OWN, BORROW})
#: The code of the sort of types.
_TYPE_SORT = b"\x03"


class NamedTypes:
    """The types of a component, and the sections that give some of them names, which begin with `prefix`."""

    def __init__(self, wasm: bytes, found: Indices, prefix: bytes) -> None:
        self._wasm = wasm
        self._found = found
        self._prefix = prefix
        self._types = [each for _, each in found.indexed(Space.TYPE)]
        self._can_be_named: list[bool] = []
        for each in self._types:
            self._can_be_named.append(self._can_be(each))
        self._new: dict[int, int] = {}
        self.count = len(self._types)
        self.sections: list[bytes] = []
        self.names: list[bytes] = []

    def definition(self, part: Part) -> Type | None:
        """Return the definition of a type that is not primitive, if it is in this component."""
        return None if part.primitive or part.value >= len(self._types) else self._types[part.value].type

    def can_be_named(self, part: Part) -> bool:
        """Whether an exported function may have this type, with names that `named` makes."""
        return part.primitive or (part.value < len(self._can_be_named) and self._can_be_named[part.value])

    def named(self, part: Part) -> bytes:
        """Return the encoding of a type with names; adds the sections that it needs."""
        return bytes([part.value]) if part.primitive else encoded_type(self._named(part.value))

    def add(self, definition: bytes) -> int:
        """Add the definition of a type, and return its index."""
        self.sections.append(section(TYPE, vector([definition])))
        self.count += 1
        return self.count - 1

    def _can_be(self, each: Definition) -> bool:
        if each.origin == Origin.ALIAS_EXPORT:
            instance = self._found.definition(Space.INSTANCE, each.references[0].index)
            return instance is not None and instance.origin == Origin.IMPORT
        if each.type is None:
            return each.origin in (Origin.IMPORT, Origin.EXPORT)
        kind = each.type.kind
        if kind in PRIMITIVES or kind == RESOURCE:
            return True
        return kind in _NAMED | _NAMELESS and all(map(self.can_be_named, each.type.type_parts()))

    def _named(self, index: int) -> int:
        """Return the index of a type with names, which can be named; such types only refer to types before them."""
        waiting = [index]
        while waiting:
            missing = [each for each in self._inner(waiting[-1]) if each not in self._new]
            waiting += missing
            if not missing:
                current = waiting.pop()
                if current not in self._new:
                    self._new[current] = self._made(current)
        return self._new[index]

    def _inner(self, index: int) -> list[int]:
        type_ = self._types[index].type
        return [] if type_ is None else [part.value for part in type_.type_parts()]

    def _made(self, index: int) -> int:
        type_ = self._types[index].type
        if type_ is None or type_.kind in PRIMITIVES:
            return index
        if type_.kind == RESOURCE:
            return self._export(index)
        is_same = all(self._new[each] == each for each in self._inner(index))
        new = index if is_same else self.add(self._encoded(type_))
        return self._export(new) if type_.kind in _NAMED else new

    def _encoded(self, type_: Type) -> bytes:
        """Encode a type again, with the new types in it."""
        encode = encoded if type_.kind in (OWN, BORROW) else encoded_type
        at, pieces = type_.start, list[bytes]()
        for part in type_.type_parts():
            pieces += [self._wasm[at : part.start], encode(self._new[part.value])]
            at = part.end
        return b"".join([*pieces, self._wasm[at : type_.end]])

    def _export(self, index: int) -> int:
        """Export a type under a name of its own, and return the index that it has from then on."""
        new = b"%stype%d" % (self._prefix, len(self.names))
        self.names.append(new)
        self.sections.append(section(EXPORT, vector([PLAIN + name(new) + _TYPE_SORT + encoded(index) + b"\x00"])))
        self.count += 1
        return self.count - 1
