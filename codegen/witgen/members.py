"""The names of a module's functions in its classes.

In: an `Abi`, which spells annotations. Out: `Names.imported`, `exported` and `calls`, filled. Methods are named within
their resource, all other functions together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from witgen import naming
from witgen.abi import Abi, Bytes
from witgen.layout import resource_name
from witgen.model import Function, FunctionSort


def name_functions(abi: Abi) -> None:
    """Name the functions of the module of `abi`."""
    names = abi.module.names
    names.imported.update(_named(abi, abi.module.imported, Bytes.BORROWED, Bytes.GIVEN))
    names.exported.update(_named(abi, abi.module.exported, Bytes.GIVEN, Bytes.KEPT))
    for function in abi.module.exported:
        name = naming.call(_class(abi, function), names.exported[function.name])
        names.calls[function.name] = names.scope.claim(name)


def _named(abi: Abi, functions: Iterable[Function], taken: Bytes, given: Bytes) -> dict[str, str]:
    """The functions of one direction by their full WIT names; `taken` and `given` say how a `list<u8>` crosses."""
    classes: dict[str, list[Function]] = {}
    for function in functions:
        classes.setdefault(_class(abi, function), []).append(function)
    names = {}
    for resource, members in classes.items():
        annotations = (text for function in members for text in _annotations(abi, function, taken, given))
        scope = naming.resource(annotations) if resource else naming.functions(annotations)
        for function in members:
            wanted = naming.function(resource_name(abi.resolved, function), function.name, function.sort)
            names[function.name] = scope.claim(wanted)
    return names


def _class(abi: Abi, function: Function) -> str:
    """The resource whose class has the function; empty if it is not a method."""
    return resource_name(abi.resolved, function) if function.sort is FunctionSort.METHOD else ""


def _annotations(abi: Abi, function: Function, taken: Bytes, given: Bytes) -> Iterator[str]:
    for parameter in function.parameters:
        yield abi.annotation(parameter.type, taken)
    yield abi.success(function, given)
