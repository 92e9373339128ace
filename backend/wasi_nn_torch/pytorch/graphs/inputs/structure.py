"""The structure of the nested inputs and outputs of an exported program, and the names of its leaves.

PyTorch writes the structure as JSON, with the class and the keys of each container. Only the keys are needed here: no
class is looked up, and no container is built. So a program may return classes of packages that are not installed, such
as the outputs of transformers.
"""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch.utils import _pytree as pytree

#: The keys, fields and positions that lead to a leaf.
Path = tuple[str, ...]

_PLAIN = frozenset({"builtins.tuple", "builtins.list", "collections.deque"})
_NAMEDTUPLE = "collections.namedtuple"


@dataclass(frozen=True)
class _Node:
    """A container and its parts, or a leaf, whose `kind` is None."""

    kind: str | None
    context: object
    parts: list[_Node]


def paths_of(spec: str, fields: Mapping[str, Sequence[str]]) -> list[Path]:
    """The path of each leaf of a structure in JSON; `fields` has the fields of NamedTuples by class."""
    return list(_paths(_root(spec), fields, ()))


def call_paths(spec: str, names: Sequence[str], fields: Mapping[str, Sequence[str]]) -> list[Path]:
    """The paths of all inputs of a call in their order; `names` are the names of the positional arguments."""
    positional, keywords = _root(spec).parts
    count = len(positional.parts)
    keys = [*names[:count], *map(str, range(len(names), count)), *_keys(keywords, fields)]
    parts = [*positional.parts, *keywords.parts]
    return [path for key, each in zip(keys, parts, strict=True) for path in _paths(each, fields, (key,))]


def types_in(spec: str) -> set[str]:
    """The names of the classes of all containers in a structure."""
    found: set[str] = set()
    nodes = [_root(spec)]
    while nodes:
        node = nodes.pop()
        nodes += node.parts
        found |= {each for each in (node.kind, node.context if node.kind == _NAMEDTUPLE else None) if _is_name(each)}
    return found


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _root(spec: str) -> _Node:
    _, tree = json.loads(spec, object_hook=_node)
    if not isinstance(tree, _Node):
        raise ValueError("PyTorch does not write such a structure of inputs or outputs")
    return tree


def _node(found: dict[str, Any]) -> object:
    match found:
        case {"type": str() | None as kind, "context": context, "children_spec": list() as parts}:
            return _Node(kind, context, parts)
    return found


def _paths(node: _Node, fields: Mapping[str, Sequence[str]], path: Path) -> Iterator[Path]:
    if node.kind is None:
        yield path
        return
    for key, part in zip(_keys(node, fields), node.parts, strict=True):
        yield from _paths(part, fields, (*path, key))


def _keys(node: _Node, fields: Mapping[str, Sequence[str]]) -> list[str]:
    keys: object = None
    if node.kind == _NAMEDTUPLE:
        keys = fields.get(str(node.context))
    elif node.kind not in _PLAIN:
        keys = _named_in(json.loads(node.context) if isinstance(node.context, str) else node.context)
    return _named(keys, len(node.parts))


def keys_of(context: object, count: int) -> list[str]:
    """The keys of a container that PyTorch flattened into `count` parts, or positions if the keys are unknown."""
    return _named(_named_in(context), count)


def _named(keys: object, count: int) -> list[str]:
    named = [_key(key) for key in keys] if isinstance(keys, list | tuple) else []
    return named if len(named) == len(set(named)) == count else [str(position) for position in range(count)]


def _named_in(context: object) -> object:
    """The keys in the context of a container, which depends on its class; anything else as it is."""
    match context:
        case {"dict_context": keys}:
            return keys
        case [[*keys], [*_]]:  # of a dataclass: the fields that are set, and those that are None
            return keys
    return context


def _key(key: object) -> str:
    match key:
        case {"__enum__": True, "fqn": str(kind), "name": str(name)}:
            return f"{kind.rpartition(':')[2]}.{name}"  # as Python prints it
    return str(key)


def is_known(name: str) -> bool:
    """Whether PyTorch can read structures with the class of this name."""
    return name in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE


@contextmanager
def standing_in(types: Collection[str], fields: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Let PyTorch read structures with classes that are not installed; for one thread at a time.

    A stand-in is registered for each of them until the block ends; structures that were read cannot be rebuilt
    afterwards. `fields` has the fields of NamedTuples by class.
    """
    classes = [_stand_in(name, fields.get(name)) for name in types if not is_known(name)]
    try:
        yield
    finally:
        for each in classes:
            pytree._deregister_pytree_node(each)
        if classes:
            pytree.treespec_loads.cache_clear()  # it would keep the stand-ins


@dataclass(frozen=True)
class _StandIn:
    """The parts of a container whose class is not installed, and the context that PyTorch saved for it."""

    parts: list[object]
    context: object


def _stand_in(name: str, fields: Sequence[str] | None) -> type:
    made = type("_StandIn", (_StandIn,), {}) if fields is None else _named_tuple(fields)
    pytree._private_register_pytree_node(
        made,
        lambda value: (value.parts, value.context),
        lambda parts, context: made(list(parts), context),
        serialized_type_name=name,
        to_dumpable_context=lambda context: context,
        from_dumpable_context=lambda context: context,
        flatten_with_keys_fn=lambda value: (
            [(pytree.SequenceKey(at), part) for at, part in enumerate(value.parts)],
            value.context,
        ),
    )
    return made


def _named_tuple(fields: Sequence[str]) -> type:
    made: type = namedtuple("_StandIn", fields, rename=True)  # type: ignore[misc]  # noqa: PYI024  # known only at run time
    return made
