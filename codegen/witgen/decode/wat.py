"""The text form of WebAssembly → the binary form.

In: the content of a file. Out: the same content if it is in the binary form; otherwise wasmtime's conversion of it.
"""

from __future__ import annotations

import re

from witgen.diagnostics import WitError, whole_file
from witgen.syntax import Span

_MAGIC = b"\0asm"
_PLACE = re.compile(r"--> .*:(\d+):(\d+)")


def binary_form(content: bytes, file: str) -> bytes:
    """The bytes of a component or core module. Raises `WitError`."""
    if content.startswith(_MAGIC):
        return content
    if not content.strip():
        hint = "it may not have been built or downloaded; do that again"
        raise WitError("the file is empty", whole_file(file), hint)
    if not file.endswith(".wat"):
        hint = "a file in the text form is called `.wat`"
        raise WitError("this is not a WebAssembly binary", whole_file(file), hint)
    try:
        from wasmtime import WasmtimeError, wat2wasm
    except ImportError:
        hint = "run `pip install wasmtime`, or convert it with `wasm-tools parse`"
        raise WitError("reading the text form needs the package wasmtime", whole_file(file), hint) from None
    try:
        return bytes(wat2wasm(content))
    except WasmtimeError as error:
        raise _located(str(error), file) from None


def _located(report: str, file: str) -> WitError:
    """The first line of wasmtime's report, at the place that the second one names."""
    message, place = report.splitlines()[0], _PLACE.search(report)
    span = whole_file(file)
    if place:
        line, column = int(place[1]), int(place[2])
        span = Span(file, line, column, line, column + 1)
    return WitError(f"this is not WebAssembly text: {message}", span)
