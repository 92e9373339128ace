"""The imports of a component with functions that wait.

In: the definitions that a component begins with. Out: the instances of `wasi:io/poll` and `wasi:io/streams`, by
version, and a version that the component does not import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .definitions import Definition, Origin, Space
from .index_spaces import Indices
from .instance_types import InstanceType
from .obstacles import Obstacle
from .root_types import RootTypes, imported_type
from .slicing_code import KNOWN, WAITING

#: The interfaces with functions that wait.
_WAITING = re.compile(rb"wasi:io/(?P<interface>poll|streams)@(?P<version>0\.2\.\d+)")
#: The last number of a version of WASI.
_LAST = re.compile(rb"wasi:[a-z-]+/[a-z-]+@0\.2\.(\d+)")


@dataclass(frozen=True, slots=True)
class Waiting:
    """An imported instance: its index, and its type."""

    index: int
    declared: InstanceType

    @property
    def functions(self) -> list[str]:
        """The names of its functions."""
        return [each.decode(errors="replace") for each in self.declared.functions]

    @property
    def types(self) -> list[str]:
        """The names of its types."""
        return [each.decode(errors="replace") for each in self.declared.exports]

    @property
    def waits(self) -> bool:
        """Whether a function waits, and all are known; the engine does not provide any that are not."""
        return not WAITING.isdisjoint(self.functions) and KNOWN.issuperset(self.functions)


def waiting_imports(found: Indices) -> Mapping[bytes, Mapping[bytes, Waiting]]:
    """Return the instances of each version in which a function waits, by interface. Raises `Obstacle`."""
    matches = [(index, each, match) for index, each in found.indexed(Space.INSTANCE) if (match := _match(each))]
    if not matches:
        return {}
    types = RootTypes(found)
    versions: dict[bytes, dict[bytes, Waiting]] = {}
    for index, each, match in matches:
        of_version = versions.setdefault(match["version"], {})
        if match["interface"] in of_version:
            raise Obstacle(f"it imports {match[0].decode()} twice")
        of_version[match["interface"]] = Waiting(index, _type(types, each))
    waiting = {
        version: {name: each for name, each in of_version.items() if each.waits}
        for version, of_version in versions.items()
    }
    return {version: instances for version, instances in waiting.items() if instances}


def unused_version(found: Indices) -> int:
    """Return a number such that no import has it, or a larger one, as the last number of its version."""
    numbers = (_LAST.fullmatch(each.name) for _, each in found.indexed(Space.INSTANCE))
    return max((int(match[1]) for match in numbers if match), default=0) + 1


def _match(each: Definition) -> re.Match[bytes] | None:
    return _WAITING.fullmatch(each.name) if each.origin == Origin.IMPORT else None


def _type(types: RootTypes, each: Definition) -> InstanceType:
    type_ = imported_type(each)
    declared = None if type_ is None else types.instances.get(type_)
    if declared is None or declared.unfamiliar:
        raise Obstacle(f"the type of its import {each.name.decode(errors='replace')} is unfamiliar")
    return declared
