"""The dataclasses of the view. Every string is final Python source, up to formatting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MemberView:
    """A field with its annotation, an enum case with its literal, a flag, or an attribute with its value."""

    name: str
    value: str
    docs: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """The class of one case of a variant; `annotation` is its payload's, or empty, and so are `parameters`."""

    name: str
    annotation: str
    docs: str
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class FunctionView:
    """A method: `parameters` begins with `self`; `call` is the statement that calls the guest, if it does.

    `prefix` is `async ` for a coroutine, or empty.
    """

    name: str
    parameters: str
    returns: str
    docs: str
    call: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class TypeView:
    """One type. `template` is the name of the template that prints it; fields that this does not need are empty."""

    template: str
    name: str
    docs: str
    annotation: str = ""
    members: tuple[MemberView, ...] = ()
    cases: tuple[CaseView, ...] = ()
    methods: tuple[FunctionView, ...] = ()
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class ConstantView:
    """`name = value`."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ErrorView:
    """The exception that carries an error type."""

    name: str
    carries: str
    docs: str


@dataclass(frozen=True, slots=True)
class HostView:
    """The Protocol of the functions that a host implements outside of resources."""

    docs: str
    functions: tuple[FunctionView, ...]
    parameters: str = ""


@dataclass(frozen=True, slots=True)
class GuestView:
    """The class for the exports of a guest: `init` begins its `__init__`, which then sets the attributes."""

    docs: str
    init: str
    functions: tuple[FunctionView, ...]
    attributes: tuple[MemberView, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkerView:
    """`add_to_linker`: its parameters, its documentation and its lines."""

    parameters: str
    docs: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModuleView:
    """One file; `imports` and `exported` are in no order, which ruff gives them. Only that of a world has `buffers`."""

    file: str
    docs: str
    imports: tuple[str, ...]
    exported: tuple[str, ...]
    variables: tuple[ConstantView, ...] = ()
    types: tuple[TypeView, ...] = ()
    errors: tuple[ErrorView, ...] = ()
    host: HostView | None = None
    guest: GuestView | None = None
    constants: tuple[ConstantView, ...] = ()
    calls: tuple[ConstantView, ...] = ()
    linker: LinkerView | None = None
    buffers: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class PackageView:
    """One generated package: everything of a world, and for people a line for each thing that is not in it."""

    source: str
    world: str
    modules: tuple[ModuleView, ...]
    left_out: tuple[str, ...] = ()
