"""What a model takes: its arguments, and how several inputs of a guest make one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch

#: Stands for each key or position in the name of what there may be any number of.
EACH = "*"

_POSITION = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_ABSENT = object()


class Kind(Enum):
    """What a parameter takes; `INTEGER`, `FLOAT` and `BOOLEAN` take a tensor of one element."""

    TENSOR = "tensor"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"


#: Where a part is: the name of the argument, then keys and positions. Joined by dots, it is the name of an input.
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Parameter:
    """One input of a model: an argument of it, or a part of one.

    A guest may leave out an optional one: the model then uses its default or, if `none_if_absent`, must be given None.
    Formats that keep the `dtype` and `shape` of a tensor tell them; a text in a shape, such as "s0" or "2*s0", is a
    size that may vary. A guest's tensor is converted to the `dtype`, and is given as it comes if that is None. `path`
    is empty for what the model takes by its name.
    """

    name: str
    kind: Kind
    optional: bool = False
    none_if_absent: bool = False
    dtype: torch.dtype | None = None
    shape: tuple[int | str, ...] | None = None
    path: Path = ()


@dataclass(frozen=True)
class Group:
    """An argument, or a part of one, with a fixed number of parts: a tuple, a NamedTuple, a dataclass.

    `name` is its key in what it is part of; `make` makes it of its parts, by their own keys.
    """

    name: str
    parts: tuple[Argument, ...]
    make: Callable[[Mapping[str, object]], object]
    optional: bool = False
    none_if_absent: bool = False


@dataclass(frozen=True)
class Many:
    """An argument, or a part of one, with any number of parts, at least one: a list, or a dict if `key` is a type.

    All parts are like `item`, but those that are `known` by their key; `make` makes it of a list, or of a dict.
    """

    name: str
    item: Argument
    make: Callable[..., object]
    key: type[str | int] | None = None
    optional: bool = False
    none_if_absent: bool = False
    known: tuple[tuple[str | int, Parameter], ...] = ()


Argument = Parameter | Group | Many


def leaves(argument: Argument, path: Path = ()) -> Iterator[Parameter]:
    """Yield the inputs that an argument is made of, by name; an asterisk is each of any number."""
    path = (*path, argument.name)
    match argument:
        case Parameter():
            yield argument if len(path) == 1 else _placed(argument, path)
        case Group(parts=parts):
            for part in parts:
                yield from leaves(part, path)
        case Many(item=item):
            for key, part in argument.known:
                yield _placed(part, (*path, key))
            yield from leaves(replace(item, name=EACH), path)


def is_open(argument: Argument) -> bool:
    """Whether an argument may be made of any number of inputs."""
    return isinstance(argument, Many) or (isinstance(argument, Group) and any(map(is_open, argument.parts)))


def find(argument: Argument, keys: Sequence[str], path: Path = ()) -> Parameter | None:
    """Return the part of an argument that the keys in a guest's name lead to, or None."""
    path = path or (argument.name,)
    match argument:
        case Parameter():
            return None if keys else _placed(argument, path)
        case _ if not keys:
            return None
        case Group(parts=parts):
            part = next((part for part in parts if part.name == keys[0]), None)
            return None if part is None else find(part, keys[1:], (*path, part.name))
        case Many(item=item):
            key, rest = key_of(argument, keys)
            return None if key is None else find(dict(argument.known).get(key, item), rest, (*path, key))


def key_of(many: Many, keys: Sequence[str]) -> tuple[str | int | None, Sequence[str]]:
    """Return the first of the keys in a guest's name as a key of `many`, or None, and those that are left."""
    if many.key is str and isinstance(many.item, Parameter):  # the key itself may have dots in it
        return ".".join(keys), ()
    if many.key is str:
        return keys[0], keys[1:]
    return (int(keys[0]) if _POSITION.fullmatch(keys[0]) else None), keys[1:]


def grown(parameters: Sequence[Parameter], values: Mapping[str, object]) -> dict[str | int, object]:
    """Return the values of inputs as a tree of dicts, along their paths."""
    tree: dict[str | int, object] = {}
    for parameter in parameters:
        *above, last = parameter.path or (parameter.name,)
        branch = tree
        for key in above:
            branch = branch.setdefault(key, {})  # type: ignore[assignment]  # only leaves are anything else
        branch[last] = values[parameter.name]
    return tree


def missing(argument: Argument, tree: Mapping[str | int, object], path: Path = ()) -> Iterator[str]:
    """Yield the names of the inputs that an argument still needs, where `tree` has those that came."""
    found = tree.get(argument.name, _ABSENT)
    if found is _ABSENT and argument.optional:
        return
    yield from _missing(argument, found, (*path, argument.name))


def _missing(argument: Argument, found: object, path: Path) -> Iterator[str]:
    branch = found if isinstance(found, dict) else {}
    match argument:
        case Parameter():
            if found is _ABSENT:
                yield spelled(path)
        case Group(parts=parts):
            for part in parts:
                yield from missing(part, branch, path)
        case Many(key=key, item=item):
            keys = list(branch) if key is not None else range(max(len(branch), 1))
            if not branch and key is not None:
                yield spelled((*path, EACH))
            for each in keys:
                yield from _missing(item, branch.get(each, _ABSENT), (*path, each))


def arguments_of(arguments: Sequence[Argument], tree: Mapping[str | int, object]) -> dict[str, object]:
    """Return what a model is called with: each argument that came, and None for those that must be given None."""
    given: dict[str, object] = {}
    for argument in arguments:
        value = _made(argument, tree.get(argument.name, _ABSENT))
        if value is not _ABSENT:
            given[argument.name] = value
        elif argument.none_if_absent:
            given[argument.name] = None
    return given


def _made(argument: Argument, found: object) -> object:
    if isinstance(argument, Parameter) or (found is _ABSENT and argument.optional):
        return found
    branch = found if isinstance(found, dict) else {}
    if isinstance(argument, Group):
        return argument.make(arguments_of(argument.parts, branch))
    if argument.key is None:
        return argument.make([_made(argument.item, branch[position]) for position in range(len(branch))])
    return argument.make({key: _made(argument.item, each) for key, each in branch.items()})


def spelled(path: Path) -> str:
    """Return the name of the input at a path."""
    return ".".join(map(str, path))


def _placed(parameter: Parameter, path: Path) -> Parameter:
    if len(path) == 1:
        return parameter
    return replace(parameter, name=spelled(path), path=path)
