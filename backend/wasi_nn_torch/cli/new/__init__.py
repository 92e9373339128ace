"""The command `wasi-nn-torch new`, which starts the project of a guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wasi_nn_torch.cli.exits import fail
from wasi_nn_torch.cli.new.templates import COMMAND, Template, languages, read_template, texts
from wasi_nn_torch.cli.wit import declarations, starter

#: What WIT, Cargo and npm all take as a name.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_LONGEST_NAME = 64


def _languages_help() -> str:
    return f"The language of the guest: {', '.join(languages())}."


def new(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="NAME",
            help="The directory to write, whose last part is the name of the guest.",
            show_default=False,
        ),
    ],
    language: Annotated[
        str,
        typer.Option("--language", "-l", metavar="LANGUAGE", help=_languages_help(), autocompletion=languages),
    ] = "python",
) -> None:
    """Start the project of a guest: its source, the WIT files, a command that builds it, and a model to try."""
    name = directory.resolve().name
    _require_name(name)
    if language not in languages():
        fail(f"there is no template for the language {language!r}; expected {' or '.join(languages())}")
    template = read_template(language, name)
    _require_empty(directory)
    reason = _write(directory, _project(template, name))
    if reason:
        fail(f"{directory} cannot be written to ({reason}); choose another directory")
    missing = template.missing()
    note = f"; missing on this machine: {', '.join(missing)}" if missing else ""
    print(_NEXT.format(directory=directory, note=note, build=template.build, guest=template.guest))


_NEXT = """
{directory}/README.md says how to install the tools{note}. Then build and run the guest:

    cd {directory}
    python export_model.py
    {build}
    wasi-nn-torch run --graph model=model.pt2 {guest} 1 2 3 4"""


def _project(template: Template, name: str) -> Mapping[str, str]:
    """All files of a new guest, by their paths in its directory."""
    newest = declarations()[-1]
    wit = {f"wit/{path}": text for path, text in starter([newest]).items()} if template.wit else {}
    return {**wit, **texts(template, COMMAND, {"name": name, "version": newest.version})}


def _require_name(name: str) -> None:
    if len(name) > _LONGEST_NAME:
        fail(f"the name of the guest has {len(name)} characters; use at most {_LONGEST_NAME}")
    if not _NAME.fullmatch(name):
        fail(
            f"{name!r} cannot be the name of a guest; use lower-case letters and digits, in words that begin with a "
            "letter, with hyphens between them, such as my-guest"
        )


def _require_empty(directory: Path) -> None:
    try:
        if directory.is_dir() and not any(directory.iterdir()):
            return
        exists = directory.exists() or directory.is_symlink()
    except OSError as error:
        reason = str(error.strerror)
    else:
        if not exists:
            return
        reason = "it is not empty" if directory.is_dir() else "it is not a directory"
    fail(f"{directory} cannot become a new project: {reason}; choose another name")


def _write(directory: Path, files: Mapping[str, str]) -> str:
    """Write the files; return why that is not possible, or an empty text."""
    try:
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, "utf-8")
            print(f"wrote   {directory / path}")
    except OSError as error:
        return str(error.strerror)
    return ""
