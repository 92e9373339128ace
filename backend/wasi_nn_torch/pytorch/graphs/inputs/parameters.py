"""The arguments of a model, and how several inputs of a guest are combined into one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch

#: Stands for any key or position in the name of a part that may occur any number of times.
EACH = "*"

_POSITION = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_ABSENT = object()


class Kind(Enum):
    """The kind of value that a parameter takes; a guest gives numbers and booleans as tensors of one element."""

    TENSOR = "tensor"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"


#: The path of a part: the name of the argument, then keys and positions. Joined by dots, it is the name of an input.
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Parameter:
    """One input of a model: an argument, or a part of one.

    A guest may omit an optional input: the model then uses its default, or None is passed if `none_if_absent`. The
    `dtype` and `shape` of a tensor are known for formats that keep them; a string in a shape, such as "s0" or "2*s0",
    is a size that may vary. A guest's tensor is converted to the `dtype`, unless that is None. `path` is empty if the
    input is a whole argument.
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

    `name` is its key in the surrounding argument; `make` builds it from its parts by key.
    """

    name: str
    parts: tuple[Argument, ...]
    make: Callable[[Mapping[str, object]], object]
    optional: bool = False
    none_if_absent: bool = False


@dataclass(frozen=True)
class Many:
    """An argument, or a part of one, with any number of parts, at least one: a list, or a dict if `key` is a type.

    All parts are like `item`, except those in `known`, by key; `make` builds it from a list, or from a dict.
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
    """The inputs that an argument is made of; an asterisk in a name stands for any number of them."""
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
    """Whether an argument can be made of any number of inputs."""
    return isinstance(argument, Many) or (isinstance(argument, Group) and any(map(is_open, argument.parts)))


def find(argument: Argument, keys: Sequence[str], path: Path = ()) -> Parameter | None:
    """The part of an argument that the keys in a guest's name lead to, or None."""
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
    """The first of the keys in a guest's name as a key of `many`, or None; and the remaining keys."""
    if many.key is str and isinstance(many.item, Parameter):  # the key itself may contain dots
        return ".".join(keys), ()
    if many.key is str:
        return keys[0], keys[1:]
    return (int(keys[0]) if _POSITION.fullmatch(keys[0]) else None), keys[1:]


def grown(parameters: Sequence[Parameter], values: Mapping[str, object]) -> dict[str | int, object]:
    """The values of inputs as a tree of dicts, along their paths."""
    tree: dict[str | int, object] = {}
    for parameter in parameters:
        *above, last = parameter.path or (parameter.name,)
        branch = tree
        for key in above:
            branch = branch.setdefault(key, {})  # type: ignore[assignment]  # only leaves are not dicts
        branch[last] = values[parameter.name]
    return tree


def missing(argument: Argument, tree: Mapping[str | int, object], path: Path = ()) -> Iterator[str]:
    """The names of the inputs that an argument needs and that are not in `tree`, the given ones."""
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
    """The arguments of a call of the model: those that were given, and None for those that need it."""
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
    """The name of the input at a path."""
    return ".".join(map(str, path))


def _placed(parameter: Parameter, path: Path) -> Parameter:
    if len(path) == 1:
        return parameter
    return replace(parameter, name=spelled(path), path=path)
