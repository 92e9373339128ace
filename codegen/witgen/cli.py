"""The command line: `witgen generate`, `witgen check` and `witgen resolve`.

Without arguments the first two work on every package that `[[tool.witgen.packages]]` in `pyproject.toml` lists.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from witgen.generate import Target

app = typer.Typer(
    help="Typed Python host bindings from WIT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: What the extra `codegen` brings.
_PACKAGES = ("jinja2", "lark", "platformdirs", "ruff")

Wit = Annotated[Path | None, typer.Argument(help="A WIT file, or a folder with one package.", show_default=False)]
World = Annotated[str | None, typer.Option(help="The world to bind; needed where there is more than one.")]
Out = Annotated[Path | None, typer.Option(help="The folder of the generated package.")]


@app.callback()
def _commands() -> None:
    """Typed Python host bindings from WIT."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        _fail(f"{', '.join(missing)} missing; run `pip install 'wasi-nn-torch[codegen]'`", status=2)


@app.command()
def generate(wit: Wit = None, world: World = None, out: Out = None) -> None:
    """Write the bindings of a world, or of all that pyproject.toml lists."""
    from witgen import generate as generator

    for target in _targets(wit, world, out):
        changed = generator.write(target, _files(target))
        typer.echo(f"{target.out.as_posix()}: {f'{len(changed)} files written' if changed else 'up to date'}")


@app.command()
def check(wit: Wit = None, world: World = None, out: Out = None) -> None:
    """Fail where the bindings on disk are not what `generate` would write; changes nothing."""
    from witgen import generate as generator

    stale = []
    for target in _targets(wit, world, out):
        difference = generator.compare(target, _files(target))
        if difference:
            typer.echo(difference, nl=False)
            stale.append(target)
    for target in stale:
        typer.echo(f"error: {target.out.as_posix()} is stale; run `{target.command}`", err=True)
    if stale:
        raise typer.Exit(1)


@app.command()
def resolve(
    path: Annotated[Path, typer.Argument(help="A WIT file, or a folder with one package and its deps/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as one JSON object.")] = False,
    features: Annotated[
        list[str] | None, typer.Option(help="Unstable features to turn on, separated by commas.", metavar="A,B")
    ] = None,
    all_features: Annotated[bool, typer.Option("--all-features", help="Turn all unstable features on.")] = False,
) -> None:
    """Check a package and print what is in it: a line for each interface and world, or all of it with --json."""
    from witgen.dump import dump
    from witgen.resolver import resolve as resolved
    from witgen.summary import summary

    enabled = {name.strip() for names in features or () for name in names.split(",")}
    with _diagnostics():
        model = resolved(path, all_features=all_features, features=enabled)
    typer.echo(json.dumps(dump(model), indent=2) if as_json else summary(model))


def main() -> None:
    """Run the command line."""
    app()


def _targets(wit: Path | None, world: str | None, out: Path | None) -> list[Target]:
    from witgen.generate import Target

    if wit is not None and out is not None:
        return [Target(wit, world, out)]
    if wit is not None or world is not None or out is not None:
        _fail("give both the WIT and --out, or neither and list the packages in pyproject.toml", status=2)
    return configured(Path("pyproject.toml"))


def configured(project: Path) -> list[Target]:
    """The packages that a pyproject.toml lists."""
    from witgen.generate import Target

    try:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
        packages = table.get("tool", {}).get("witgen", {}).get("packages", [])
        targets = [Target(Path(entry["wit"]), entry.get("world"), Path(entry["out"])) for entry in packages]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _fail(f"{project} cannot be read: {error}", status=2)
    except (AttributeError, KeyError, TypeError):
        _fail(f"{project}: each [[tool.witgen.packages]] needs `wit` and `out`, and may have `world`", status=2)
    if not targets:
        _fail(f"{project} has no [[tool.witgen.packages]]; give the WIT and --out", status=2)
    return targets


def _files(target: Target) -> dict[str, str]:
    from witgen.generate import generate

    with _diagnostics():
        return generate(target)


@contextmanager
def _diagnostics() -> Iterator[None]:
    """Show what is wrong with the WIT, and end with status 1."""
    from witgen.diagnostics import WitError
    from witgen.show import wants_colour

    try:
        yield
    except WitError as error:
        colour = wants_colour(sys.stderr)
        typer.echo(error.shown(colour=colour), err=True, color=colour)
        raise typer.Exit(1) from None


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)
