"""Everything in a world that hosts in Python do not support, as one error.

In: a `Layout`. Out: nothing, or the `WitError`. A function that is not a stub is refused at its place. A type that only
hosts in Python cannot have is left out of the package, since no function that is bound uses it. A type that no
component can have is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from witgen.diagnostics import Errors, WitError
from witgen.layout import Layout, Module
from witgen.traits import refusal_of_function

MOST = 1000  # refusals that are reported together, enough for all of them

_LONGEST = 252  # characters of the name of a module, whose file systems have 255 for it and `.py`


def check(layout: Layout) -> None:
    """Raise `WitError` for everything in the world that cannot be bound."""
    errors = Errors(MOST)
    for module in layout.modules:
        for error in (*_long(layout, module), *_functions(layout, module), *_types(layout, module)):
            errors.add(error)
    imports = (*layout.existing, *layout.imports)
    for error in (*_similar(layout, imports, "imported"), *_similar(layout, layout.exports, "exported")):
        errors.add(error)
    errors.check()


def _long(layout: Layout, module: Module) -> Iterator[WitError]:
    """An interface whose module no file can be called after."""
    if module.interface is not None and module.path and len(module.path[-1]) > _LONGEST:
        message = f"interface `{module.name}` cannot be bound: the name of its module has {len(module.path[-1])} "
        place = layout.resolved.interfaces[module.interface].span
        yield WitError(f"{message}characters (limit {_LONGEST})", place, "give it a shorter name")


def _functions(layout: Layout, module: Module) -> Iterator[WitError]:
    functions = [*((each, False) for each in module.imported), *((each, True) for each in module.exported)]
    for function, is_export in functions:
        refusal = refusal_of_function(layout.resolved, layout.traits, function, is_export)
        if refusal is not None:
            message = f"function `{function.name}` cannot be bound: {refusal.what}"
            hint = refusal.hint if refusal.is_universal else f"{refusal.hint}; --partial makes a stub of it"
            yield WitError(message, function.span, hint)


def _types(layout: Layout, module: Module) -> Iterator[WitError]:
    for type_id in module.names.left_out:
        refusal, definition = layout.traits[type_id].refusal, layout.resolved.types[type_id]
        if refusal is not None and refusal.is_universal:
            yield WitError(f"type `{definition.name}` cannot be bound: {refusal.what}", definition.span, refusal.hint)


def _similar(layout: Layout, modules: Iterable[Module], verb: str) -> Iterator[WitError]:
    """Interfaces that a component cannot tell apart, since their names differ only in case."""
    interfaces = layout.resolved.interfaces
    places = {module.link_name: interfaces[module.interface].span for module in modules if module.interface is not None}
    seen: dict[str, str] = {}
    for name, place in sorted(places.items(), key=lambda entry: (entry[1].file, entry[1].line, entry[1].column)):
        before = seen.setdefault(name.lower(), name)
        if before != name:
            message = f"`{before}` and `{name}` cannot both be {verb}: they differ only in case"
            yield WitError(message, place, "a component cannot tell them apart; rename one of them")
