"""What templates print: flat dataclasses of final strings, in final order.

In: the resolved model and a world. Out: one `PackageView` with an `InterfaceView` for each interface that the world
imports. All choosing, sorting and naming is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from witgen import naming
from witgen.abi import Abi, Code, Import, raised_types, refused_at
from witgen.diagnostics import WitError
from witgen.model import (
    EnumKind,
    Function,
    FunctionSort,
    Interface,
    InterfaceId,
    InterfaceItem,
    Parameter,
    Resolved,
    Resource,
    Result,
    TypeDef,
    TypeId,
    WorldId,
)


@dataclass(frozen=True, slots=True)
class ImportView:
    """`from module import names`."""

    module: str
    names: str


_FUTURE = (ImportView("__future__", "annotations"),)


@dataclass(frozen=True, slots=True)
class AliasView:
    """A type alias."""

    name: str
    annotation: str
    docs: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """One member of an enum; `literal` is the WIT's name, quoted."""

    name: str
    literal: str
    docs: str


@dataclass(frozen=True, slots=True)
class EnumView:
    """A WIT enum."""

    name: str
    docs: str
    cases: tuple[CaseView, ...]


@dataclass(frozen=True, slots=True)
class FunctionView:
    """A function as an implementation has it; `parameters` begins with `self`."""

    name: str
    parameters: str
    returns: str
    docs: str


@dataclass(frozen=True, slots=True)
class ResourceView:
    """A WIT resource: its Protocol, and the constant that stands for its type."""

    name: str
    constant: str
    literal: str
    docs: str
    methods: tuple[FunctionView, ...]


@dataclass(frozen=True, slots=True)
class ErrorView:
    """The exception that carries an error type."""

    name: str
    carries: str
    docs: str


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One module; `definitions` are the calls that define its functions in the linker."""

    module: str
    full_name: str
    docs: str
    imports: tuple[tuple[ImportView, ...], ...]
    exported: tuple[str, ...]
    aliases: tuple[AliasView, ...]
    enums: tuple[EnumView, ...]
    resources: tuple[ResourceView, ...]
    errors: tuple[ErrorView, ...]
    functions: tuple[FunctionView, ...]
    definitions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageView:
    """One generated package: the imports of a world."""

    source: str
    world: str
    docs: str
    interfaces: tuple[InterfaceView, ...]


def view_world(resolved: Resolved, world_id: WorldId) -> PackageView:
    """The package for a world; raises `WitError` at what Python hosts cannot do."""
    world = resolved.worlds[world_id]
    # An interface that is imported under its own name has its id for a key; inline ones and labels have other keys.
    bound = [
        item.interface
        for key, item in world.imports.items()
        if isinstance(item, InterfaceItem) and key == f"interface-{item.interface}"
    ]
    if world.exports or len(bound) < len(world.imports):
        raise WitError(
            f"world `{world.name}` cannot be bound: it has more than imports of named interfaces",
            world.span,
            "bindings for exports, labels, bare functions and types of a world are not supported",
        )
    raised = raised_types(resolved)
    interfaces = [_InterfaceViews(resolved, interface, raised).view() for interface in bound]
    package = resolved.packages[world.package]
    return PackageView(
        source=str(package.name),
        world=world.name,
        docs=_docs(world.docs, f"The imports of the world `{world.name}`."),
        interfaces=tuple(sorted(interfaces, key=lambda interface: interface.module)),
    )


class _InterfaceViews:
    """Builds the view of one interface, and notes what its module has to import."""

    def __init__(self, resolved: Resolved, interface_id: InterfaceId, raised: AbstractSet[TypeId]) -> None:
        self.resolved = resolved
        self.raised = raised
        self.interface: Interface = resolved.interfaces[interface_id]
        self.name = self.interface.name or ""
        self.abi = Abi(resolved, interface_id)
        self.needs: set[Import] = {Import("wit_host", "Linker")}

    def view(self) -> InterfaceView:
        aliases = tuple(self._aliases())
        enums = tuple(self._enums())
        resources = tuple(self._resources())
        errors = tuple(self._errors())
        functions = tuple(self._host_functions())
        definitions = tuple(self._definition(function) for function in self.interface.functions.values())
        names = [view.name for group in (aliases, enums, resources, errors) for view in group]
        names += [view.constant for view in resources]
        self._note_standard_imports(bool(aliases), bool(enums), bool(resources or functions), bool(resources))
        package = self.resolved.packages[self.interface.package].name
        return InterfaceView(
            module=naming.module(self.name),
            full_name=package.of(self.name),
            docs=_docs(self.interface.docs, f"The interface `{self.name}`."),
            imports=_imports(self.needs),
            exported=tuple(sorted([*names, "add_to_linker", *(["Host"] if functions else [])], key=_as_ruff_sorts)),
            aliases=aliases,
            enums=enums,
            resources=resources,
            errors=errors,
            functions=functions,
            definitions=definitions,
        )

    def _note_standard_imports(self, aliases: bool, enums: bool, protocols: bool, resources: bool) -> None:
        wanted = {
            Import("typing", "TypeAlias"): aliases,
            Import("enum", "Enum"): enums,
            Import("typing", "Protocol"): protocols,
            Import("wit_host", "Resource"): resources,
        }
        self.needs |= {needed for needed, is_wanted in wanted.items() if is_wanted}

    def _use(self, code: Code) -> str:
        self.needs |= code.needs
        return code.text

    def _types(self) -> Iterator[tuple[str, TypeId, TypeDef]]:
        for name, type_id in self.interface.types.items():
            yield name, type_id, self.resolved.types[type_id]

    def _aliases(self) -> Iterator[AliasView]:
        for name, type_id, definition in self._types():
            with refused_at(f"type `{name}`", definition.span):
                annotation = self.abi.alias(type_id)
            if annotation is not None:
                yield AliasView(naming.type_(name), self._use(annotation), _docs(definition.docs, ""))

    def _enums(self) -> Iterator[EnumView]:
        for name, _, definition in self._types():
            if isinstance(definition.kind, EnumKind):
                cases = definition.kind.cases
                yield EnumView(
                    name=naming.type_(name),
                    docs=_docs(definition.docs, f"The enum `{name}`."),
                    cases=tuple(CaseView(naming.case(c.name), f'"{c.name}"', _docs(c.docs, "")) for c in cases),
                )

    def _resources(self) -> Iterator[ResourceView]:
        for name, type_id, definition in self._types():
            if isinstance(definition.kind, Resource):
                members = [function for function in self.interface.functions.values() if function.resource == type_id]
                methods = [function for function in members if function.sort is FunctionSort.METHOD]
                yield ResourceView(
                    name=naming.type_(name),
                    constant=naming.constant(name),
                    literal=f'"{name}"',
                    docs=_docs(definition.docs, f"The resource `{name}`."),
                    methods=tuple(self._function(method, naming.function(_last(method))) for method in methods),
                )

    def _errors(self) -> Iterator[ErrorView]:
        """One exception for each type of this interface that some result has as its error."""
        for name, type_id, _ in self._types():
            if type_id in self.raised:
                self.needs.add(Import("wit_host", "ResultError"))
                yield ErrorView(
                    name=naming.error(self.name, name),
                    carries=naming.type_(name),
                    docs=f"Raise it to answer a call with an error: `value` is the `{name}`.",
                )

    def _host_functions(self) -> Iterator[FunctionView]:
        for function in self.interface.functions.values():
            if function.sort is not FunctionSort.METHOD:
                yield self._function(function, self._host_name(function))

    def _host_name(self, function: Function) -> str:
        """What a function that belongs to no object is called in the interface's `Host`."""
        if function.resource is None:
            return naming.function(function.name)
        resource = self._resource_name(function)
        if function.sort is FunctionSort.CONSTRUCTOR:
            return naming.function(f"new-{resource}")
        return naming.function(f"{resource}-{_last(function)}")

    def _function(self, function: Function, name: str) -> FunctionView:
        with refused_at(f"function `{function.name}`", function.span):
            if function.is_async:
                self.abi.refuse("async")
            parameters = [
                f"{naming.parameter(parameter.name)}: {self._use(self.abi.parameter(parameter.type))}"
                for parameter in _written(function)
            ]
            returns = self._use(self.abi.returned(function.result))
            raises = self._raises(function)
        return FunctionView(
            name=name,
            parameters=", ".join(["self", *parameters]),
            returns=returns,
            docs=_docs(function.docs, f"The function `{_last(function)}`.", raises),
        )

    def _raises(self, function: Function) -> str:
        kind = None if function.result is None else self.resolved.kind(function.result)
        return f"Raises `{self.abi.error(kind).text}` to answer with an error." if isinstance(kind, Result) else ""

    def _definition(self, function: Function) -> str:
        """One line of `add_to_linker`."""
        with refused_at(f"function `{function.name}`", function.span):
            codecs = ", ".join(self._use(self.abi.codec(parameter.type)) for parameter in _written(function))
            result = "None" if function.result is None else self._use(self.abi.result_codec(function.result))
        if function.sort is not FunctionSort.METHOD or function.resource is None:
            return f'instance.function("{function.name}", host.{self._host_name(function)}, [{codecs}], {result})'
        resource = self._use(self.abi.resource(function.resource))
        method = f"{naming.type_(self._resource_name(function))}.{naming.function(_last(function))}"
        return f'instance.method({resource}, "{_last(function)}", {method}, [{codecs}], {result})'

    def _resource_name(self, function: Function) -> str:
        resource = None if function.resource is None else self.resolved.types[function.resource].name
        return resource or ""


def _written(function: Function) -> tuple[Parameter, ...]:
    """The parameters as they were written: without a method's `self`."""
    return function.parameters[1:] if function.sort is FunctionSort.METHOD else function.parameters


def _last(function: Function) -> str:
    """The name behind `[method]resource.`; a plain name as it is."""
    return function.name.rsplit("]", 1)[-1].rsplit(".", 1)[-1]


def _imports(needs: Iterable[Import]) -> tuple[tuple[ImportView, ...], ...]:
    """One statement for each module and each renamed thing; the standard library, other packages, then this one."""
    statements: dict[tuple[int, str, bool, str], list[str]] = {}
    for needed in sorted(needs, key=lambda needed: (needed.module, _as_ruff_sorts(needed.name))):
        group = 2 if needed.module.startswith(".") else 1 if needed.module == "wit_host" else 0
        renamed = " as " in needed.name
        key = (group, needed.module, renamed, needed.name if renamed else "")
        statements.setdefault(key, []).append(needed.name)
    groups: dict[int, list[ImportView]] = {}
    for (group, module, *_), names in sorted(statements.items()):
        groups.setdefault(group, []).append(ImportView(module, ", ".join(names)))
    return (_FUTURE, *(tuple(groups[group]) for group in sorted(groups)))


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _docs(written: str | None, otherwise: str, appendix: str = "") -> str:
    """The text of a docstring, ready to stand between three quotation marks."""
    text = "\n\n".join(part for part in ((written or otherwise).strip(), appendix) if part)
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f"{text} " if text.endswith('"') else text
