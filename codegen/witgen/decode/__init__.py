"""Binaries → syntax: the WIT of a component, of a core module made for one, or of a package in the binary form.

In: the content of a `.wasm` or `.wat` file. Out: `Decoded`, the packages as if their WIT had been parsed, or a
`WitError` at an offset. The way through, one module for each step:

    wat         text form → bytes
    read        bytes → definitions, as they are written (with `binary`, `read_types`, `canonical`, `core_types`)
    evaluate    definitions → imports and exports with their types, indices followed
    interfaces  worlds → drafts of interfaces and worlds, in which types have names again (`names`)
    metadata    custom sections → documentation and gates
    writing     drafts and notes → syntax

Everything is limited in number and depth, so that a damaged or hostile file is refused, and soon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from witgen import syntax
from witgen.decode import drafts, read
from witgen.decode.binary import Reader
from witgen.decode.definitions import Code, Component
from witgen.decode.evaluate import Evaluation, Instance, Scope, Shape
from witgen.decode.interfaces import Interfaces
from witgen.decode.metadata import SECTION, Notes, read_notes
from witgen.decode.names import FullName, full_name, package_key
from witgen.decode.wat import binary_form
from witgen.decode.worlds import fill_world
from witgen.decode.writing import PackageKey, write_file
from witgen.diagnostics import WitError, whole_file
from witgen.syntax import Name, Span, at_offset

__all__ = ["Decoded", "decode"]

_OF_COMPONENT: PackageKey = ("root", "component", None)
_OF_CORE_MODULE: PackageKey = ("root", "root", None)
_WORLD = "root"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The main package, and the others of which only as much is known as the main one needs.

    A component, and a core module that will become one, have a package `root:component` or `root:root` with a world
    `root`, as WIT tools call them: their own names are not in the file.
    """

    main: syntax.File
    others: tuple[syntax.File, ...]
    is_package: bool


def decode(content: bytes, file: str) -> Decoded:
    """Read the WIT in a binary, or in its text form. Raises `WitError`."""
    data = binary_form(content, file)
    reader = Reader(file, data, 0, len(data))
    if read.is_component(reader):
        return _Decoding(file).component(reader)
    return _Decoding(file).core_module(reader)


class _Decoding:
    """Puts together everything that one file says."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._evaluation = Evaluation(file)
        self._interfaces = Interfaces(file, self._evaluation)
        self._notes: dict[PackageKey | None, Notes] = {}

    def component(self, reader: Reader) -> Decoded:
        """A component, or a package in the binary form."""
        component = read.read_component(reader)
        scope = self._scope(reader, component)
        if _is_package(scope):
            return self._decoded(self._package(scope), is_package=True)
        self._root(_OF_COMPONENT, [scope])
        return self._decoded(_OF_COMPONENT, is_package=False)

    def core_module(self, reader: Reader) -> Decoded:
        """A core module, which has a custom section with a world for each part that it was linked from."""
        sections = [body for name, body in read.read_core_module(reader) if name.startswith("component-type")]
        if not sections:
            hint = "give a component, or the WIT that the module was built for"
            raise WitError(
                "this is a core module that does not say which world it is for", whole_file(self._file), hint
            )
        scopes = [self._scope(body, read.read_component(body)) for body in sections]
        for scope in scopes:
            if not _is_package(scope):
                raise WitError("the world of a core module is expected here", self._place(scope.shape.offset))
            self._package(scope)
        worlds = [self._world_type(scope) for scope in scopes]
        self._root(_OF_CORE_MODULE, [self._evaluation.scope(world) for world in worlds])
        return self._decoded(_OF_CORE_MODULE, is_package=False)

    def _scope(self, reader: Reader, component: Component) -> Scope:
        for name, start, end in component.custom:
            if name == SECTION:
                package, notes = read_notes(reader.inside(start, end))
                self._notes[None if package is None else package_key(package, notes.place)] = notes
        return self._evaluation.component(component)

    def _package(self, scope: Scope) -> PackageKey:
        """Fill a package with the interfaces and worlds that a binary package exports the types of."""
        keys = {}
        for extern in scope.exports.values():
            shape, place = extern.entity, self._place(extern.name.offset)
            assert isinstance(shape, Shape)
            inner = self._evaluation.scope(shape)
            if len(inner.exports) != 1:
                raise WitError("an interface or a world in the binary form has one export", place)
            name, defined = next(iter(inner.exports.items()))
            path = full_name(name, place)
            keys[path.of_package] = place
            self._define(path, inner, defined.entity, place)
        if len(keys) > 1:
            raise WitError("the interfaces and worlds are of different packages", list(keys.values())[1])
        return next(iter(keys))

    def _define(self, path: FullName, scope: Scope, entity: object, place: Span) -> None:
        package = self._interfaces.packages.setdefault(path.of_package, drafts.Package())
        match entity:
            case Instance():
                for extern in scope.imports.values():
                    if isinstance(extern.entity, Instance):
                        used = self._interfaces.interface(full_name(extern.name.text, place), place)
                        self._interfaces.fill(used.body, extern.entity.exports.values())
                interface = self._interfaces.interface(path, place)
                self._interfaces.fill(interface.body, entity.exports.values())
            case Shape(code=Code.COMPONENT):
                world = package.worlds.setdefault(path.name, drafts.World(Name(path.name, place)))
                fill_world(self._interfaces, world, self._evaluation.scope(entity))
            case _:
                raise WitError(f"`{path}` is neither an interface nor a world", place)

    def _root(self, key: PackageKey, scopes: Iterable[Scope]) -> None:
        """A world for what has no name in the file."""
        world = drafts.World(Name(_WORLD, self._place(0)))
        for scope in scopes:
            fill_world(self._interfaces, world, scope)
        self._interfaces.packages.setdefault(key, drafts.Package()).worlds[_WORLD] = world

    def _world_type(self, scope: Scope) -> Shape:
        """The type of the component that a core module will be."""
        *_, extern = scope.exports.values()
        assert isinstance(extern.entity, Shape)
        *_, inner = self._evaluation.scope(extern.entity).exports.values()
        if not isinstance(inner.entity, Shape):
            raise WitError("the world of a core module is expected here", self._place(extern.name.offset))
        return inner.entity

    def _decoded(self, main: PackageKey, is_package: bool) -> Decoded:
        packages = self._interfaces.packages
        files = {
            key: write_file(self._file, key, package, self._notes_on(key, key == main))
            for key, package in packages.items()
        }
        return Decoded(files.pop(main), tuple(files.values()), is_package)

    def _notes_on(self, key: PackageKey, is_main: bool) -> Notes:
        return self._notes.get(key) or (is_main and self._notes.get(None)) or Notes(self._place(0), {})

    def _place(self, offset: int) -> Span:
        return at_offset(self._file, offset)


def _is_package(scope: Scope) -> bool:
    """Whether a component only exports types of components: that is how a package is written in the binary form."""
    shapes = [
        e.entity for e in scope.exports.values() if isinstance(e.entity, Shape) and e.entity.code is Code.COMPONENT
    ]
    return bool(shapes) and len(shapes) == len(scope.exports) and not scope.imports
