"""The command `wasi-nn-torch new`, which starts the project of a guest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wasi_nn_torch.cli.exits import fail
from wasi_nn_torch.cli.new.templates import COMMAND, PIPELINE, Template, kinds, languages, read_template, texts
from wasi_nn_torch.cli.wit import declarations, pipeline_starter, starter

#: What WIT, Cargo and npm all take as a name.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_LONGEST_NAME = 64

_STEPS = """
{directory}/README.md says how to install the tools{note}. Then build and try the {kind}:

    cd {directory}
    python export_model.py
    {build}
    {last}"""
#: How guests are tried, by their kind.
_NEXT = {
    COMMAND: "wasi-nn-torch run --graph model=model.pt2 {guest} 1 2 3 4",
    PIPELINE: "wasi-nn-torch serve --graph model=model.pt2 --pipeline {name}={guest}",
}


def _languages_help() -> str:
    return f"The language of the guest: {', '.join(languages())}."


def _kinds_help() -> str:
    every = {kind: [language for language in languages() if kind in kinds(language)] for kind in _NEXT}
    return (
        "The kind of the guest: " + "; ".join(f"{kind}, in {', '.join(names)}" for kind, names in every.items()) + "."
    )


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
    kind: Annotated[
        str, typer.Option("--kind", "-k", metavar="KIND", help=_kinds_help(), autocompletion=lambda: list(_NEXT))
    ] = COMMAND,
) -> None:
    """Start the project of a guest: its source, the WIT files, a command that builds it, and a model to try."""
    name = directory.resolve().name
    _require_name(name)
    if language not in languages():
        fail(f"there is no template for the language {language!r}; expected {' or '.join(languages())}")
    if kind not in kinds(language):
        fail(f"there is no template for the kind {kind!r} in {language}; expected {' or '.join(kinds(language))}")
    template = read_template(language, name, kind)
    _require_empty(directory)
    files = _project(template, name)
    reason = _write(directory, files)
    if reason:
        fail(f"{directory} cannot be written to ({reason}); choose another directory")
    for path in files:
        print(f"wrote   {directory / path}")
    missing = template.missing()
    note = f"; missing on this machine: {', '.join(missing)}" if missing else ""
    last = _NEXT[kind].format(name=name, guest=template.guest)
    print(_STEPS.format(directory=directory, note=note, build=template.build, kind=kind, last=last))


def _project(template: Template, name: str) -> Mapping[str, str]:
    """All files of a new guest, by their paths in its directory."""
    newest = declarations()[-1]
    wit = (pipeline_starter() if template.kind == PIPELINE else starter([newest])) if template.wit else {}
    files = texts(template, {"name": name, "version": newest.version})
    return {**{f"wit/{path}": text for path, text in wit.items()}, **files}


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
    except OSError as error:
        return str(error.strerror)
    return ""
