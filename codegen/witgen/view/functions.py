"""Functions → methods that a host implements, methods that call a guest, and their definitions at the boundary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from witgen import naming
from witgen.abi import Abi, Bytes
from witgen.layout import Stub, resource_name, written
from witgen.members import STUB
from witgen.model import Function, FunctionSort, Parameter
from witgen.view.docs import docstring
from witgen.view.shapes import ConstantView, FunctionView


def host_functions(abi: Abi, functions: Iterable[Function]) -> Iterator[FunctionView]:
    """The methods for a host to implement."""
    return (_served(abi, function) for function in functions)


def _served(abi: Abi, function: Function) -> FunctionView:
    """A method for a host to implement: its arguments are borrowed, and its result can be any buffer.

    Its parameters are positional, so that those of an implementation may have other names. Every function that a guest
    calls may be a coroutine; the `drop` of a resource, which is none of them, never is.
    """
    parameters = _parameters(abi, function, Bytes.BORROWED) + (", /" if written(function) else "")
    returns = abi.success(function, Bytes.GIVEN)
    docs = _docs(abi, function, Bytes.GIVEN, "to answer with an error")
    prefix = "async " if abi.layout.async_hosts else ""
    return FunctionView(abi.module.names.imported[function.name], parameters, returns, docs, prefix=prefix)


def exported_functions(abi: Abi, functions: Iterable[Function]) -> Iterator[FunctionView]:
    """The methods that call functions of a guest; for an async one there is a coroutine as well."""
    for function in functions:
        yield _exported(abi, function)
        if function.is_async:
            yield _awaited(abi, function)


def _exported(abi: Abi, function: Function) -> FunctionView:
    """A method that calls a guest: its arguments can be any buffer, and its result is kept."""
    names = abi.module.names
    parameters = _parameters(abi, function, Bytes.GIVEN)
    returns = abi.success(function, Bytes.KEPT)
    docs = _docs(abi, function, Bytes.KEPT, "if the guest answers with an error")
    call = f"{names.calls[function.name]}({_arguments(function)})"
    statement = call if returns == "None" else f"return {call}"
    return FunctionView(names.exported[function.name], parameters, returns, docs, statement)


def _awaited(abi: Abi, function: Function) -> FunctionView:
    """A coroutine that calls an async function of a guest."""
    names = abi.module.names
    parameters = _parameters(abi, function, Bytes.GIVEN)
    returns = abi.success(function, Bytes.KEPT)
    docs = docstring(None, f"Call `{names.exported[function.name]}` on another thread, and await it.")
    call = f"await {names.calls[function.name]}.call_async({_arguments(function)})"
    statement = call if returns == "None" else f"return {call}"
    return FunctionView(names.awaited[function.name], parameters, returns, docs, statement, "async ")


def _arguments(function: Function) -> str:
    return ", ".join(["self", *naming.parameters(parameter.name for parameter in written(function))])


def stub(abi: Abi, stub: Stub) -> FunctionView:
    """A method for a function of the guest that cannot be called yet; it takes anything."""
    function, what = stub.function, stub.refusal.what
    docs = docstring(function.docs, f"The {_word(abi, function)}.", f"Raises `NotImplementedError`: {what} yet.")
    statement = f'raise NotImplementedError("{_label(abi, function)} cannot be called: {what}")'
    return FunctionView(abi.module.names.exported[function.name], f"self, *arguments: {STUB}", "None", docs, statement)


def trap(stub: Stub, instance: str) -> str:
    """The line of `add_to_linker` for a function that a guest can import, but not call."""
    return f'{instance}.trap("{stub.function.name}", "{stub.refusal.what}")'


def definition(abi: Abi, function: Function, instance: str, host: str) -> str:
    """The line of `add_to_linker` that defines a function."""
    codecs = _codecs(abi, written(function), Bytes.BORROWED)
    result = abi.result_codec(function, Bytes.GIVEN)
    name = abi.module.names.imported[function.name]
    if function.sort is not FunctionSort.METHOD or function.resource is None:
        return f'{instance}.function("{function.name}", {host}.{name}, {codecs}, {result})'
    resource, plain = abi.resource(function.resource), naming.plain(function.name)
    return f'{instance}.method({resource}, "{plain}", {abi.class_of(function.resource)}.{name}, {codecs}, {result})'


def call_constant(abi: Abi, function: Function) -> ConstantView:
    """The constant that stands for a function of the guest."""
    returns = abi.success(function, Bytes.KEPT)
    codecs = _codecs(abi, function.parameters, Bytes.GIVEN)
    result = abi.result_codec(function, Bytes.KEPT)
    kind = "AsyncGuestFunction" if function.is_async else "GuestFunction"
    value = f'{kind}[{returns}]("{function.name}", {codecs}, {result})'
    return ConstantView(abi.module.names.calls[function.name], value)


def _parameters(abi: Abi, function: Function, content: Bytes) -> str:
    names = naming.parameters(parameter.name for parameter in written(function))
    typed = zip(names, written(function), strict=True)
    return ", ".join(["self", *(f"{name}: {abi.annotation(each.type, content)}" for name, each in typed)])


def _codecs(abi: Abi, parameters: tuple[Parameter, ...], content: Bytes) -> str:
    codecs = [f'"{each.name}": {abi.codec(each.type, content)}' for each in parameters]
    return f"{{{', '.join(codecs)}}}"


def _docs(abi: Abi, function: Function, content: Bytes, when: str) -> str:
    result = abi.resolved.result(function)
    raises = f"Raises `{abi.error_in_docs(result, content)}` {when}." if result else ""
    return docstring(function.docs, f"The {_word(abi, function)}.", raises)


def _label(abi: Abi, function: Function) -> str:
    """The full name of a function."""
    module = abi.module
    return function.name if module.interface is None else f"{module.link_name}#{function.name}"


def _word(abi: Abi, function: Function) -> str:
    match function.sort:
        case FunctionSort.CONSTRUCTOR:
            return f"constructor of `{resource_name(abi.resolved, function)}`"
        case FunctionSort.METHOD:
            return f"method `{naming.plain(function.name)}`"
        case FunctionSort.STATIC:
            return f"static function `{naming.plain(function.name)}` of `{resource_name(abi.resolved, function)}`"
        case FunctionSort.FREESTANDING:
            return f"function `{function.name}`"
