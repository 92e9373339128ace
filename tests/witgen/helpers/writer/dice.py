"""Choices, names, versions and gates.

In: a `random.Random`, and the features that are on. Out: the small pieces that everything else is written with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

Choice = TypeVar("Choice")

FEATURES = ("alpha", "beta-2", "GAMMA")
#: In ascending order, so that what stands before a version is not later than it.
VERSIONS = (
    "0.0.1",
    "0.2.0-alpha",
    "0.2.0-alpha.1",
    "0.2.0-rc-2024-10-28",
    "0.2.0",
    "1.0.0-a1.1-a",
    "1.0.0",
    "1.0.0+build.1-x",
    "1.0.1--",
    "1.0.1",
    "2.10.3",
    "10.0.0",
)
KEYWORDS = frozenset(
    "as async bool borrow char constructor enum error-context export f32 f64 flags from func future import include "
    "interface list map option own package record resource result s16 s32 s64 s8 static stream string tuple type u16 "
    "u32 u64 u8 use variant with world".split()
)
_WORDS = (
    "a",
    "b",
    "c",
    "ab",
    "x0",
    "is-XML",
    "ENOENT",
    "t-8-2d",
    "self",
    "since",
    "type",
    "func",
    "list",
    "u8",
    "from",
    "bytes",
    "int",
    "abstractmethod",
)


@dataclass(frozen=True, slots=True)
class Gate:
    """The attributes of an item as they are written, and whether they hide it."""

    text: str = ""
    off: bool = False
    feature: str | None = None


@dataclass(frozen=True, slots=True)
class Dice:
    """What decides, and which features are on (`None` means all)."""

    random: Random
    enabled: frozenset[str] | None

    def chance(self, percent: int) -> bool:
        """Whether something happens that does so in `percent` of all cases."""
        return self.random.randrange(100) < percent

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of them."""
        return choices[self.random.randrange(len(choices))]

    def some(self, choices: Sequence[Choice], percent: int) -> list[Choice]:
        """Those that happen to be chosen, in order."""
        return [choice for choice in choices if self.chance(percent)]

    def upto(self, most: int) -> int:
        """A number from 0 on, `most` included."""
        return self.random.randrange(most + 1)

    def shuffled(self, items: Sequence[Choice]) -> list[Choice]:
        """All of them in some order."""
        items = list(items)
        for place in range(len(items) - 1, 0, -1):
            other = self.upto(place)
            items[place], items[other] = items[other], items[place]
        return items

    def fresh(self, taken: set[str]) -> str:
        """A name that is not taken, in whatever case, and is from now on."""
        name = self.pick(_WORDS)
        while name.lower() in taken:
            name = f"{self.pick(_WORDS)}-{self.pick(('a', 'B', '1', '22', 'is-it'))}-{len(taken)}"
        taken.add(name.lower())
        return name

    def gate(self, version: str | None, around: Gate, external_id: bool = True) -> Gate:
        """The attributes of an item in a package of this version; inside something hidden they hide it, too."""
        stability, off, feature = "", around.off, around.feature
        if around.off:
            stability = f"@ unstable ( feature = {around.feature} )"
        elif self.chance(10):
            feature = self.pick(FEATURES)
            stability, off = f"@ unstable ( feature = {feature} )", not self._is_on(feature)
        elif version and self.chance(12):
            stability = f"@ since ( version = {self.pick(VERSIONS[: VERSIONS.index(version) + 1])} )"
        parts = [stability] if stability else []
        if stability and self.chance(25):
            parts.append(f"@ deprecated ( version = {self.pick(VERSIONS)} )")
        if external_id and self.chance(5):
            parts.append(f"@ external-id ( {self.pick(_TEXTS)} )")
        return Gate(" ".join(self.shuffled(parts)), off, feature if off else None)

    def _is_on(self, feature: str) -> bool:
        return self.enabled is None or feature in self.enabled


#: String literals; a space in one is escaped, since spaces part tokens here.
_TEXTS = ('""', '"id"', r'"a\20b"', r'"\u{1F600}\"\\"', '"é/[x]{}"', r'"\t\n\r\'"')


def identifier(dice: Dice, name: str) -> str:
    """A name as it is written; `%` is needed in front of keywords and may stand in front of others."""
    return f"%{name}" if name in KEYWORDS or dice.chance(4) else name


def listed(dice: Dice, items: Sequence[str]) -> str:
    """A comma-separated list, perhaps with a comma at its end."""
    return " , ".join(items) + (" ," if items and dice.chance(40) else "")
