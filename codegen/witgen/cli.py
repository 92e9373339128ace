"""The command line: `witgen generate`, `witgen check` and `witgen resolve`.

Without arguments the first two work on every package that `[[tool.witgen.packages]]` in `pyproject.toml` lists.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from witgen.lists import Lists

if TYPE_CHECKING:
    from witgen.target import Target
    from witgen.view import PackageView

app = typer.Typer(
    help="Typed Python host bindings from WIT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_PROJECT = Path("pyproject.toml")

Wit = Annotated[
    list[Path] | None,
    typer.Argument(
        help="A file of WIT, a directory with one package, or a component (.wasm, .wat); then others that it uses.",
        show_default=False,
    ),
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
Features = Annotated[
    list[str] | None,
    typer.Option(help="Unstable features to turn on, separated by commas.", metavar="A,B", show_default=False),
]
AllFeatures = Annotated[bool, typer.Option("--all-features", help="Turn all unstable features on.")]
Partial = Annotated[
    bool, typer.Option("--partial", help="Make stubs of functions that cannot be bound, instead of refusing the world.")
]

WithoutWasi = Annotated[
    bool, typer.Option("--without-wasi", help="Leave out imports of WASI, which `Linker.add_wasi` defines.")
]
ListsOption = Annotated[
    Lists | None,
    typer.Option("--lists", help="The Python type of lists of numbers; by default `list`.", show_default=False),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"witgen {version('wit-host')}")
        raise typer.Exit


@app.callback()
def _commands(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Typed Python host bindings from WIT."""


@app.command()
def generate(
    wit: Wit = None,
    world: World = None,
    out: Out = None,
    package: Package = None,
    standalone: Standalone = False,
    with_: With = None,
    async_hosts: AsyncHosts = False,
    features: Features = None,
    all_features: AllFeatures = False,
    partial: Partial = False,
    without_wasi: WithoutWasi = False,
    lists: ListsOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Generate again whenever the WIT changes, until Ctrl-C.")
    ] = False,
) -> None:
    """Write the bindings of a world, or of all that pyproject.toml lists."""
    flags = _names(features), all_features, partial, without_wasi
    given = _Options(wit, world, out, package, standalone, with_, async_hosts, *flags, lists)
    if watch:
        _watch(given)
    for target in _targets(given):
        _write(target)


@app.command()
def check(
    wit: Wit = None,
    world: World = None,
    out: Out = None,
    package: Package = None,
    standalone: Standalone = False,
    with_: With = None,
    async_hosts: AsyncHosts = False,
    features: Features = None,
    all_features: AllFeatures = False,
    partial: Partial = False,
    without_wasi: WithoutWasi = False,
    lists: ListsOption = None,
) -> None:
    """Fail if the bindings on disk differ from what `generate` would write; changes nothing."""
    from witgen import generate as generator

    flags = _names(features), all_features, partial, without_wasi
    given = _Options(wit, world, out, package, standalone, with_, async_hosts, *flags, lists)
    stale = []
    for target in _targets(given):
        _, files = _files(target)
        with _reported(target, "read"):
            difference = generator.compare(target, files)
        if difference:
            typer.echo(difference, nl=False)
            stale.append(target)
    for target in stale:
        typer.echo(f"error: {target.directory.as_posix()} is stale; run `{target.command}`", err=True)
    if stale:
        raise typer.Exit(1)


@app.command()
def resolve(
    wit: Annotated[
        list[Path],
        typer.Argument(
            help="A file of WIT, a directory with one package and its deps/, or a component; then others that it uses."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as one JSON object.")] = False,
    features: Features = None,
    all_features: AllFeatures = False,
) -> None:
    """Check packages and print their contents: a line for each interface and world, or everything with --json."""
    from witgen.dump import dump_text
    from witgen.resolver import resolve as resolved
    from witgen.summary import summary

    with _diagnostics():
        model = resolved(*wit, all_features=all_features, features=_names(features))
    typer.echo(dump_text(model) if as_json else summary(model))


@dataclass(frozen=True)
class _Options:
    """What `generate` and `check` were given."""

    wit: list[Path] | None
    world: str | None
    out: str | None
    package: str | None
    standalone: bool
    with_: list[str] | None
    async_hosts: bool
    features: tuple[str, ...]
    all_features: bool
    partial: bool
    without_wasi: bool
    lists: Lists | None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing, so that pyproject.toml says what to do."""
        return self == _Options(None, None, None, None, False, None, False, (), False, False, False, None)


def _names(features: list[str] | None) -> tuple[str, ...]:
    """The names in a list that is separated by commas, of which there may be several."""
    names = (name.strip() for names in features or () for name in names.split(","))
    return tuple(dict.fromkeys(filter(None, names)))


def _targets(given: _Options) -> list[Target]:
    """The packages to generate, or status 2."""
    from witgen import naming
    from witgen.mappings import MappingError, parse_mappings, parse_option
    from witgen.project import ProjectError, configured
    from witgen.target import Target

    if given.package is not None and (fault := naming.package_fault(given.package)):
        _fail(f"--package: {fault}", status=2)
    if given.out == "":
        _fail("--out is empty; give the directory of the package, such as `bindings`", status=2)
    if given.wit and given.out is not None:
        try:
            target = Target(
                tuple(given.wit),
                Path(given.out),
                given.world,
                given.package,
                given.standalone,
                parse_mappings(map(parse_option, given.with_ or ())),
                given.async_hosts,
                given.features,
                given.all_features,
                given.partial,
                given.without_wasi,
                given.lists or Lists.LIST,
            )
        except MappingError as error:
            _fail(f"--with: {error}", status=2)
        if target.fault:
            _fail(f"--out: {target.fault}, or put a package into it with --package", status=2)
        return [target]
    if not given.is_empty:
        _fail("give both the WIT and --out, or nothing and list the packages in pyproject.toml", status=2)
    try:
        return configured(_PROJECT)
    except ProjectError as error:
        _fail(str(error), status=2)


def _watch(given: _Options) -> NoReturn:
    """Generate again and again; mistakes are shown, and waited for to be mended."""
    from witgen.watching import watch

    known = _targets(given)

    def paths() -> list[Path]:
        return [*([_PROJECT] if given.is_empty else []), *(path for target in known for path in target.wit)]

    def run() -> None:
        with suppress(typer.Exit):
            known[:] = _targets(given)
        for target in known:
            with suppress(typer.Exit):
                _write(target)

    try:
        watch(paths, run)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _write(target: Target) -> None:
    from witgen import generate as generator

    view, files = _files(target)
    with _reported(target, "written"):
        try:
            changed = generator.write(target, files)
        except generator.NotGenerated as error:
            _fail(str(error), status=2)
    typer.echo(f"{target.directory.as_posix()}: {_written(len(changed))}")
    for line in view.left_out:
        typer.echo(f"  {line}")


def _written(count: int) -> str:
    if not count:
        return "up to date"
    return "1 file written" if count == 1 else f"{count} files written"


def _files(target: Target) -> tuple[PackageView, dict[str, str]]:
    from witgen.generate import MissingRuntime, files_of, view_of
    from witgen.render import NotFormatted

    with _diagnostics():
        try:
            view = view_of(target)
            return view, files_of(target, view)
        except (MissingRuntime, NotFormatted) as error:
            _fail(str(error), status=2)


@contextmanager
def _reported(target: Target, done: str) -> Iterator[None]:
    """End with status 2 if a file of the package cannot be `done`: read or written."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        _fail(f"{error.filename or target.directory} cannot be {done}: {reason}", status=2)


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
