"""Type expressions and type definitions → draft types.

In: the syntax of types and the scope they stand in. Out: references, with the unnamed types that they need
listed before them, inner ones first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from witgen import model, syntax
from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.model import Kind, Primitive, Stability, TypeId, TypeRef
from witgen.resolver.draft import Draft, Listed, TypeScope
from witgen.resolver.gates import stability
from witgen.resolver.order import Cycle, first_ready
from witgen.syntax import Docs, Name

_MAP_KEYS = {p for p in Primitive if p not in (Primitive.F32, Primitive.F64, Primitive.ERROR_CONTEXT)}
_OLD_NAMES = {"float32": "f32", "float64": "f64"}


def define_types(draft: Draft, scope: TypeScope, items: Sequence[syntax.InterfaceItem | syntax.WorldItem]) -> None:
    """List the definitions of a scope, each after those that it mentions, and stand-ins for those with errors.

    Names from a `use` have their place in the order as well, although they are listed already.
    """
    definitions = [item for item in items if isinstance(item, syntax.TypeDefinition)]
    by_name = {d.name.text: d for d in definitions if d.name.text not in scope.types}
    mentions: dict[str, list[Name]] = {}
    for item in items:
        if isinstance(item, syntax.Use):
            mentions.update((used.local.text, []) for used in item.names)
        elif isinstance(item, syntax.TypeDefinition) and item.name.text in by_name:
            mentions[item.name.text] = list(_mentions(by_name[item.name.text]))
    order = first_ready({name: [m for m in found if m.text in mentions] for name, found in mentions.items()})
    if isinstance(order, Cycle):
        name, hint = order.reference, "a type may not contain itself"
        draft.errors.add(WitError(f"type `{name.text}` depends on itself", name.span, hint))
        scope.types.update({name: draft.stand_in(definition.name) for name, definition in by_name.items()})
    else:
        for ready in order:
            if ready in by_name:
                scope.types[ready] = _define(draft, scope, by_name[ready])


def reference(draft: Draft, scope: TypeScope, written: syntax.Type, gate: Stability | None = None) -> TypeRef:
    """The type that an expression refers to; unnamed types made for it get `gate`."""
    match written:
        case syntax.Primitive():
            return Primitive(written.keyword)
        case syntax.Named():
            return _lookup(draft, scope, written.name)
        case syntax.Own():
            return _resource(draft, scope, written.resource)
        case _:
            return draft.anonymous(_kind(draft, scope, written, gate), gate, written.span)


def _define(draft: Draft, scope: TypeScope, definition: syntax.TypeDefinition) -> TypeId:
    gate = stability(definition.attributes)
    kind = _definition_kind(draft, scope, definition, gate)
    fields = definition.fields if isinstance(definition, syntax.Record) else ()
    return draft.add(
        Listed(
            definition.name.text,
            kind,
            scope.owner,
            docs_text(definition.docs),
            gate,
            definition.attributes.external_id,
            definition.name.span,
            tuple(field.name.span for field in fields),
        )
    )


def _definition_kind(draft: Draft, scope: TypeScope, definition: syntax.TypeDefinition, gate: Stability | None) -> Kind:
    match definition:
        case syntax.TypeAlias():
            return _kind(draft, scope, definition.type, gate)
        case syntax.Resource():
            return model.Resource()
        case syntax.Record(fields=fields):
            _distinct(draft.errors, (field.name for field in fields), "field", definition.name)
            return model.Record(
                tuple(
                    model.Field(field.name.text, reference(draft, scope, field.type, gate), docs_text(field.docs))
                    for field in fields
                )
            )
        case syntax.Variant(cases=cases):
            _distinct(draft.errors, (case.name for case in cases), "case", definition.name)
            _not_empty(draft.errors, cases, "variant", definition.name)
            return model.Variant(
                tuple(
                    model.Case(case.name.text, _optional(draft, scope, case.type, gate), docs_text(case.docs))
                    for case in cases
                )
            )
        case syntax.Flags(flags=flags):
            _distinct(draft.errors, (flag.name for flag in flags), "flag", definition.name)
            return model.Flags(_labels(flags))
        case syntax.Enumeration(cases=labels):
            _distinct(draft.errors, (label.name for label in labels), "case", definition.name)
            _not_empty(draft.errors, labels, "enum", definition.name)
            return model.EnumKind(_labels(labels))
        case _:
            assert_never(definition)


def _kind(draft: Draft, scope: TypeScope, written: syntax.Type, gate: Stability | None) -> Kind:
    """The kind of an expression that defines a type of its own."""
    match written:
        case syntax.Primitive() | syntax.Named():
            return model.Alias(reference(draft, scope, written, gate))
        case syntax.Own():
            return model.Own(_resource(draft, scope, written.resource))
        case syntax.Borrow():
            return model.Borrow(_resource(draft, scope, written.resource))
        case syntax.Tuple():
            return model.Tuple(tuple(reference(draft, scope, item, gate) for item in written.items))
        case syntax.List():
            item = reference(draft, scope, written.item, gate)
            return model.List(item) if written.length is None else model.FixedLengthList(item, written.length)
        case syntax.Map():
            return _map_kind(draft, scope, written, gate)
        case syntax.Option():
            return model.Option(reference(draft, scope, written.item, gate))
        case syntax.Result():
            ok = _optional(draft, scope, written.ok, gate)
            return model.Result(ok, _optional(draft, scope, written.err, gate))
        case syntax.Future():
            return model.Future(_optional(draft, scope, written.item, gate))
        case syntax.Stream():
            return model.Stream(_optional(draft, scope, written.item, gate))
        case _:
            assert_never(written)


def _map_kind(draft: Draft, scope: TypeScope, written: syntax.Map, gate: Stability | None) -> model.Map:
    key = reference(draft, scope, written.key, gate)
    is_unknown = isinstance(written.key, syntax.Named) and written.key.name.text not in scope.types
    if key not in _MAP_KEYS and not is_unknown:
        hint = "a key is bool, char, string or an integer type, written as such"
        draft.errors.add(WitError("this type cannot be the key of a map", written.span, hint))
    return model.Map(key, reference(draft, scope, written.value, gate))


def _optional(draft: Draft, scope: TypeScope, written: syntax.Type | None, gate: Stability | None) -> TypeRef | None:
    return None if written is None else reference(draft, scope, written, gate)


def _labels(labels: Iterable[syntax.Label]) -> tuple[model.Label, ...]:
    return tuple(model.Label(label.name.text, docs_text(label.docs)) for label in labels)


def docs_text(docs: Docs | None) -> str | None:
    """The text of docs, if there are any."""
    return None if docs is None else docs.text


# --- names in types ---


def _lookup(draft: Draft, scope: TypeScope, name: Name) -> TypeId:
    """The type of this name; a stand-in if there is none, which is an error."""
    found = scope.types.get(name.text)
    if found is not None:
        return found
    message, hint = f"type `{name.text}` is not defined", _hint(draft, scope, name.text)
    if name.text in scope.others:
        message, hint = f"`{name.text}` is the name of {scope.others[name.text]}", "a type is expected here"
    draft.errors.add(WitError(message, name.span, hint))
    return draft.stand_in(name)


def _resource(draft: Draft, scope: TypeScope, name: Name) -> TypeId:
    found = _lookup(draft, scope, name)
    if draft.resource(found) is None:
        hint = "only a resource, or an alias of one, has handles"
        draft.errors.add(WitError(f"type `{name.text}` is not a resource", name.span, hint))
    return found


def _hint(draft: Draft, scope: TypeScope, name: str) -> str | None:
    if name in _OLD_NAMES:
        return f"write `{_OLD_NAMES[name]}`"
    near = did_you_mean(name, scope.types)
    if near:
        return near
    for interface, local in draft.plan.scope.declared.items():
        items = local.item.items if isinstance(local.item, syntax.Interface) else ()
        if any(isinstance(item, syntax.TypeDefinition) and item.name.text == name for item in items):
            return f"interface `{interface}` has one; add `use {interface}.{{{name}}};`"
    return did_you_mean(name, (primitive.value for primitive in Primitive))


def _mentions(definition: syntax.TypeDefinition) -> Iterator[Name]:
    """The names in a definition, from left to right. The members of a resource are not part of it."""
    match definition:
        case syntax.TypeAlias():
            yield from _names(definition.type)
        case syntax.Record():
            for field in definition.fields:
                yield from _names(field.type)
        case syntax.Variant():
            for case in definition.cases:
                yield from _names(case.type)


def _names(written: syntax.Type | None) -> Iterator[Name]:
    match written:
        case syntax.Named():
            yield written.name
        case syntax.Own() | syntax.Borrow():
            yield written.resource
        case syntax.Tuple():
            for item in written.items:
                yield from _names(item)
        case syntax.List() | syntax.Option() | syntax.Future() | syntax.Stream():
            yield from _names(written.item)
        case syntax.Map():
            yield from _names(written.key)
            yield from _names(written.value)
        case syntax.Result():
            yield from _names(written.ok)
            yield from _names(written.err)
        case syntax.Primitive() | None:
            pass
        case _:
            assert_never(written)


# --- checks ---


def _distinct(errors: Errors, names: Iterable[Name], what: str, owner: Name) -> None:
    seen: dict[str, Name] = {}
    for name in names:
        before = seen.setdefault(name.text.lower(), name)
        if before is not name:
            twice = f"has a {what} `{name.text}` twice"
            if before.text != name.text:
                twice = f"has {what}s `{before.text}` and `{name.text}`, which differ only in case"
            errors.add(WitError(f"`{owner.text}` {twice}", name.span, "rename one of them"))


def _not_empty(errors: Errors, cases: Sequence[object], what: str, name: Name) -> None:
    if not cases:
        errors.add(WitError(f"{what} `{name.text}` has no cases", name.span, "add at least one"))
