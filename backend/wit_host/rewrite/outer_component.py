"""A component around another one, built section by section.

In: the sections that the outer component begins with, and how many definitions they have. Out: its bytes. Each method
adds one definition and returns its index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .binary import encoded
from .definitions import ALIAS, COMPONENT, CORE_SORTS, EXPORT, IMPORT, INSTANCE, SORTS, TYPE, Space
from .encoding import name, section, vector
from .sections import PREAMBLE

#: The codes of the sorts, by space.
_CODES = {
    **{space: bytes([code]) for code, space in SORTS.items()},
    **{space: bytes([0, code]) for code, space in CORE_SORTS.items()},
}
#: The start of a name in its plain form.
PLAIN = b"\x00"

#: Something that is passed to a component, or exported: its name, its space, and its index.
Item = tuple[bytes, Space, int]


class OuterComponent:
    """The component so far."""

    def __init__(self, begin: Iterable[bytes | memoryview], spaces: Iterable[Space]) -> None:
        self._parts: list[bytes | memoryview] = [PREAMBLE, *begin]
        self._counts = Counter(spaces)

    def wasm(self) -> bytes:
        """Return the bytes."""
        return b"".join(self._parts)

    def imported(self, interface: bytes, type_: bytes) -> int:
        """Import the instance `interface` of the type `type_`."""
        index = self._add(TYPE, Space.TYPE, type_)
        return self._add(IMPORT, Space.INSTANCE, PLAIN + name(interface) + b"\x05" + encoded(index))

    def alias(self, instance: int, item: bytes, space: Space) -> int:
        """Define what `instance` exports as `item`."""
        return self._add(ALIAS, space, _CODES[space] + b"\x00" + encoded(instance) + name(item))

    def nested(self, component: bytes | memoryview) -> int:
        """Contain a component."""
        self._parts += [bytes([COMPONENT]) + encoded(len(component)), component]
        return self._counted(Space.COMPONENT)

    def instance(self, component: int, arguments: Sequence[Item]) -> int:
        """Instantiate a component."""
        passed = [name(each) + _CODES[space] + encoded(index) for each, space, index in arguments]
        return self._add(INSTANCE, Space.INSTANCE, b"\x00" + encoded(component) + vector(passed))

    def bundle(self, items: Sequence[Item]) -> int:
        """Make an instance of `items`."""
        bundled = [PLAIN + name(each) + _CODES[space] + encoded(index) for each, space, index in items]
        return self._add(INSTANCE, Space.INSTANCE, b"\x01" + vector(bundled))

    def export(self, item: Item) -> None:
        """Export something."""
        exported, space, index = item
        self._add(EXPORT, space, PLAIN + name(exported) + _CODES[space] + encoded(index) + b"\x00")

    def _add(self, kind: int, space: Space, definition: bytes) -> int:
        self._parts.append(section(kind, vector([definition])))
        return self._counted(space)

    def _counted(self, space: Space) -> int:
        self._counts[space] += 1
        return self._counts[space] - 1
