"""The names of a module's functions in its classes.

In: an `Abi`, which spells annotations. Out: `Names.imported`, `exported`, `awaited` and `calls`, filled. Methods are
named within their resource, all other functions together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from witgen import naming
from witgen.abi import Abi, Bytes
from witgen.layout import resource_name
from witgen.model import Function, FunctionSort

#: The annotation of a stub's arguments.
STUB = "object"


def name_functions(abi: Abi) -> None:
    """Name the functions of the module of `abi`."""
    names = abi.module.names
    stubs = [stub.function for stub in abi.module.stubs]
    names.imported.update(_named(abi, abi.module.imported, (), Bytes.BORROWED, Bytes.GIVEN, {}))
    names.exported.update(_named(abi, abi.module.exported, stubs, Bytes.GIVEN, Bytes.KEPT, names.awaited))
    for function in abi.module.exported:
        name = naming.call(_class(abi, function), names.exported[function.name])
        names.calls[function.name] = names.scope.claim(name)


def _named(
    abi: Abi,
    functions: Sequence[Function],
    stubs: Sequence[Function],
    taken: Bytes,
    given: Bytes,
    awaited: dict[str, str],
) -> dict[str, str]:
    """The functions of one direction by their full WIT names; `taken` and `given` say how a `list<u8>` crosses.

    `stubs` are further ones, whose types have no annotations. `awaited` gets the names of the coroutines, which are
    named last, so that no function is called otherwise because of one.
    """
    classes: dict[str, list[Function]] = {}
    for function in (*functions, *stubs):
        classes.setdefault(_class(abi, function), []).append(function)
    names = {}
    for resource, members in classes.items():
        typed = [function for function in members if function not in stubs]
        annotations = [text for function in typed for text in _annotations(abi, function, taken, given)]
        annotations += [STUB] if len(typed) < len(members) else []
        scope = naming.resource(annotations) if resource else naming.functions(annotations)
        for function in members:
            wanted = naming.function(resource_name(abi.resolved, function), function.name, function.sort)
            names[function.name] = scope.claim(wanted)
        for function in typed:
            if function.is_async:
                awaited[function.name] = scope.claim(naming.awaited(names[function.name]))
    return names


def _class(abi: Abi, function: Function) -> str:
    """The resource whose class has the function; empty if it is not a method."""
    return resource_name(abi.resolved, function) if function.sort is FunctionSort.METHOD else ""


def _annotations(abi: Abi, function: Function, taken: Bytes, given: Bytes) -> Iterator[str]:
    for parameter in function.parameters:
        yield abi.annotation(parameter.type, taken)
    yield abi.success(function, given)
