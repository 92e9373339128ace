"""Bridges inserted into a component.

In: the lowered functions that need one. Out: edits. Bridges are inserted before the first section that refers to one of
these functions, each group as one core module with its instance. All references to a lowered function then refer to its
bridge, and the indices of all later core modules, core instances and core functions grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .binary import InvalidComponent, encoded
from .bridges import Bridge, Code, Site, bridge_sections
from .definitions import COMPONENT, CORE_MODULE, Definition, Space
from .index_spaces import Indices
from .obstacles import Obstacle
from .sections import Edit, Section

#: The most core modules and components at every depth, and instances of both; the engine's limits are a bit higher.
MOST = 900

#: The instances of core modules for each group: a bundle and the bridges.
_INSTANCES = 2


@dataclass(frozen=True, slots=True)
class Lowered:
    """A lowered function that needs a bridge: its index, the bridge's code, and the options that the code needs."""

    index: int
    code: Code
    memory: int | None = None
    realloc: int | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """Bridges that are inserted before the section `place`."""

    place: int
    lowers: Sequence[Lowered]


def insertion(
    parts: Sequence[Section], found: Indices, lowers: Sequence[Lowered]
) -> tuple[dict[int, list[Edit]], list[Edit]]:
    """Return edits of sections, by their index, and edits between them. Raises `Obstacle` and `InvalidComponent`."""
    groups = _groups(found, lowers)
    if not groups:
        return {}, []
    _check_limits(parts, found, len(groups))
    modules = _Numbers(found, Space.CORE_MODULE, groups, [1] * len(groups))
    instances = _Numbers(found, Space.CORE_INSTANCE, groups, [_INSTANCES] * len(groups))
    functions = _Numbers(found, Space.CORE_FUNC, groups, [len(each.lowers) for each in groups])
    bridges: dict[int, int] = {}
    between: list[Edit] = []
    for number, group in enumerate(groups):
        # All functions whose bridges need a memory have the same one, under any index: there is only one.
        site = Site(group.lowers[0].memory, modules.places[number], instances.places[number])
        stood = [
            Bridge(functions.of(each.index), None if each.realloc is None else functions.of(each.realloc), each.code)
            for each in group.lowers
        ]
        start = parts[group.place].start
        between.append(Edit(start, start, bridge_sections(stood, site)))
        bridges |= {each.index: functions.places[number] + place for place, each in enumerate(group.lowers)}
    numbers = {Space.CORE_MODULE: modules, Space.CORE_INSTANCE: instances, Space.CORE_FUNC: functions}
    edits: dict[int, list[Edit]] = {}
    for section, each in found.all:
        changes = _renumbered(each, numbers, bridges)
        if changes:
            edits.setdefault(section, []).extend(changes)
    return edits, between


def _groups(found: Indices, lowers: Sequence[Lowered]) -> list[_Group]:
    """Return the lowered functions that are used, in order; each group is as large as possible."""
    sections = found.sections(Space.CORE_FUNC)
    groups: list[_Group] = []
    waiting: list[Lowered] = []
    place = 0
    for lower in sorted(lowers, key=lambda each: each.index):
        used = min((use.section for use in found.uses_of(Space.CORE_FUNC, lower.index)), default=None)
        if used is None:
            continue
        defined = sections[lower.index]
        if used <= defined:
            raise Obstacle("a function is used before it is lowered")
        if waiting and place <= defined:
            groups.append(_Group(place, waiting))
            waiting = []
        place = min(place, used) if waiting else used
        waiting.append(lower)
    return [*groups, _Group(place, waiting)] if waiting else groups


def _check_limits(parts: Sequence[Section], found: Indices, groups: int) -> None:
    modules = sum(part.id in (CORE_MODULE, COMPONENT) for part in parts)
    instances = len(found.space(Space.CORE_INSTANCE)) + len(found.space(Space.INSTANCE))
    if max(modules + groups, instances + _INSTANCES * groups) > MOST:
        raise Obstacle("the component has so many core modules or instances that no more can be added")


class _Numbers:
    """The new indices of a space after each group added its `amounts`; `places` are the first indices of the groups."""

    def __init__(self, found: Indices, space: Space, groups: Sequence[_Group], amounts: Sequence[int]) -> None:
        self.places: list[int] = []
        self._new: list[int] = []
        added = 0
        for index, section in enumerate(found.sections(space)):
            while len(self.places) < len(groups) and groups[len(self.places)].place <= section:
                self.places.append(index + added)
                added += amounts[len(self.places) - 1]
            self._new.append(index + added)
        while len(self.places) < len(groups):
            self.places.append(len(self._new) + added)
            added += amounts[len(self.places) - 1]

    def of(self, index: int) -> int:
        """Return the new index for an old one."""
        if index >= len(self._new):
            raise InvalidComponent(f"there is no core definition {index}", 0)
        return self._new[index]


def _renumbered(each: Definition, numbers: Mapping[Space, _Numbers], bridges: Mapping[int, int]) -> list[Edit]:
    edits: list[Edit] = []
    for reference in each.references:
        if reference.space not in numbers:
            continue
        new = numbers[reference.space].of(reference.index)
        if reference.space == Space.CORE_FUNC:
            new = bridges.get(reference.index, new)
        if new != reference.index:
            edits.append(Edit(reference.start, reference.end, encoded(new)))
    return edits
