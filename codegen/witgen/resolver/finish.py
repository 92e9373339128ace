"""Listed types → finished types, with final ids and owned handles.

In: a `Draft` with everything of a package listed. Out: types in the arena, and the functions that were listed over
finished ids. A reference to a resource in a value's place becomes a handle: one `Own` for each resource or alias and
package, put in front of the first type that needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain, repeat

from witgen import model
from witgen.diagnostics import WitError
from witgen.kinds import rewritten
from witgen.model import Own, Primitive, TypeId, TypeRef
from witgen.resolver.draft import Draft, Listed
from witgen.syntax import Span


@dataclass(slots=True)
class Finished:
    """Final ids of the draft's types, in the same order; `None` for a type that is hidden."""

    draft: Draft
    ids: list[TypeId | None] = field(default_factory=list)
    _handles: dict[TypeId, TypeId] = field(default_factory=dict)

    def known(self, reference: TypeId) -> TypeId | None:
        """The final id, or `None` if the type is hidden."""
        return reference if reference < self.draft.base else self.ids[reference - self.draft.base]

    def id(self, reference: TypeId, place: Span) -> TypeId:
        """The same type by its final id. For one that is hidden, an error at `place`, an empty record stands in."""
        finished = self.known(reference)
        if finished is not None:
            return finished
        self.draft.errors.add(_hidden(self.draft.types[reference - self.draft.base], place))
        return self.draft.arena.add(model.TypeDef(None, model.Record(()), None, None, None, None, place))

    def name(self, reference: TypeRef, place: Span) -> TypeRef:
        """The same type, as the target of an alias."""
        return reference if isinstance(reference, Primitive) else self.id(reference, place)

    def part(self, reference: TypeRef, place: Span) -> TypeRef:
        """The type as part of a value: a resource becomes an owned handle."""
        reference = self.name(reference, place)
        if isinstance(reference, Primitive) or self.draft.arena.resource(reference) is None:
            return reference
        if reference not in self._handles:
            span = self.draft.arena.types[reference].span
            handle = model.TypeDef(None, Own(reference), None, None, None, None, span)
            self._handles[reference] = self.draft.arena.add(handle)
        return self._handles[reference]


def finish_types(draft: Draft) -> Finished:
    """Move the listed types into the arena, in order and without the hidden ones."""
    finished = Finished(draft)
    for listed in draft.types:
        finished.ids.append(_finish_type(finished, listed) if draft.gates.keep(listed.stability) else None)
    return finished


def _finish_type(finished: Finished, listed: Listed) -> TypeId:
    if listed.name is not None and listed.owner is None:
        hint = "put the same gate on it as around it"
        message = f"type `{listed.name}` is kept inside something that is hidden"
        finished.draft.errors.add(WitError(message, listed.span, hint))
    places = chain(listed.places, repeat(listed.span))
    kind = rewritten(
        listed.kind,
        part=lambda reference: finished.part(reference, next(places)),
        name=lambda reference: finished.id(reference, listed.span),
        target=lambda reference: finished.name(reference, listed.span),
    )
    return finished.draft.arena.add(
        model.TypeDef(listed.name, kind, listed.owner, listed.docs, listed.stability, listed.external_id, listed.span)
    )


def finish_functions(finished: Finished, functions: Iterable[model.Function]) -> dict[str, model.Function]:
    """The functions that are kept, by name."""
    return {f.name: finish_function(finished, f) for f in functions if finished.draft.gates.keep(f.stability)}


def finish_function(finished: Finished, function: model.Function) -> model.Function:
    """The function over finished ids. It may not mention anything hidden, nor return a borrow."""
    place = function.span
    resource = None if function.resource is None else finished.id(function.resource, place)
    parameters = tuple(replace(p, type=finished.part(p.type, place)) for p in function.parameters)
    returned = None if function.result is None else finished.part(function.result, place)
    if returned is not None and finished.draft.arena.borrows(returned):
        hint = "a borrow ends with the call; return an owned handle"
        message = f"the result of `{function.name}` has a borrowed handle in it"
        finished.draft.errors.add(WitError(message, place, hint))
    return replace(function, resource=resource, parameters=parameters, result=returned)


def _hidden(listed: Listed, place: Span) -> WitError:
    what = f"type `{listed.name}`" if listed.name else "a type"
    feature = listed.stability.feature if listed.stability else None
    hint = f"enable the feature, or put `@unstable(feature = {feature})` here too"
    return WitError(f"this refers to {what} that needs feature `{feature}`, which is off", place, hint)
