"""Packages: files, `deps/`, nested packages.

In: dice. Out: a `Project`: the texts of a file or of a directory with its `deps/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.witgen.helpers.writer.dice import FEATURES, VERSIONS, Dice, Gate, identifier
from tests.witgen.helpers.writer.interfaces import Body, Interface, Place, joined, write_interface
from tests.witgen.helpers.writer.layout import layout
from tests.witgen.helpers.writer.worlds import Includable, World, write_world

_NOT_WIT = {"README.md": "no WIT", "deps/notes.txt": "no WIT", "sub/z.wit": "not read"}


@dataclass(frozen=True, slots=True)
class Project:
    """Files by path, among them the one to resolve, or `.` for the whole directory; and the features that are on."""

    root: str
    files: Mapping[str, bytes]
    features: frozenset[str] = frozenset()
    all_features: bool = False

    def put(self, directory: Path) -> Path:
        """Write the files, and return the path to resolve."""
        for name, content in self.files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return directory / self.root


@dataclass(slots=True)
class File:
    """The items of a package that are in one file, and its names for interfaces and worlds."""

    items: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Package:
    """One package while it is written; packages refer to earlier ones only."""

    namespace: str
    name: str
    version: str | None
    files: list[File]
    interfaces: list[Interface] = field(default_factory=list)
    worlds: list[World] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return f"{self.namespace}:{self.name}@{self.version}"


def write_project(random: Random) -> Project:
    """A project that is valid, but for one in ten or so."""
    enabled = None if random.randrange(4) == 0 else frozenset(f for f in FEATURES if random.randrange(2))
    dice = Dice(random, enabled)
    packages: list[Package] = []
    names: set[str] = set()
    for _ in range(1 + dice.upto(3)):
        package = _empty_package(dice, names)
        _fill(dice, package, packages)
        packages.append(package)
    main = packages.pop() if dice.chance(80) else packages.pop(dice.upto(len(packages) - 1))
    is_directory = dice.chance(60)
    if not is_directory:
        for package in (main, *packages):
            package.files = [_merged(package.files)]
    texts = _deps(dice, main, packages) if is_directory else _nested(dice, [main], packages)
    root = "." if is_directory else "main.wit"
    files = _files(dice, main, "" if is_directory else "main.wit") | texts
    if is_directory:
        files |= {path: text.encode() for path, text in _NOT_WIT.items() if dice.chance(10) and path not in files}
        inside = [path for path in files if path.count("/") == 2]
        if inside and dice.chance(20):
            files[f"{inside[0].rpartition('/')[0]}/deps/y.wit"] = b"not read"
    return Project(root, files, enabled or frozenset(), enabled is None)


def _empty_package(dice: Dice, names: set[str]) -> Package:
    while True:
        version = None if dice.chance(40) else dice.pick(VERSIONS)
        files = [File() for _ in range(1 + dice.upto(2))]
        package = Package(dice.pick(("a", "b", "wasi", "use")), dice.pick(("x", "y", "io", "s8")), version, files)
        if str(package) not in names:
            names.add(str(package))
            return package


def _fill(dice: Dice, package: Package, others: list[Package]) -> None:
    """Write the interfaces and worlds, each into one of the files; they refer to earlier ones."""
    for _ in range(dice.upto(4)):
        gate, name, file = dice.gate(package.version, Gate()), dice.fresh(package.taken), dice.pick(package.files)
        body = write_interface(dice, _place(dice, package, others, file), gate)
        package.interfaces.append(Interface(package, name, gate, body.types, body.uses))
        _add(dice, file, f"interface {identifier(dice, name)}", body)
    for _ in range(dice.upto(3)):
        gate, name, file = dice.gate(package.version, Gate()), dice.fresh(package.taken), dice.pick(package.files)
        world = World(package, name, gate)
        worlds = [world for other in (*others, package) for world in other.worlds]
        includable = Includable(worlds, lambda included: _path(dice, package, included))
        body = write_world(dice, _place(dice, package, others, file), includable, world)
        package.worlds.append(world)
        _add(dice, file, f"world {identifier(dice, name)}", body)


def _place(dice: Dice, package: Package, others: list[Package], file: File) -> Place:
    usable = [interface for other in (*others, package) for interface in other.interfaces]
    aliases: dict[int, str] = {}

    def path(interface: Interface) -> str:
        if id(interface) not in aliases and dice.chance(15):
            aliases[id(interface)] = alias = dice.fresh(package.taken)
            file.items.append(f"use {_path(dice, package, interface)} as {identifier(dice, alias)} ;")
        if id(interface) in aliases:
            return identifier(dice, aliases[id(interface)])
        return _path(dice, package, interface)

    return Place(package, package.version, usable, path)


def _path(dice: Dice, package: Package, named: Interface | World) -> str:
    """The path of an interface or world in `package`."""
    other = named.package
    assert isinstance(other, Package)
    if other is package:
        return identifier(dice, named.name)
    version = f" @ {other.version}" if other.version else ""
    names = (identifier(dice, name) for name in (other.namespace, other.name, named.name))
    return "{} : {} / {}".format(*names) + version


def _add(dice: Dice, file: File, start: str, body: Body) -> None:
    file.items.append(joined(body.gate.text, start, "{", *dice.shuffled(body.items), "}"))


def _merged(files: list[File]) -> File:
    return File([item for file in files for item in file.items], [item for file in files for item in file.nested])


def _deps(dice: Dice, main: Package, packages: list[Package]) -> dict[str, bytes]:
    """The files of the other packages: a directory, a file, or nested in one of those."""
    hosts, nested = [main], []
    paths = []
    for number, package in enumerate(packages):
        if dice.chance(30):
            nested.append(package)
            continue
        hosts.append(package)
        if dice.chance(40):
            package.files = [_merged(package.files)]
            paths.append((package, f"deps/{dice.pick('zxcvb')}{number}.wit"))
        else:
            paths.append((package, f"deps/{dice.pick('zxcvb')}{number}/"))
    files = _nested(dice, hosts, nested)
    for package, path in paths:
        files |= _files(dice, package, path)
    return files


def _nested(dice: Dice, hosts: list[Package], packages: list[Package]) -> dict[str, bytes]:
    """Put packages into the files of others."""
    for package in packages:
        inside = dice.shuffled(_merged(package.files).items)
        dice.pick(dice.pick(hosts).files).nested.append(joined(f"{_header(dice, package)} {{", *inside, "}"))
    return {}


def _files(dice: Dice, package: Package, path: str) -> dict[str, bytes]:
    """The texts of a package; `path` is a file, or a directory that ends with `/`, or nothing for the root."""
    with_header = dice.upto(len(package.files) - 1)
    texts = {}
    for number, file in enumerate(package.files):
        tokens = joined(*dice.shuffled([*file.items, *file.nested]))
        documented = number == with_header
        if documented or dice.chance(30):
            text = layout(dice, joined(f"{_header(dice, package)} ;", tokens), comment_first=documented)
        else:
            text = layout(dice, tokens)
        texts[path if path.endswith(".wit") else f"{path}{dice.pick('abc')}{number}.wit"] = text.encode()
    return texts


def _header(dice: Dice, package: Package) -> str:
    version = f" @ {package.version}" if package.version else ""
    return f"package {identifier(dice, package.namespace)} : {identifier(dice, package.name)}{version}"
