"""Interfaces → listed interfaces; and `use`, which worlds have as well.

In: the syntax of an interface. Out: `ListedInterface`: first the types that it uses from others, then its own, then its
functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from witgen import model, syntax
from witgen.diagnostics import WitError, did_you_mean
from witgen.model import InterfaceId, InterfaceOwner, TypeId
from witgen.resolve.draft import Draft, Listed, ListedInterface, TypeScope
from witgen.resolve.functions import list_function, list_members
from witgen.resolve.gates import stability
from witgen.resolve.plan import find_interface
from witgen.resolve.scopes import Foreign, Local
from witgen.resolve.types import define_types
from witgen.syntax import Name


def list_interface(draft: Draft, id: InterfaceId | None, written: syntax.Interface, file: int) -> ListedInterface:
    """List one interface, named or inside a world; `id` is `None` if it is hidden."""
    scope = TypeScope(None if id is None else InterfaceOwner(id))
    for item in written.items:
        if isinstance(item, syntax.Function):
            declare(scope, item.name, "a function")
        else:
            declare_types(scope, item)
    list_types(draft, scope, written.items, file)
    functions: list[model.Function] = []
    for item in written.items:
        if isinstance(item, syntax.Function):
            functions.append(list_function(draft, scope, item))
        elif isinstance(item, syntax.Resource):
            functions.extend(list_members(draft, scope, item))
    return ListedInterface(id, written, scope.types, functions)


def declare(scope: TypeScope, name: Name, what: str) -> None:
    """Take a name in a scope. Raises `WitError` if it is taken."""
    before = scope.declared.setdefault(name.text, name)
    if before is not name:
        raise WitError(f"`{name.text}` is defined twice", name.span, f"the first one is in line {before.span.line}")
    if what != "a type":
        scope.others[name.text] = what


def declare_types(scope: TypeScope, item: syntax.InterfaceItem | syntax.WorldItem) -> None:
    """Take the names of the types that an item brings into a scope."""
    if isinstance(item, syntax.Use):
        for used in item.names:
            declare(scope, used.local, "a type")
    elif isinstance(item, syntax.TypeDefinition):
        declare(scope, item.name, "a type")


def list_types(
    draft: Draft, scope: TypeScope, items: Iterable[syntax.InterfaceItem | syntax.WorldItem], file: int
) -> None:
    """List what a scope uses, then what it defines."""
    items = list(items)
    for item in items:
        if isinstance(item, syntax.Use):
            _list_use(draft, scope, item, file)
    define_types(draft, scope, [item for item in items if isinstance(item, syntax.TypeDefinition)])


def _list_use(draft: Draft, scope: TypeScope, use: syntax.Use, file: int) -> None:
    gate = stability(use.attributes)
    for used in use.names:
        target = _used_type(draft, use, used, file)
        listed = Listed(
            name=used.local.text,
            kind=model.Alias(-1 if target is None else target),
            owner=scope.owner,
            docs=None,
            stability=gate,
            external_id=use.attributes.external_id,
            span=used.span,
        )
        scope.types[used.local.text] = draft.add_unknown(listed) if target is None else draft.add(listed)
    if not use.names:
        _names_of(draft, use, file)


def _used_type(draft: Draft, use: syntax.Use, used: syntax.UseName, file: int) -> TypeId | None:
    """The type that a name in a `use` means, or `None` where a feature hides the `use` of another package's type."""
    names = _names_of(draft, use, file)
    name = used.name
    if names is None:
        return None
    types, functions = names
    if name.text in types:
        return types[name.text]
    where = f"interface `{use.path.name.text}`"
    if name.text in functions:
        raise WitError(f"`{name.text}` is a function of {where}", name.span, "only types can be used")
    raise WitError(f"{where} has no type `{name.text}`", name.span, did_you_mean(name.text, types))


def _names_of(draft: Draft, use: syntax.Use, file: int) -> tuple[Mapping[str, TypeId], set[str]] | None:
    """The types and functions of the interface that a `use` names; `None` for a hidden `use` of another package."""
    target = draft.plan.scope.find(use.path, file)
    if isinstance(target, Foreign) and not draft.gates.keep(stability(use.attributes)):
        return None
    id = find_interface(draft.plan, draft.arena, use.path, file)
    if isinstance(target, Local):
        local = draft.interfaces[target.item.name.text]
        return local.types, {function.name for function in local.functions}
    if id is None:
        raise hidden("interface", use.path.name)
    foreign = draft.arena.interfaces[id]
    return foreign.types, set(foreign.functions)


def hidden(what: str, name: Name) -> WitError:
    """The error for something kept that refers to something hidden."""
    hint = "enable the feature, or put the same gate here"
    return WitError(f"{what} `{name.text}` is hidden by a feature that is off", name.span, hint)
