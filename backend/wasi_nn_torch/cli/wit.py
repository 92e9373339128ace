"""The command `wasi-nn-torch wit`, which writes the WIT files to build guests with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from wasi_nn_torch.cli.exits import fail

_HERE = Path(__file__).parent
#: The WIT files: in the installed package, or in the checkout.
_PLACES = (_HERE.parent / "wit", _HERE.parents[2] / "wit")
_VERSION = re.compile(r"^package wasi:nn@(?P<version>[^;\s]+);", re.MULTILINE)


@dataclass(frozen=True)
class Declarations:
    """One version of wasi-nn: the file that declares it, and its version as WIT spells it."""

    file: Path
    version: str

    @property
    def date(self) -> str:
        """The date in the version, which is enough to identify it."""
        return self.file.parent.name


def wit(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Write the files to this directory.", show_default=False),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="Only this version of wasi-nn, such as 2024-10-28.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
) -> None:
    """Print the paths of the WIT files of wasi-nn, or write a directory to build guests with."""
    chosen = _chosen(version)
    if out is None:
        for each in chosen:
            print(f"wasi:nn@{each.version}: {each.file}")
        return
    try:
        done = _write(out, starter(chosen), force)
    except OSError as error:
        reason = f"{out} cannot be written to ({error.strerror}); choose another directory"
    else:
        print(*done, _NEXT.format(out=out, version=chosen[-1].version), sep="\n")
        return
    fail(reason)


_NEXT = """
{out}/world.wit declares the world `guest`. Build it in Python, with componentize-py and an `app.py`:

    componentize-py --wit-path {out} --world guest bindings .
    componentize-py --wit-path {out} --world guest componentize app --output guest.wasm

In Rust, with wit-bindgen: `generate!({{ path: "{out}", world: "wasi:nn/ml@{version}" }})`. Then run it:

    wasi-nn-torch run --graph NAME=model.pt2 guest.wasm"""


def _chosen(version: str | None) -> list[Declarations]:
    """All versions, the oldest first, or the given one."""
    every = declarations()
    found = [each for each in every if version in (None, each.date, each.version)]
    if not found:
        fail(f"unknown version `{version}`; expected {' or '.join(each.date for each in every)}")
    return found


def declarations() -> list[Declarations]:
    """Every version that is served, the oldest first."""
    found = []
    for file in sorted(_directory().glob("*/nn.wit")):
        match = _VERSION.search(file.read_text("utf-8"))
        if match is not None:
            found.append(Declarations(file, match["version"]))
    return found


def starter(chosen: list[Declarations]) -> Mapping[str, str]:
    """The files to build guests with, by path; the world uses the newest of the versions."""
    world = (_HERE / "starter" / "world.wit").read_text("utf-8").replace("VERSION", chosen[-1].version)
    cli = (_HERE / "starter" / "cli.wit").read_text("utf-8")
    return {"world.wit": world, "deps/wasi-cli/cli.wit": cli, **_dependencies(chosen)}


def pipeline_starter() -> Mapping[str, str]:
    """The files to build pipelines with, by path: their world, and the version of wasi-nn that it uses."""
    world = (_directory() / "pipeline" / "pipeline.wit").read_text("utf-8")
    used = [each for each in declarations() if f"@{each.version}" in world]
    return {"pipeline.wit": world, **_dependencies(used)}


def _dependencies(chosen: list[Declarations]) -> Mapping[str, str]:
    return {f"deps/wasi-nn-{each.date}/nn.wit": each.file.read_text("utf-8") for each in chosen}


def _directory() -> Path:
    """The directory of the WIT files."""
    directory = next((place for place in _PLACES if place.is_dir()), None)
    if directory is None:
        fail("the WIT files are missing; reinstall wasi-nn-torch with pip")
    return directory


def _write(out: Path, files: Mapping[str, str], force: bool) -> list[str]:
    """Write all files, or none if one of them exists and differs; an existing `world.wit` is always kept.

    Returns a line for each of them.
    """
    new = {path: text for path, text in files.items() if not _is_there(out / path, text)}
    done = []
    if "world.wit" in new and (out / "world.wit").exists():
        done.append(f"kept    {out / 'world.wit'}, which has been changed")
        del new["world.wit"]
    different = [str(out / path) for path in new if (out / path).exists()]
    if different and not force:
        fail(f"different files exist: {', '.join(different)}; use --force, or another directory")
    for path, text in new.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, "utf-8")
        done.append(f"wrote   {out / path}")
    return done


def _is_there(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
