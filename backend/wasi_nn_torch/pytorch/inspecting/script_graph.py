"""Navigation in the graph of a TorchScript module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

GET = "prim::GetAttr"
SET = "prim::SetAttr"
IF = "prim::If"
LOOP = "prim::Loop"

#: The path to an attribute, starting at the module: the names of the submodules, then the attribute's own.
Path = tuple[str, ...]


def nodes_of(nodes: Iterable[torch._C.Node]) -> Iterator[torch._C.Node]:
    """The nodes, and all nodes within their blocks."""
    for node in nodes:
        yield node
        for block in node.blocks():
            yield from nodes_of(block.nodes())


def path_of(value: torch._C.Value) -> Path | None:
    """The path of the attribute that a value is read from; () for the module itself, None for other values."""
    node = value.node()
    if node.kind() == GET:
        owner = path_of(node.input())
        return None if owner is None else (*owner, node.s("name"))
    return () if node.kind() == "prim::Param" and value.debugName().startswith("self") else None


def find(module: torch.jit.ScriptModule, path: Path) -> object:
    """The attribute at a path, or None."""
    found: object = module
    for name in path:
        found = getattr(found, name, None)
    return found
