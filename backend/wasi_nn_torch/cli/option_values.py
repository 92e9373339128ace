"""The values of the command line's options: what people write, and what it means."""

from __future__ import annotations

import os

import typer

from wasi_nn_torch.cli.dir_option import parse_directories
from wasi_nn_torch.contract.sizes import parse_size
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.durations import parse_duration


def size(text: str) -> int:
    """Bytes, or a number with a unit."""
    try:
        return parse_size(text)
    except ValueError as error:
        reason = str(error)
    raise typer.BadParameter(reason)


def duration(text: str) -> float:
    """Seconds, or a number with a unit."""
    try:
        return parse_duration(text)
    except ValueError as error:
        reason = str(error)
    raise typer.BadParameter(reason)


def directories(texts: list[str]) -> dict[str, Directory]:
    """What `--dir` was given, by the path on the host."""
    try:
        return parse_directories(texts)
    except ValueError as error:
        reason = str(error)
    raise typer.BadParameter(reason, param_hint="--dir")


def variable(text: str) -> tuple[str, str]:
    """`NAME=VALUE`; or `NAME`, with the value that it has here."""
    name, separator, value = text.partition("=")
    if not name:
        raise typer.BadParameter(f"`{text}` is not NAME=VALUE", param_hint="--env")
    if not separator and name not in os.environ:
        raise typer.BadParameter(f"`{name}` is not set here; give it a value: {name}=VALUE", param_hint="--env")
    return name, value if separator else os.environ[name]
