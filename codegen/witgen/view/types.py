"""Types → classes, aliases and the constants that stand for them.

In: the types that a module declares. Out: their views, each type after those that it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from witgen import naming
from witgen.abi import Abi, Bytes
from witgen.model import Case, EnumKind, Field, Flags, Function, FunctionSort, Label, Record, TypeDef, TypeId, Variant
from witgen.traits import CLASSES
from witgen.view.docs import docstring
from witgen.view.functions import exported_functions, host_functions, stub
from witgen.view.shapes import CaseView, ConstantView, ErrorView, FunctionView, MemberView, TypeView


def type_views(abi: Abi) -> Iterator[TypeView]:
    """The classes and aliases of a module."""
    for type_id, definition in _declared(abi):
        if isinstance(definition.kind, CLASSES):
            yield _class(abi, type_id, definition)
        elif abi.has_name(abi.resolved.origin(type_id)):
            name, annotation = abi.module.names.types[type_id], abi.alias(type_id)
            yield TypeView("alias", name, docstring(definition.docs), annotation=annotation)


def constant_views(abi: Abi) -> Iterator[ConstantView]:
    """The constants that stand for the types of a module at the boundary."""
    for type_id, _ in _declared(abi):
        if abi.has_constant(type_id):
            yield ConstantView(abi.module.names.constants[type_id], abi.constant(type_id))


def error_views(abi: Abi) -> Iterator[ErrorView]:
    """One exception for each type of a module that some function has as its error."""
    names = abi.module.names
    for type_id, definition in _declared(abi):
        if type_id in names.errors and abi.has_name(abi.resolved.origin(type_id)):
            docs = f"The error of a call: `value` is the `{definition.name}`."
            yield ErrorView(names.errors[type_id], names.types[type_id], docs)


def _declared(abi: Abi) -> list[tuple[TypeId, TypeDef]]:
    """Types refer to lower ids only, so that order is one in which each comes after those that it is made of."""
    return [(type_id, abi.resolved.types[type_id]) for type_id in sorted(abi.module.names.types)]


def _class(abi: Abi, type_id: TypeId, definition: TypeDef) -> TypeView:
    match definition.kind:
        case Record(fields=fields):
            with abi.generic_type(type_id) as parameters:
                annotations = [abi.annotation(field.type, Bytes.KEPT) for field in fields]
            names = naming.members((field.name for field in fields), annotations)
            view = _view("record", abi, type_id, members=_members(names, annotations, fields))
            return replace(view, parameters=parameters)
        case EnumKind(cases=labels):
            names = naming.cases(label.name for label in labels)
            return _view("enum", abi, type_id, members=_members(names, [f'"{label.name}"' for label in labels], labels))
        case Flags(flags=labels):
            names = naming.cases(label.name for label in labels)
            return _view("flags", abi, type_id, members=_members(names, ["auto()"] * len(names), labels))
        case Variant(cases=cases):
            return _view("variant", abi, type_id, cases=tuple(_case(abi, type_id, case) for case in cases))
        case _ if abi.module.is_export:
            return _view("guest_resource", abi, type_id, methods=_methods(abi, type_id, exported_functions))
        case _:
            with abi.generic(abi.layout.methods(type_id)) as parameters:
                view = _view("resource", abi, type_id, methods=_methods(abi, type_id, host_functions))
            return replace(view, parameters=parameters)


def _view(
    template: str,
    abi: Abi,
    type_id: TypeId,
    members: tuple[MemberView, ...] = (),
    cases: tuple[CaseView, ...] = (),
    methods: tuple[FunctionView, ...] = (),
) -> TypeView:
    definition = abi.resolved.types[type_id]
    docs = docstring(definition.docs, f"The {template.replace('guest_', '')} `{definition.name}`.")
    return TypeView(template, abi.module.names.types[type_id], docs, "", members, cases, methods)


def _members(names: Sequence[str], values: Sequence[str], written: Sequence[Field | Label]) -> tuple[MemberView, ...]:
    together = zip(names, values, written, strict=True)
    return tuple(MemberView(name, value, docstring(each.docs)) for name, value, each in together)


def _case(abi: Abi, type_id: TypeId, case: Case) -> CaseView:
    with abi.generic_type(case.type) as parameters:
        annotation = "" if case.type is None else abi.annotation(case.type, Bytes.KEPT)
    docs = docstring(case.docs, f"The case `{case.name}`.")
    return CaseView(abi.module.names.cases[type_id, case.name], annotation, docs, parameters)


def _methods(
    abi: Abi, type_id: TypeId, views: Callable[[Abi, Iterable[Function]], Iterator[FunctionView]]
) -> tuple[FunctionView, ...]:
    functions = (*abi.module.imported, *abi.module.exported)
    members = [f for f in functions if f.resource == type_id and f.sort is FunctionSort.METHOD]
    unbound = [s for s in abi.module.stubs if s.function.resource == type_id and s.function.sort is FunctionSort.METHOD]
    return (*views(abi, members), *(stub(abi, each) for each in unbound))
