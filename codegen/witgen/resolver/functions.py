"""Functions → draft functions.

In: the syntax of a function or of a resource's members, and the scope it stands in. Out: `model.Function`s over draft
ids, with their full names and, for methods, the `self` parameter.
"""

from __future__ import annotations

from collections.abc import Iterator

from witgen import model, syntax
from witgen.diagnostics import Errors, WitError
from witgen.model import FunctionSort, TypeId, TypeRef
from witgen.resolver.distinct import distinctive, too_similar
from witgen.resolver.draft import Draft, TypeScope
from witgen.resolver.gates import stability
from witgen.resolver.types import docs_text, reference
from witgen.syntax import Name


def list_function(draft: Draft, scope: TypeScope, written: syntax.Function) -> model.Function:
    """A function that belongs to an interface or world itself."""
    parameters = _parameters(draft, scope, written)
    return _function(written, written.name.text, None, parameters, _result(draft, scope, written))


def list_members(draft: Draft, scope: TypeScope, resource: syntax.Resource) -> Iterator[model.Function]:
    """The functions of a resource, in source order."""
    _distinct_members(draft.errors, resource)
    owner = scope.types[resource.name.text]
    for member in resource.members:
        yield _member(draft, scope, resource.name.text, owner, member)


def _member(draft: Draft, scope: TypeScope, resource: str, owner: TypeId, written: syntax.Function) -> model.Function:
    match written.sort:
        case "constructor":
            parameters = _parameters(draft, scope, written)
            result = _constructed(draft, scope, resource, owner, written.type.result)
            return _function(written, _full_name(resource, written), owner, parameters, result)
        case "static":
            parameters = _parameters(draft, scope, written)
        case _:
            borrowed = draft.anonymous(model.Borrow(owner), None, written.name.span)
            parameters = (model.Parameter("self", borrowed), *_parameters(draft, scope, written))
    return _function(written, _full_name(resource, written), owner, parameters, _result(draft, scope, written))


def _full_name(resource: str, member: syntax.Function) -> str:
    return f"[{member.sort}]{resource}" + ("" if member.sort == "constructor" else f".{member.name.text}")


def _function(
    written: syntax.Function,
    name: str,
    resource: TypeId | None,
    parameters: tuple[model.Parameter, ...],
    result: TypeRef | None,
) -> model.Function:
    return model.Function(
        name=name,
        sort=FunctionSort(written.sort),
        resource=resource,
        is_async=written.type.is_async,
        parameters=parameters,
        result=result,
        docs=docs_text(written.docs),
        stability=stability(written.attributes),
        external_id=written.attributes.external_id,
        span=written.name.span,
    )


def _parameters(draft: Draft, scope: TypeScope, written: syntax.Function) -> tuple[model.Parameter, ...]:
    """The parameters, whose names have to differ from each other and from a method's `self`."""
    seen: dict[str, Name] = {}
    for name in (parameter.name for parameter in written.type.parameters):
        before = seen.setdefault(distinctive(name.text), name)
        if written.sort == "method" and distinctive(name.text) == "self":
            hint = "every method has a parameter `self` already"
            draft.errors.add(WitError(f"parameter `{name.text}` is declared twice", name.span, hint))
        elif before.text != name.text:
            draft.errors.add(too_similar(name.text, before.text, name.span))
        elif before is not name:
            draft.errors.add(WitError(f"parameter `{name.text}` is declared twice", name.span, "rename one of them"))
    return tuple(model.Parameter(p.name.text, reference(draft, scope, p.type)) for p in written.type.parameters)


def _result(draft: Draft, scope: TypeScope, written: syntax.Function) -> TypeRef | None:
    return None if written.type.result is None else reference(draft, scope, written.type.result)


def _constructed(draft: Draft, scope: TypeScope, resource: str, owner: TypeId, written: syntax.Type | None) -> TypeRef:
    """A constructor makes its resource, which need not be written, or a `result` with it."""
    if written is None:
        return owner
    hint = f"leave it out, or write `result<{resource}>` or `result<{resource}, …>`"
    if not isinstance(written, syntax.Result) or written.ok is None:
        message = f"a constructor of `{resource}` cannot have this result"
        draft.errors.add(WitError(message, written.span, hint))
    elif reference(draft, scope, written.ok) != owner:
        message = f"a constructor of `{resource}` cannot make another type"
        draft.errors.add(WitError(message, written.ok.span, hint))
    return reference(draft, scope, written)


def _distinct_members(errors: Errors, resource: syntax.Resource) -> None:
    """One constructor; methods and static functions share their names, and none is that of the resource."""
    seen: dict[str, Name] = {}
    for member in resource.members:
        name, full = member.name, _full_name(resource.name.text, member)
        before = seen.setdefault(full if member.sort == "constructor" else distinctive(full), name)
        if before.text != name.text:
            errors.add(too_similar(name.text, before.text, name.span))
        elif before is not name:
            what = "a constructor" if member.sort == "constructor" else f"a function `{name.text}`"
            hint = f"the first one is {before.span.within_file}"
            errors.add(WitError(f"resource `{resource.name.text}` has {what} twice", name.span, hint))
        elif member.sort != "constructor" and distinctive(full) == distinctive(resource.name.text):
            errors.add(too_similar(full, resource.name.text, name.span))
