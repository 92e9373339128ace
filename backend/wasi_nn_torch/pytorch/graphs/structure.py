"""How the inputs and outputs of an exported program are nested: the names of its leaves.

PyTorch writes this as JSON, which says of each container what class it is of and what its keys are. The names are all
that is needed here: no class is looked up, and nothing is built of it. So a program may return classes of packages that
are not installed, such as the outputs of transformers.
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
    """Return the path of each leaf of a structure in JSON; `fields` are those of NamedTuples, by their class."""
    return list(_paths(_root(spec), fields, ()))


def call_paths(spec: str, names: Sequence[str], fields: Mapping[str, Sequence[str]]) -> list[Path]:
    """Return the paths of all inputs of a call in their order; `names` are those of the positional arguments."""
    positional, keywords = _root(spec).parts
    count = len(positional.parts)
    keys = [*names[:count], *map(str, range(len(names), count)), *_keys(keywords, fields)]
    parts = [*positional.parts, *keywords.parts]
    return [path for key, each in zip(keys, parts, strict=True) for path in _paths(each, fields, (key,))]


def types_in(spec: str) -> set[str]:
    """Return the names of all classes of containers in a structure."""
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
        raise ValueError("the structure of its inputs or outputs is not as PyTorch writes it")
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
    """Return the keys of a container that PyTorch took apart, in `count` parts; what it does not tell are positions."""
    return _named(_named_in(context), count)


def _named(keys: object, count: int) -> list[str]:
    named = [_key(key) for key in keys] if isinstance(keys, list | tuple) else []
    return named if len(named) == len(set(named)) == count else [str(position) for position in range(count)]


def _named_in(context: object) -> object:
    """Return where a container keeps its keys: a list of them, be it the first of two or the last."""
    match context:
        case {"dict_context": keys}:
            return keys
        case [[*keys], [*_]]:  # a dataclass: the fields that are set, and those that are None
            return keys
    return context


def _key(key: object) -> str:
    match key:
        case {"__enum__": True, "fqn": str(kind), "name": str(name)}:
            return f"{kind.rpartition(':')[2]}.{name}"  # as Python prints it
    return str(key)


def is_known(name: str) -> bool:
    """Whether PyTorch can read structures with a class."""
    return name in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE


@contextmanager
def standing_in(types: Collection[str], fields: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Let PyTorch read structures with classes that nobody here has, by their names; for one thread at a time.

    Something else stands in for each of them until the block ends; what was read is not to be put together afterwards.
    `fields` are those of NamedTuples.
    """
    classes = [_stand_in(name, fields.get(name)) for name in types if not is_known(name)]
    try:
        yield
    finally:
        for each in classes:
            pytree._deregister_pytree_node(each)
        if classes:
            pytree.treespec_loads.cache_clear()  # it would remember what stood in


@dataclass(frozen=True)
class _StandIn:
    """The parts of a container whose class is not here, and what PyTorch noted of it."""

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
    made: type = namedtuple("_StandIn", fields, rename=True)  # type: ignore[misc]  # noqa: PYI024  # told at run time
    return made
