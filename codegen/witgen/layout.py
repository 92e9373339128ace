"""The modules of a generated package, and the names of everything in them.

In: the resolved model and a world. Out: a `Layout`: one `Module` for each interface that the world imports or exports
and one for the world itself, each with its `Names`. Imported interfaces are modules of the package, exported ones of
its subpackage `exports`; the world is the package's `__init__`. If a world has an interface more than once, as an
import, an export or under a label, its types without handles are the same in all of them, and are in the imported one.

An interface that an existing package has, as `mappings` says, is a `Module` of that package: it has the names of the
types there, and no functions. It takes the place of the import; an export of the interface is generated as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from witgen import naming
from witgen.lists import Lists
from witgen.model import (
    Alias,
    Function,
    FunctionItem,
    FunctionSort,
    InterfaceId,
    InterfaceItem,
    InterfaceOwner,
    Own,
    PackageId,
    PackageName,
    Parameter,
    Primitive,
    Resolved,
    Result,
    TypeId,
    TypeItem,
    Variant,
    World,
    WorldId,
    WorldItem,
    WorldKey,
)
from witgen.traits import Refusal, refusal_of_function, traits
from witgen.wasi import imports_of_wasi


@dataclass(slots=True)
class Names:
    """The names of the types and functions of one module; further names are claimed from `scope`.

    The types in `left_out` have no name, as hosts in Python cannot have them. Functions have their full WIT names as
    keys, and are named by `members`: `awaited` are the coroutines that call exported ones that are `async`, `calls` the
    constants that stand for exported ones.
    """

    scope: naming.Scope
    types: dict[TypeId, str] = field(default_factory=dict)
    left_out: list[TypeId] = field(default_factory=list)
    cases: dict[tuple[TypeId, str], str] = field(default_factory=dict)
    errors: dict[TypeId, str] = field(default_factory=dict)
    constants: dict[TypeId, str] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stub:
    """A function that cannot be bound, and why."""

    function: Function
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the package.

    `path` leads to it from the package, whose own `__init__` has an empty one. `interface` is absent for the world.
    `name` is the name in WIT, `link_name` that of the instance in components. `remark` is the documentation of the
    import or export in the world, in addition to the interface's own `docs`. The host serves `imported` functions and
    calls `exported` ones; `traps` are imported and `stubs` are exported ones that cannot be bound. `existing` is the
    full name of a module of an existing package, whose `path` is empty.
    """

    path: tuple[str, ...]
    name: str
    link_name: str
    docs: str | None
    remark: str | None
    interface: InterfaceId | None
    is_export: bool
    imported: tuple[Function, ...]
    exported: tuple[Function, ...]
    names: Names
    traps: tuple[Stub, ...] = ()
    stubs: tuple[Stub, ...] = ()
    existing: str = ""


class Layout:
    """The modules of one world. `imports` and `exports` are in the order of their names.

    `existing` are the imported interfaces that existing packages have, in the order of their names in WIT. `traits` are
    those of all types, `packages` those of the world and of its interfaces. `async_hosts` says whether the functions of
    hosts are coroutines. With `partial`, functions that cannot be bound are traps and stubs of their modules. With
    `without_wasi`, imports that the engine defines are left out, and `has_wasi` says whether there are any. `lists` is
    the Python type of lists of numbers.
    """

    def __init__(
        self,
        resolved: Resolved,
        world_id: WorldId,
        existing: Mapping[InterfaceId, str] | None = None,
        async_hosts: bool = False,
        partial: bool = False,
        without_wasi: bool = False,
        lists: Lists = Lists.LIST,
    ) -> None:
        self.resolved = resolved
        self.async_hosts = async_hosts
        self.lists = lists
        self._partial = partial
        world = resolved.worlds[world_id]
        self._raised = _raised(resolved)
        self.traits = traits(resolved)
        self._found: dict[tuple[InterfaceId, bool], Module] = {}
        mapped = [self._existing(interface, module) for interface, module in (existing or {}).items()]
        by_name = sorted(mapped, key=lambda module: module.link_name)
        self.existing = tuple(module for module in by_name if module.interface in world.imports)
        wasi = {*imports_of_wasi(resolved, world)} if without_wasi else set()
        self.has_wasi = bool(wasi)
        self._imported = {key for key in world.imports if not isinstance(key, str)} - wasi | (existing or {}).keys()
        elsewhere = wasi | (existing or {}).keys()
        generated = {key: item for key, item in world.imports.items() if key not in elsewhere}
        self.imports = tuple(self._interfaces(generated, is_export=False))
        self.exports = tuple(self._interfaces(world.exports, is_export=True))
        self.world = self._world(world)
        ids = [resolved.interfaces[module.interface].package for module in self.modules if module.interface is not None]
        self.packages = tuple(resolved.packages[id] for id in dict.fromkeys([world.package, *ids]))

    @property
    def modules(self) -> tuple[Module, ...]:
        """All modules that are generated, that of the world itself last."""
        return (*self.imports, *self.exports, self.world)

    def owner(self, type_id: TypeId, seen_from: Module) -> Module:
        """The module of a named type, for a reference from the module `seen_from`.

        Exported interfaces refer to exported ones if the world exports these too, and to imported ones otherwise.
        """
        owner = self.resolved.types[type_id].owner
        if not isinstance(owner, InterfaceOwner):
            return self.world
        imported = self._found.get((owner.interface, False))
        if imported is not None and not self.traits[type_id].has_handle:
            return imported
        if owner.interface == seen_from.interface:
            return seen_from
        exported = self._found.get((owner.interface, True)) if seen_from.is_export else None
        return exported or imported or seen_from

    def methods(self, resource: TypeId) -> list[Function]:
        """The methods of a resource of the host, in every package that has it."""
        owner = self.resolved.types[resource].owner
        functions: Iterable[Function] = self.world.imported
        if isinstance(owner, InterfaceOwner):
            functions = self.resolved.interfaces[owner.interface].functions.values()
        return [
            function
            for function in functions
            if function.resource == resource
            and function.sort is FunctionSort.METHOD
            and refusal_of_function(self.resolved, self.traits, function, is_export=False) is None
        ]

    def _interfaces(self, items: Mapping[WorldKey, WorldItem], is_export: bool) -> Iterable[Module]:
        found = [(key, item) for key, item in items.items() if isinstance(item, InterfaceItem)]
        scope = naming.Scope() if is_export else naming.package()
        names = naming.modules(scope, [self._spellings(key, item) for key, item in found])
        modules = []
        for (key, item), name in zip(found, names, strict=True):
            module = self._interface(key, item, name, is_export)
            modules.append(module)
            # Other interfaces mean the one that goes by its path; labels are for the world alone.
            if not isinstance(key, str):
                self._found[item.interface, is_export] = module
        return sorted(modules, key=lambda module: module.path)

    def _interface(self, key: WorldKey, item: InterfaceItem, name: str, is_export: bool) -> Module:
        interface = self.resolved.interfaces[item.interface]
        label = key if isinstance(key, str) else None
        link_name = label or self._package(item).of(interface.name or "")
        wit_name = interface.name or link_name
        functions, unbound = self._bound(interface.functions.values(), is_export)
        types: Iterable[TypeId] = interface.types.values()
        if item.interface in self._imported and (is_export or label):
            types = [type_id for type_id in types if self.traits[type_id].has_handle]
        return Module(
            path=("exports", name) if is_export else (name,),
            name=wit_name,
            link_name=link_name,
            docs=interface.docs,
            remark=item.docs,
            interface=item.interface,
            is_export=is_export,
            imported=() if is_export else functions,
            exported=functions if is_export else (),
            names=self._names(naming.module(), wit_name, types),
            traps=() if is_export else unbound,
            stubs=unbound if is_export else (),
        )

    def _bound(self, functions: Iterable[Function], is_export: bool) -> tuple[tuple[Function, ...], tuple[Stub, ...]]:
        """The functions to bind, and those to make stubs of. What no component can have is no stub, but refused."""
        bound, unbound = list[Function](), list[Stub]()
        for function in functions:
            refusal = refusal_of_function(self.resolved, self.traits, function, is_export)
            if not self._partial or refusal is None or refusal.is_universal:
                bound.append(function)
            else:
                unbound.append(Stub(function, refusal))
        return tuple(bound), tuple(unbound)

    def _existing(self, id: InterfaceId, module: str) -> Module:
        """The module of an existing package that an interface is."""
        interface = self.resolved.interfaces[id]
        name = interface.name or ""
        found = self._found[id, False] = Module(
            path=(),
            name=name,
            link_name=self.resolved.packages[interface.package].name.of(name),
            docs=None,
            remark=None,
            interface=id,
            is_export=False,
            imported=(),
            exported=(),
            names=self._names(naming.module(), name, interface.types.values(), interface.package),
            existing=module,
        )
        return found

    def _spellings(self, key: WorldKey, item: InterfaceItem) -> list[str]:
        if isinstance(key, str):
            return [key]
        return naming.spellings(self._package(item), str(self.resolved.interfaces[item.interface].name))

    def _package(self, item: InterfaceItem) -> PackageName:
        return self.resolved.packages[self.resolved.interfaces[item.interface].package].name

    def _world(self, world: World) -> Module:
        types = [item.type for item in world.imports.values() if isinstance(item, TypeItem)]
        (imported, traps), (exported, stubs) = (
            self._bound((item.function for item in items.values() if isinstance(item, FunctionItem)), is_export)
            for items, is_export in ((world.imports, False), (world.exports, True))
        )
        below = [module.path[-1] for module in (*self.imports, *self.exports)]
        return Module(
            path=(),
            name=world.name,
            link_name=self.resolved.packages[world.package].name.of(world.name),
            docs=world.docs,
            remark=None,
            interface=None,
            is_export=False,
            imported=imported,
            exported=exported,
            names=self._names(naming.module(below), world.name, types),
            traps=traps,
            stubs=stubs,
        )

    def _names(
        self, scope: naming.Scope, owner: str, types: Iterable[TypeId], raisers: PackageId | None = None
    ) -> Names:
        """Types are named first, so that names that are derived from them get the underscores.

        `raisers` is the package whose functions decide which types have an exception; without it, all functions do.
        """
        names = Names(scope)
        declared = {type_id: self._wit_name(type_id) for type_id in types if self._is_declared(type_id)}
        names.left_out.extend(type_id for type_id in declared if self.traits[type_id].refusal is not None)
        declared = {type_id: name for type_id, name in declared.items() if self.traits[type_id].refusal is None}
        for type_id, name in declared.items():
            names.types[type_id] = scope.claim(naming.pascal(name))
        for type_id, name in declared.items():
            kind = self.resolved.types[type_id].kind
            if isinstance(kind, Variant):
                for case in kind.cases:
                    names.cases[type_id, case.name] = scope.claim(naming.case(name, case.name))
        for type_id, name in declared.items():
            packages = self._raised.get(type_id, set())
            if packages and raisers in (None, *packages):
                names.errors[type_id] = scope.claim(naming.error(owner, name))
        for type_id, name in declared.items():
            names.constants[type_id] = scope.claim(naming.constant(name))
        return names

    def _wit_name(self, type_id: TypeId) -> str:
        return self.resolved.types[type_id].name or ""

    def _is_declared(self, type_id: TypeId) -> bool:
        """Whether the type is declared here; a name from a `use` is not."""
        definition = self.resolved.types[type_id]
        if not isinstance(definition.kind, Alias) or isinstance(definition.kind.target, Primitive):
            return True
        return self.resolved.types[definition.kind.target].owner == definition.owner


def resource_name(resolved: Resolved, function: Function) -> str:
    """The resource that a method, static function or constructor belongs to; empty for all others."""
    return "" if function.resource is None else resolved.types[function.resource].name or ""


def written(function: Function) -> tuple[Parameter, ...]:
    """The parameters that were written, which do not include the `self` of a method."""
    return function.parameters[1:] if function.sort is FunctionSort.METHOD else function.parameters


def error_type(resolved: Resolved, result: Result) -> TypeId | None:
    """The named type that a result's error is, handles and aliases followed."""
    kind = None if result.err is None else resolved.kind(result.err)
    error = kind.resource if isinstance(kind, Own) else result.err
    if error is None or isinstance(error, Primitive):
        return None
    found = resolved.origin(error)
    return None if resolved.types[found].name is None else found


def _raised(resolved: Resolved) -> dict[TypeId, set[PackageId]]:
    """Every type that is the error of a function, with the packages of such functions."""
    functions = [(i.package, function) for i in resolved.interfaces for function in i.functions.values()]
    for world in resolved.worlds:
        items = (*world.imports.values(), *world.exports.values())
        functions += [(world.package, item.function) for item in items if isinstance(item, FunctionItem)]
    raised: dict[TypeId, set[PackageId]] = {}
    for package, function in functions:
        result = resolved.result(function)
        error = None if result is None else error_type(resolved, result)
        if error is not None:
            raised.setdefault(error, set()).add(package)
    return raised
