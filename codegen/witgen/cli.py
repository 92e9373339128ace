"""The command line: `witgen generate`, `witgen check` and `witgen resolve`.

Without arguments the first two work on every package that `[[tool.witgen.packages]]` in `pyproject.toml` lists.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from witgen.target import Target

app = typer.Typer(
    help="Typed Python host bindings from WIT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: The packages of the extra `codegen`.
_PACKAGES = ("jinja2", "lark", "platformdirs", "ruff")

Wit = Annotated[
    list[Path] | None,
    typer.Argument(help="A WIT file, or a directory with one package; then others that it uses.", show_default=False),
]
World = Annotated[str | None, typer.Option(help="The world to bind; needed if there is more than one.")]
Out = Annotated[str | None, typer.Option(help="The directory of the generated package.", metavar="PATH")]
Package = Annotated[
    str | None, typer.Option(help="Put the package into --out under this name; dots make directories.", metavar="NAME")
]
Standalone = Annotated[
    bool, typer.Option("--standalone", help="Copy the runtime into the package, so that it needs only wasmtime.")
]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        help="Use an existing package for interfaces, such as 'acme:store/*@1.0.0=acme_store', or a module for one "
        "interface. Can be repeated.",
        metavar="INTERFACE=MODULE",
        show_default=False,
    ),
]
AsyncHosts = Annotated[
    bool, typer.Option("--async-hosts", help="Declare the functions that hosts implement with `async def`.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"witgen {version('wasi-nn-torch')}")
        raise typer.Exit


@app.callback()
def _commands(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Typed Python host bindings from WIT."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        _fail(f"{', '.join(missing)} missing; run `pip install 'wasi-nn-torch[codegen]'`", status=2)


@app.command()
def generate(
    wit: Wit = None,
    world: World = None,
    out: Out = None,
    package: Package = None,
    standalone: Standalone = False,
    with_: With = None,
    async_hosts: AsyncHosts = False,
) -> None:
    """Write the bindings of a world, or of all that pyproject.toml lists."""
    from witgen import generate as generator

    for target in _targets(wit, world, out, package, standalone, with_, async_hosts):
        files = _files(target)
        try:
            changed = generator.write(target, files)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            _fail(f"{error.filename or target.directory} cannot be written: {reason}", status=2)
        typer.echo(f"{target.directory.as_posix()}: {f'{len(changed)} files written' if changed else 'up to date'}")


@app.command()
def check(
    wit: Wit = None,
    world: World = None,
    out: Out = None,
    package: Package = None,
    standalone: Standalone = False,
    with_: With = None,
    async_hosts: AsyncHosts = False,
) -> None:
    """Fail if the bindings on disk differ from what `generate` would write; changes nothing."""
    from witgen import generate as generator

    stale = []
    for target in _targets(wit, world, out, package, standalone, with_, async_hosts):
        difference = generator.compare(target, _files(target))
        if difference:
            typer.echo(difference, nl=False)
            stale.append(target)
    for target in stale:
        typer.echo(f"error: {target.directory.as_posix()} is stale; run `{target.command}`", err=True)
    if stale:
        raise typer.Exit(1)


@app.command()
def resolve(
    path: Annotated[Path, typer.Argument(help="A WIT file, or a directory with one package and its deps/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as one JSON object.")] = False,
    features: Annotated[
        list[str] | None, typer.Option(help="Unstable features to turn on, separated by commas.", metavar="A,B")
    ] = None,
    all_features: Annotated[bool, typer.Option("--all-features", help="Turn all unstable features on.")] = False,
) -> None:
    """Check a package and print its contents: a line for each interface and world, or everything with --json."""
    from witgen.dump import dump_text
    from witgen.resolver import resolve as resolved
    from witgen.summary import summary

    enabled = {name.strip() for names in features or () for name in names.split(",")}
    with _diagnostics():
        model = resolved(path, all_features=all_features, features=enabled)
    typer.echo(dump_text(model) if as_json else summary(model))


def main() -> None:
    """Run the command line."""
    app()


def _targets(
    wit: list[Path] | None,
    world: str | None,
    out: str | None,
    package: str | None,
    standalone: bool,
    with_: list[str] | None,
    async_hosts: bool,
) -> list[Target]:
    from witgen import naming
    from witgen.mappings import MappingError, parse_mappings, parse_option
    from witgen.target import Target

    if package is not None and (fault := naming.package_fault(package)):
        _fail(f"--package: {fault}", status=2)
    if out == "":
        _fail("--out is empty; give the directory of the package, such as `bindings`", status=2)
    if wit and out is not None:
        try:
            mappings = parse_mappings(map(parse_option, with_ or ()))
            target = Target(tuple(wit), Path(out), world, package, standalone, mappings, async_hosts)
        except MappingError as error:
            _fail(f"--with: {error}", status=2)
        if target.fault:
            _fail(f"--out: {target.fault}, or put a package into it with --package", status=2)
        return [target]
    if wit or with_ or standalone or async_hosts or any(option is not None for option in (world, out, package)):
        _fail("give both the WIT and --out, or nothing and list the packages in pyproject.toml", status=2)
    return configured(Path("pyproject.toml"))


def configured(project: Path) -> list[Target]:
    """The packages that a pyproject.toml lists."""
    from witgen.mappings import MappingError

    try:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
        packages = table.get("tool", {}).get("witgen", {}).get("packages", [])
        targets = [_target(entry) for entry in packages]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        _fail(f"{project} cannot be read: {error}", status=2)
    except (AttributeError, KeyError, TypeError):
        _fail(
            f"{project}: each [[tool.witgen.packages]] needs `wit`, a path or a list of them, and `out`; it may have "
            "`world`, `package`, `standalone`, `with` and `async-hosts`",
            status=2,
        )
    except MappingError as error:
        _fail(f"{project}: `with`: {error}", status=2)
    for fault in (target.fault for target in targets):
        if fault:
            _fail(f"{project}: {fault}", status=2)
    if not targets:
        _fail(f"{project} has no [[tool.witgen.packages]]; give the WIT and --out", status=2)
    return targets


def _target(entry: Mapping[str, Any]) -> Target:
    from witgen.mappings import parse_mappings
    from witgen.target import Target

    wit = [entry["wit"]] if isinstance(entry["wit"], str) else entry["wit"]
    types = {"out": str, "world": str, "package": str, "standalone": bool, "with": dict, "async-hosts": bool}
    if not wit or not entry["out"] or not entry.keys() <= {"wit", *types}:
        raise KeyError
    if not all(isinstance(entry.get(key, type_()), type_) for key, type_ in types.items()):
        raise TypeError
    mappings = entry.get("with", {})
    if not all(isinstance(value, str) for value in mappings.values()):
        raise TypeError
    return Target(
        tuple(Path(path) for path in wit),
        Path(entry["out"]),
        entry.get("world"),
        entry.get("package"),
        entry.get("standalone", False),
        parse_mappings(mappings.items()),
        entry.get("async-hosts", False),
    )


def _files(target: Target) -> dict[str, str]:
    from witgen.generate import MissingRuntime, generate
    from witgen.render import NotFormatted

    with _diagnostics():
        try:
            return generate(target)
        except (MissingRuntime, NotFormatted) as error:
            _fail(str(error), status=2)


@contextmanager
def _diagnostics() -> Iterator[None]:
    """Show the faults in the WIT, and end with status 1."""
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
