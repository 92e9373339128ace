"""Interfaces and worlds that are complete → syntax, with their documentation.

In: `drafts.Package`s, and the notes on them. Out: one `syntax.File` for each, whose items are in the order in which WIT
tools print them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from witgen import syntax
from witgen.decode import drafts
from witgen.decode.drafts import Body, Used
from witgen.decode.metadata import Notes
from witgen.decode.names import FullName, package_name
from witgen.syntax import Attributes, Name, Path, Span

PackageKey = tuple[str, str, str | None]


def write_file(file: str, key: PackageKey, package: drafts.Package, notes: Notes) -> syntax.File:
    """A package, as if it had been parsed."""
    interfaces = (_interface(key, each, notes.inside("interfaces", name)) for name, each in package.interfaces.items())
    worlds = (_world(key, each, notes.inside("worlds", name)) for name, each in package.worlds.items())
    items: tuple[syntax.Interface | syntax.World, ...] = (*interfaces, *worlds)
    place = items[0].span if items else notes.place
    return syntax.File(file, syntax.Header(package_name(key, place), notes.docs, place), items, place)


def _interface(key: PackageKey, interface: drafts.Interface, notes: Notes) -> syntax.Interface:
    span = interface.name.span
    items = (*_types(key, interface.body, notes), *_functions(interface.body.functions, notes))
    return syntax.Interface(interface.name, items, notes.docs, notes.attributes(), span)


def _functions(functions: Mapping[str, syntax.Function], notes: Notes) -> Iterator[syntax.Function]:
    for name, function in functions.items():
        yield _noted(function, notes.inside("funcs", name))


def _noted(function: syntax.Function, notes: Notes) -> syntax.Function:
    return replace(function, docs=notes.docs, attributes=notes.attributes(function.attributes.external_id))


# --- types ---


def _types(key: PackageKey, body: Body, notes: Notes) -> Iterator[syntax.Use | syntax.TypeDefinition]:
    """The types that are used from elsewhere, and then those that are defined here."""
    used = [
        (each, notes.inside("types", name).attributes(each.external_id))
        for name, each in body.types.items()
        if isinstance(each, Used)
    ]
    for (interface, attributes), group in groupby(used, key=lambda each: (each[0].interface, each[1])):
        yield _use(key, interface, attributes, [each for each, _ in group])
    for name, definition in body.types.items():
        if not isinstance(definition, Used):
            yield _definition(body, definition, notes, notes.inside("types", name))


def _use(key: PackageKey, interface: drafts.Interface, attributes: Attributes, names: Iterable[Used]) -> syntax.Use:
    written = tuple(
        syntax.UseName(
            Name(each.name, each.local.span), None if each.name == each.local.text else each.local, each.local.span
        )
        for each in names
    )
    return syntax.Use(_path(key, interface, written[0].span), written, attributes, written[0].span)


def _path(key: PackageKey, interface: drafts.Interface, place: Span) -> Path:
    """The path of an interface of a package, which is short in the same package."""
    name = interface.full_name
    assert isinstance(name, FullName)  # nothing can refer to an interface inside a world
    package = None if name.of_package == key else package_name(name.of_package, place)
    return Path(package, Name(name.name, place), place)


def _definition(body: Body, definition: syntax.TypeDefinition, of_body: Notes, notes: Notes) -> syntax.TypeDefinition:
    docs, attributes = notes.docs, notes.attributes(definition.attributes.external_id)
    match definition:
        case syntax.Record(fields=fields):
            noted = tuple(replace(each, docs=notes.inside("items", each.name.text).docs) for each in fields)
            return replace(definition, fields=noted, docs=docs, attributes=attributes)
        case syntax.Variant(cases=cases):
            with_docs = tuple(replace(each, docs=notes.inside("items", each.name.text).docs) for each in cases)
            return replace(definition, cases=with_docs, docs=docs, attributes=attributes)
        case syntax.Flags(flags=labels):
            return replace(definition, flags=_labels(labels, notes), docs=docs, attributes=attributes)
        case syntax.Enumeration(cases=labels):
            return replace(definition, cases=_labels(labels, notes), docs=docs, attributes=attributes)
        case syntax.Resource(name=name):
            members = tuple(_member(name.text, each, of_body) for each in body.members.get(name.text, ()))
            return replace(definition, members=members, docs=docs, attributes=attributes)
        case _:
            return replace(definition, docs=docs, attributes=attributes)


def _labels(labels: Iterable[syntax.Label], notes: Notes) -> tuple[syntax.Label, ...]:
    return tuple(replace(each, docs=notes.inside("items", each.name.text).docs) for each in labels)


def _member(resource: str, member: syntax.Function, notes: Notes) -> syntax.Function:
    own = "" if member.sort == "constructor" else f".{member.name.text}"
    return _noted(member, notes.inside("funcs", f"[{member.sort}]{resource}{own}"))


# --- worlds ---


def _world(key: PackageKey, world: drafts.World, notes: Notes) -> syntax.World:
    """Interfaces first, then types, then functions, then exports, since types may be those of imported interfaces."""
    imports = [
        syntax.Import(_extern(key, world, name, each, notes, "import"), each.place)
        for name, each in world.imports.items()
    ]
    functions = [syntax.Import(each, each.span) for each in _functions(world.body.functions, notes)]
    exports = [
        syntax.Export(_exported_function(world, each, notes), each.span)
        if isinstance(each, syntax.Function)
        else syntax.Export(_extern(key, world, name, each, notes, "export"), each.place)
        for name, each in world.exports.items()
    ]
    items = (*imports, *_types(key, world.body, notes), *functions, *exports)
    return syntax.World(world.name, items, notes.docs, notes.attributes(), world.name.span)


def _extern(
    key: PackageKey, world: drafts.World, name: str, instance: drafts.Instance, notes: Notes, direction: str
) -> syntax.Interface | syntax.InterfaceReference:
    interface, place = instance.interface, instance.place
    if interface.full_name is None:
        inside = notes.inside("interfaces", name)
        if direction == "export":
            inside = _notes_on_export(notes, "interface", name, name in world.imports)
        written = _interface(key, interface, inside)
        return replace(written, attributes=inside.attributes(instance.external_id))
    own = notes.of_reference(direction, name)
    attributes = own.attributes(instance.external_id)
    return syntax.InterfaceReference(instance.label, _path(key, interface, place), own.docs, attributes, place)


def _exported_function(world: drafts.World, function: syntax.Function, notes: Notes) -> syntax.Function:
    name = function.name.text
    return _noted(function, _notes_on_export(notes, "func", name, name in world.body.functions))


def _notes_on_export(notes: Notes, sort: str, name: str, is_imported: bool) -> Notes:
    """The notes on a plain name that is exported; in the first format they are among those on imports."""
    own = notes.inside(f"{sort}_exports", name)
    return own if own.data or is_imported else notes.inside(f"{sort}s", name)
