"""The command `wasi-nn-torch inspect`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wasi_nn_torch.cli.exits import fail, fails_on
from wasi_nn_torch.contract.errors import ModelError, NnError, why_unreadable
from wasi_nn_torch.contract.sizes import spell_size
from wasi_nn_torch.contract.text import quote, quote_all

if TYPE_CHECKING:
    from wasi_nn_torch.cli.rows import Row
    from wasi_nn_torch.contract.description import Contents, ModelDescription, ValueDescription

_NOT_LOADED = "no, because that would run unchecked code; if you trust its source, use --trust"
_NOT_ISOLATED = "no, because this system cannot confine a process; if you trust its source, use --trust"


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The file of a model.", show_default=False)],
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Load a model that fails the check; its code runs with all your permissions."),
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="The method of the model to describe, if not `forward`.", show_default=False
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import a Python module that registers operators for the model.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the inputs, outputs and weights of a model, and whether `--guest-models isolated` lets a guest supply it.

    A model is loaded in a confined process, and only if it passes the check for guest-supplied models, unless --trust
    is given.
    """
    encoding, nbytes, description = _describe(model, trust, method, imports or [])
    if as_json:
        facts = {"path": str(model), "encoding": encoding, "file_bytes": nbytes, **asdict(description)}
        print(json.dumps(facts, indent=2))
        return
    from wasi_nn_torch.cli.rows import print_rows

    print_rows(_rows(model, nbytes, description))


def _describe(
    model: Path, trust: bool, method: str | None, imports: Sequence[str]
) -> tuple[str, int, ModelDescription]:
    """The encoding, the size of the file, and the backend's description of the model."""
    # PyTorch takes a second to import, so the command line is checked first.
    from wasi_nn_torch.contract.backend import BackendOptions, DescribesModels, HasFiles
    from wasi_nn_torch.contract.vocabulary import Encoding
    from wasi_nn_torch.serving.backends import Backends
    from wasi_nn_torch.serving.imports import import_modules
    from wasi_nn_torch.sessions.guest_policy import GuestPolicy

    name = f"the model file `{model}`"
    with fails_on(ModelError, NnError, ValueError), _unreadable(name):
        import_modules(imports)
        policy = GuestPolicy.of(None)
        backends = Backends(BackendOptions("cpu", policy.models, waive=policy.waive, imports=tuple(imports)))
        found = backends.recognize(model)
        encoding = Encoding.PYTORCH if found is None else found[0]
        backend = backends.find(encoding) or backends.default
        if not isinstance(backend, DescribesModels):
            fail(f"the backend for {encoding.value} cannot describe models")
        description = backend.describe(model, name, trust=trust, method=method)
        files = backend.files(model) if isinstance(backend, HasFiles) else [model]
        nbytes = sum(file.stat().st_size for file in files)
    return encoding.value, nbytes, description


@contextmanager
def _unreadable(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelError(f"{name} {why_unreadable(error, 'the file in it that holds the model')}") from None


# --- the table ---


def _rows(model: Path, nbytes: int, description: ModelDescription) -> Iterator[Row]:
    yield "model", str(model)
    yield "format", description.format
    yield "file", spell_size(nbytes)
    refusal = description.refusal
    yield "a guest may supply it", "yes, with --guest-models isolated" if refusal is None else f"no: {refusal}"
    if description.contents is None:
        yield "loaded", _NOT_LOADED if refusal is not None else _NOT_ISOLATED
    else:
        yield from _contents(description.contents)


def _contents(contents: Contents) -> Iterator[Row]:
    if len(contents.methods or ()) > 1:
        yield "methods", f"{quote_all(contents.methods or ())}; choose one with --method"
    yield from _values("input", contents.inputs, ", given as it comes")
    for value in contents.left_out:
        yield "left at its default", f"{quote(value.name)} {value.kind}, which a guest cannot pass"
    yield from _values("output", contents.outputs)
    for size, (least, most) in (contents.sizes or {}).items():
        yield "size", f"{quote(size)} {_range(least, most)}"
    yield "parameters", "not known" if contents.parameters is None else f"{contents.parameters:,}"
    yield from _weights(contents)
    yield "state", _state(contents.state)


def _values(name: str, values: tuple[ValueDescription, ...] | None, untyped: str = "") -> Iterator[Row]:
    if not values:
        yield name, "not known" if values is None else "none"
    for value in values or ():
        yield name, _value(value, untyped)


def _value(value: ValueDescription, untyped: str) -> str:
    """One input or output; `untyped` is added for a tensor of unknown dtype."""
    text = f"{quote(value.name)} {value.kind}"
    if value.dtype is not None or value.kind == "tensor":
        text += untyped if value.dtype is None else f" {value.dtype}"
    if value.shape is not None:
        text += f" {_shape(value.shape)}"
    if value.example is not None:
        text += ", made with " + (f"{value.example_dtype} " if value.example_dtype else "") + _shape(value.example)
    return f"{text}, optional" if value.optional else text


def _shape(sizes: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _range(least: int | None, most: int | None) -> str:
    if least is None and most is None:
        return "is not bounded"
    return f"is at least {least or 0}" + ("" if most is None else f" and at most {most}")


def _weights(contents: Contents) -> Iterator[Row]:
    if not contents.weights:
        yield "weights", "not known" if contents.weights is None else "none"
    for weights in contents.weights or ():
        yield "weights", f"{weights.dtype}, {spell_size(weights.nbytes)} ({weights.elements:,} elements)"


def _state(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "not known; each context may have its own"
    return f"each context has its own {quote_all(names)}" if names else "none; contexts share everything"
