"""Orders of graphs: pure functions over names and edges, none of them recursive.

In: nodes in source order, and which others each one refers to. Out: the nodes in the order in which they are numbered,
or the cycle that makes that impossible.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeVar

from witgen.syntax import Name

Node = TypeVar("Node", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Cycle:
    """Nodes that lead back to themselves: `first`, the earliest of them in the source, refers on by `reference`."""

    first: str
    reference: Name


def first_ready(references: Mapping[str, Collection[Name]]) -> list[str] | Cycle:
    """Order the keys by taking, again and again, the first one whose references are all taken.

    Every reference has to be a key of the mapping.
    """
    names = list(references)
    place = {name: index for index, name in enumerate(names)}
    waiting = [len({reference.text for reference in references[name]}) for name in names]
    users: list[list[int]] = [[] for _ in names]
    for name in names:
        for text in {reference.text for reference in references[name]}:
            users[place[text]].append(place[name])
    ready = [index for index, count in enumerate(waiting) if count == 0]
    heapify(ready)
    order: list[str] = []
    while ready:
        index = heappop(ready)
        order.append(names[index])
        for user in users[index]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heappush(ready, user)
    return order if len(order) == len(names) else _cycle(references, set(order))


def _cycle(references: Mapping[str, Collection[Name]], taken: set[str]) -> Cycle:
    """Follow references that were not taken: each such node has one, so the walk returns to a node that it has seen."""
    left = [name for name in references if name not in taken]
    place = {name: index for index, name in enumerate(left)}
    step = {name: next(r for r in references[name] if r.text not in taken) for name in left}
    seen: list[str] = [left[0]]
    visited = {left[0]}
    while (following := step[seen[-1]].text) not in visited:
        seen.append(following)
        visited.add(following)
    first = min(seen[seen.index(following) :], key=lambda name: place[name])
    return Cycle(first, step[first])


def depth_first(
    roots: Iterable[Node],
    edges: Callable[[Node], Iterable[Node]],
    done: set[Node] | None = None,
    on_cycle: Callable[[Node, Node], Exception] | None = None,
) -> Iterator[Node]:
    """Each node that can be reached, once, after all nodes that it leads to.

    Nodes in `done` count as visited, and visited nodes are added to it. If a node leads back to one that led to it, the
    exception that `on_cycle` returns for the two is raised; without `on_cycle` the graph has to be free of cycles.
    """
    done = set() if done is None else done
    for root in roots:
        if root in done:
            continue
        path, open_nodes = [(root, iter(edges(root)))], {root}
        while path:
            node, rest = path[-1]
            following = next((other for other in rest if other not in done), None)
            if following is None:
                path.pop()
                open_nodes.discard(node)
                done.add(node)
                yield node
            elif following in open_nodes:
                if on_cycle:
                    raise on_cycle(node, following)
            else:
                path.append((following, iter(edges(following))))
                open_nodes.add(following)
