"""Interfaces → listed interfaces; and `use`, which worlds have as well.

In: the syntax of an interface. Out: `ListedInterface`: first the types that it uses from others, then its own, then its
functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from witgen import model, syntax
from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.model import InterfaceId, InterfaceOwner, TypeId
from witgen.resolver.distinct import distinctive, too_similar
from witgen.resolver.draft import NOWHERE, Draft, Listed, ListedInterface, TypeScope
from witgen.resolver.functions import list_function, list_members
from witgen.resolver.gates import stability
from witgen.resolver.plan import find_interface
from witgen.resolver.scopes import Foreign, Local
from witgen.resolver.types import define_types
from witgen.syntax import Name


def list_interface(draft: Draft, id: InterfaceId | None, written: syntax.Interface, file: int) -> ListedInterface:
    """List one interface, named or inside a world; `id` is `None` if it is hidden."""
    scope = TypeScope(None if id is None else InterfaceOwner(id))
    for item in written.items:
        if isinstance(item, syntax.Function):
            declare(draft.errors, scope, item.name, "a function")
        else:
            declare_types(draft.errors, scope, item)
    list_types(draft, scope, written.items, file)
    functions = {function.name: function for function in _functions(draft, scope, written)}
    return ListedInterface(id, written, scope.types, functions)


def _functions(draft: Draft, scope: TypeScope, written: syntax.Interface) -> Iterator[model.Function]:
    for item in written.items:
        if isinstance(item, syntax.Function):
            yield list_function(draft, scope, item)
        elif isinstance(item, syntax.Resource):
            yield from list_members(draft, scope, item)


def declare(errors: Errors, scope: TypeScope, name: Name, what: str) -> None:
    """Take a name in a scope, unless it is taken, which is an error."""
    before = scope.declared.setdefault(distinctive(name.text), name)
    if before.text != name.text:
        errors.add(too_similar(name.text, before.text, name.span))
    elif before is not name:
        hint = f"the first one is {before.span.within_file}"
        errors.add(WitError(f"`{name.text}` is defined twice", name.span, hint))
        scope.doubtful[name.text] = name
    if what != "a type":
        scope.others[name.text] = what


def declare_types(errors: Errors, scope: TypeScope, item: syntax.InterfaceItem | syntax.WorldItem) -> None:
    """Take the names of the types that an item adds to a scope."""
    if isinstance(item, syntax.Use):
        for used in item.names:
            declare(errors, scope, used.local, "a type")
    elif isinstance(item, syntax.TypeDefinition):
        declare(errors, scope, item.name, "a type")


def list_types(
    draft: Draft, scope: TypeScope, items: Iterable[syntax.InterfaceItem | syntax.WorldItem], file: int
) -> None:
    """List the types that a scope uses, then those that it defines."""
    items = list(items)
    scope.types.update({text: draft.stand_in(name) for text, name in scope.doubtful.items()})
    for item in items:
        if isinstance(item, syntax.Use):
            _list_use(draft, scope, item, file)
    define_types(draft, scope, items)


def _list_use(draft: Draft, scope: TypeScope, use: syntax.Use, file: int) -> None:
    gate, available = stability(use.attributes), None
    with draft.errors.caught():
        available = _available(draft, use, file)
    for used in use.names:
        if used.local.text in scope.doubtful:
            continue
        target = None
        with draft.errors.caught():
            target = available and _used_type(use, used, *available)
        listed = Listed(
            name=used.local.text,
            kind=model.Alias(NOWHERE if target is None else target),
            owner=scope.owner,
            docs=None,
            stability=gate,
            external_id=use.attributes.external_id,
            span=used.span,
        )
        scope.types[used.local.text] = draft.add_unknown(listed) if target is None else draft.add(listed)


def _used_type(
    use: syntax.Use, used: syntax.UseName, types: Mapping[str, TypeId], functions: Mapping[str, model.Function]
) -> TypeId:
    """The type that a name in a `use` means."""
    name = used.name
    if name.text in types:
        return types[name.text]
    where = f"interface `{use.path.name.text}`"
    if name.text in functions:
        raise WitError(f"`{name.text}` is a function of {where}", name.span, "only types can be used")
    raise WitError(f"{where} has no type `{name.text}`", name.span, did_you_mean(name.text, types))


def _available(
    draft: Draft, use: syntax.Use, file: int
) -> tuple[Mapping[str, TypeId], Mapping[str, model.Function]] | None:
    """The types and functions of the interface that a `use` names; `None` for a hidden `use` of another package."""
    target = draft.plan.scope.find(use.path, file)
    if isinstance(target, Foreign) and not draft.gates.keep(stability(use.attributes)):
        return None
    id = find_interface(draft.plan, draft.arena, use.path, file)
    if isinstance(target, Local):
        local = draft.interfaces[target.item.name.text]
        return local.types, local.functions
    if id is None:
        raise hidden("interface", use.path.name)
    foreign = draft.arena.interfaces[id]
    return foreign.types, foreign.functions


def hidden(what: str, name: Name) -> WitError:
    """The error for something kept that refers to something hidden."""
    hint = "enable the feature, or put the same gate here"
    return WitError(f"{what} `{name.text}` is hidden by a feature that is off", name.span, hint)
