"""One file of the package, with everything in it: an interface, the world itself, or the list of exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from witgen import naming
from witgen.abi import Abi, relative
from witgen.layout import Layout, Module, Stub
from witgen.lists import Lists
from witgen.members import name_functions
from witgen.model import Function, FunctionSort, Primitive, Resource
from witgen.own import own_resources
from witgen.view.docs import docstring
from witgen.view.functions import call_constant, definition, exported_functions, host_functions, stub, trap
from witgen.view.shapes import ConstantView, FunctionView, GuestView, HostView, LinkerView, MemberView, ModuleView
from witgen.view.types import constant_views, error_views, type_views


def interface_module(layout: Layout, module: Module, runtime: str) -> ModuleView:
    """An interface that the world imports or exports."""
    abi = Abi(layout, module)
    name_functions(abi)
    what = "Calls of guests that export" if module.is_export else "Host bindings of"
    what += f" the interface `{module.link_name}`."
    written = [text for text in (module.docs, module.remark) if text] or [f"The interface `{module.name}`."]
    docs = docstring(None, *written, what, _left_out(abi), _unbound(module))
    host = _host(abi, "this interface") if _has_host(module) else None
    guest = _interface_guest(abi) if module.is_export else None
    linker = None if module.is_export else _interface_linker(abi, host)
    return _module(abi, docs, runtime, host, guest, linker)


def world_module(layout: Layout, runtime: str) -> ModuleView:
    """The package itself: the items of the world, and the modules below it."""
    abi = Abi(layout, layout.world)
    name_functions(abi)
    world = layout.world
    what = f"Host bindings of the world `{world.link_name}`."
    wasi = "Imports of WASI are left out, because `Linker.add_wasi` defines them." if layout.has_wasi else ""
    more = (what, wasi, _left_out(abi), _unbound(world), _existing(layout), *_packages(layout))
    docs = docstring(world.docs, f"The world `{world.name}`.", *more)
    host = _host(abi, "this world") if _has_host(world) else None
    guest = _world_guest(abi) if world.exported or world.stubs or layout.exports else None
    linker = _world_linker(abi, host) if world.imported or world.traps or layout.imports else None
    below = [*(module.path[-1] for module in layout.imports), *(["exports"] if layout.exports else [])]
    view = _module(abi, docs, runtime, host, guest, linker, below)
    if linker is None:
        return view
    buffers = tuple(f'"{module.link_name}"' for module in layout.imports if _has_bytes(abi, module))
    return replace(view, buffers=buffers, exported=(*view.exported, "BUFFERS"))


def _left_out(abi: Abi) -> str:
    """A sentence about the types in WIT that this module lacks."""
    module = abi.module
    names = ", ".join(f"`{abi.resolved.types[type_id].name}`" for type_id in module.names.left_out)
    which = "no function below" if module.traps or module.stubs else "no function"
    return f"Left out, as {which} uses it and hosts in Python cannot have it: {names}." if names else ""


def _unbound(module: Module) -> str:
    """Lists of the functions that hosts in Python can neither serve nor call yet."""
    served = "Hosts in Python cannot serve these functions yet, so a guest that calls one is stopped:"
    called = "Hosts in Python cannot call these functions yet, so each raises `NotImplementedError`:"
    parts = [[what, _listed(stubs)] for what, stubs in ((served, module.traps), (called, module.stubs)) if stubs]
    return "\n\n".join(part for each in parts for part in each)


def _listed(stubs: Sequence[Stub]) -> str:
    return "\n".join(f"- `{each.function.name}`: {each.refusal.what}." for each in stubs)


def _existing(layout: Layout) -> str:
    """A list of the imports that existing packages have."""
    if not layout.existing:
        return ""
    lines = [f"- `{module.link_name}` is `{module.existing}`." for module in layout.existing]
    what = "These imports are modules of existing packages, whose own `add_to_linker` defines them and whose own\n"
    return "\n".join([f"{what}`BUFFERS` has those with `list<u8>` in them:\n", *lines])


def _packages(layout: Layout) -> Iterator[str]:
    """The documentation of the packages."""
    for package in layout.packages:
        if package.docs and package.docs.strip():
            yield f"The package `{package.name}`:"
            yield package.docs


def _has_bytes(abi: Abi, module: Module) -> bool:
    types = [each.type for function in module.imported for each in function.parameters]
    types += [function.result for function in module.imported if function.result is not None]
    return any(not isinstance(type_, Primitive) and abi.traits[type_].has_bytes for type_ in types)


def exports_module(layout: Layout) -> ModuleView:
    """The list of exported interfaces."""
    names = tuple(module.path[-1] for module in layout.exports)
    docs = f"The interfaces that guests of the world `{layout.world.name}` export, one module for each."
    return ModuleView("exports/__init__.py", docs, (f"from . import {', '.join(names)}",), names)


def _module(
    abi: Abi,
    docs: str,
    runtime: str,
    host: HostView | None,
    guest: GuestView | None,
    linker: LinkerView | None,
    below: Sequence[str] = (),
) -> ModuleView:
    calls = tuple(call_constant(abi, function) for function in abi.module.exported)
    types = tuple(type_views(abi))
    errors = tuple(error_views(abi))
    constants = tuple(constant_views(abi))
    variables = tuple(ConstantView(name, value) for name, value in abi.variables())
    exported = [each.name for group in (types, errors, constants) for each in group]
    exported += [case.name for each in types for case in each.cases]
    exported += [name for name, has in (("Host", host), ("Guest", guest), ("add_to_linker", linker)) if has]
    path = abi.module.path
    return ModuleView(
        file="/".join(path) + ".py" if path else "__init__.py",
        docs=docs,
        imports=_imports(abi, runtime, below),
        exported=(*exported, *below),
        variables=variables,
        types=types,
        errors=errors,
        host=host,
        guest=guest,
        constants=constants,
        calls=calls,
        linker=linker,
    )


def _imports(abi: Abi, runtime: str, below: Sequence[str]) -> tuple[str, ...]:
    """Everything that the module may need; ruff removes unused imports, and merges and sorts the rest."""
    path = abi.module.path
    if runtime.startswith("."):
        runtime = relative(path, tuple(runtime[1:].split(".")))
    fixed = [f"from {module} import {', '.join(names)}" for module, names in naming.STANDARD.items()]
    if abi.layout.lists is Lists.NUMPY:
        fixed += [f"from {module} import {', '.join(names)}" for module, names in naming.NUMPY.items()]
    fixed += [f"from {runtime} import {', '.join(naming.RUNTIME)}, values as wit"]
    return (*fixed, *(f"from . import {name}" for name in below), *abi.imports)


# --- for hosts to implement ---


def _host(abi: Abi, of: str) -> HostView:
    docs = f"The functions of {of} for a host to implement, except methods."
    if abi.layout.async_hosts:
        docs += "\n\nThey are coroutines, so the guest has to run under asyncio."
    functions = _free(abi.module.imported)
    with abi.generic(functions) as parameters:
        return HostView(docs, tuple(host_functions(abi, functions)), parameters)


def _host_of_any(abi: Abi, module: Module) -> str:
    """The class of the hosts of a module, whatever classes of resources they have."""
    count = len(own_resources(abi.resolved, abi.traits, _free(module.imported)))
    return f"Host[{', '.join(['Any'] * count)}]" if count else "Host"


def _has_host(module: Module) -> bool:
    return bool(_free(module.imported))


def _free(functions: Sequence[Function]) -> list[Function]:
    """The functions that are not methods of an object."""
    return [function for function in functions if function.sort is not FunctionSort.METHOD]


def _interface_linker(abi: Abi, host: HostView | None) -> LinkerView:
    lines = tuple(_definitions(abi, "instance", "host"))
    instance = f'linker.instance("{abi.module.link_name}")'
    return LinkerView(
        f"linker: Linker, host: {_host_of_any(abi, abi.module)}" if host else "linker: Linker",
        f"Define this interface in `linker`{', served by `host`' if host else ''}.",
        (f"instance = {instance}", *lines) if lines else (f"{instance}  # it has types only",),
    )


def _world_linker(abi: Abi, host: HostView | None) -> LinkerView:
    local = naming.Scope(module.path[-1] for module in abi.layout.imports)
    linker, root, own_host = (local.claim(name) for name in ("linker", "root", "host"))
    parameters = [f"{linker}: Linker", *([f"{own_host}: {_host_of_any(abi, abi.module)}"] if host else [])]
    lines = list(_definitions(abi, root, own_host))
    if lines:
        lines.insert(0, f"{root} = {linker}.root()")
    for module in abi.layout.imports:
        name = module.path[-1]
        arguments = [linker]
        if _has_host(module):
            arguments.append(local.claim(naming.host(name)))
            parameters.append(f"{arguments[-1]}: {name}.{_host_of_any(abi, module)}")
        lines.append(f"{name}.add_to_linker({', '.join(arguments)})")
    elsewhere = ["those of WASI"] if abi.layout.has_wasi else []
    elsewhere += ["those that are modules of existing packages"] if abi.layout.existing else []
    docs = f"Define every import of the world{', except ' if elsewhere else ''}{' and '.join(elsewhere)}."
    return LinkerView(", ".join(parameters), docs, tuple(lines))


def _definitions(abi: Abi, instance: str, host: str) -> Iterator[str]:
    for type_id in abi.module.names.types:
        if isinstance(abi.resolved.types[type_id].kind, Resource):
            yield f"{instance}.resource({abi.resource(type_id)})"
    for function in abi.module.imported:
        yield definition(abi, function, instance, host)
    for unbound in abi.module.traps:
        yield trap(unbound, instance)


# --- implemented by guests ---


_LINK_ERROR = "Raises `LinkError` if the guest lacks any part of it."


def _interface_guest(abi: Abi) -> GuestView:
    name = abi.module.link_name
    init = _guest_init(abi, f'"{name}"')
    docs = docstring(None, f"The interface `{name}` of one guest.", _LINK_ERROR)
    return GuestView(docs, init, (*exported_functions(abi, _free(abi.module.exported)), *_stubs(abi)))


def _stubs(abi: Abi) -> list[FunctionView]:
    """The stubs that are not methods of an object."""
    return [stub(abi, each) for each in abi.module.stubs if each.function.sort is not FunctionSort.METHOD]


def _world_guest(abi: Abi) -> GuestView:
    module = abi.module
    functions = (*exported_functions(abi, module.exported), *_stubs(abi))
    docs = docstring(None, f"The exports of one guest of the world `{module.name}`.", _LINK_ERROR)
    return GuestView(docs, _guest_init(abi, "None"), functions, tuple(_guest_attributes(abi, functions)))


def _guest_attributes(abi: Abi, functions: Sequence[FunctionView]) -> Iterator[MemberView]:
    """The exported interfaces, beside the exported functions."""
    names = naming.Scope(["self", *(function.name for function in functions)])
    for module in abi.layout.exports:
        name = module.path[-1]
        yield MemberView(names.claim(name), f"exports.{name}.Guest(instance)", docstring(module.remark or module.docs))


def _guest_init(abi: Abi, name: str) -> str:
    calls = ", ".join(abi.module.names.calls[function.name] for function in abi.module.exported)
    return f"super().__init__(instance, {name}, [{calls}])"
