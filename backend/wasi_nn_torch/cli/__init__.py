"""The command line: one module for each command."""

from __future__ import annotations

import io
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from wasi_nn_torch.cli import cache, doctor, inspect, new, run, serve, wit
from wasi_nn_torch.cli.other_hosts import RunCommand

app = typer.Typer(
    help="Run WebAssembly guests that use wasi-nn with PyTorch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(cache.app, name="cache")
app.command(cls=RunCommand, context_settings={"allow_interspersed_args": False}, epilog=run.EXAMPLES)(run.run)
app.command(epilog="Example: wasi-nn-torch inspect model.pt2")(inspect.inspect)
app.command(epilog="Example: wasi-nn-torch doctor")(doctor.doctor)
app.command(epilog="Example: wasi-nn-torch new my-guest --language python")(new.new)
app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog="Example: wasi-nn-torch wit --out wit")(wit.wit)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wasi-nn-torch {version('wasi-nn-torch')}")
        raise typer.Exit


@app.callback()
def _commands(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run WebAssembly guests that use wasi-nn with PyTorch."""


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # characters that its encoding lacks, as on standard error
        sys.stdout.reconfigure(errors="backslashreplace")
    app(windows_expand_args=False)
