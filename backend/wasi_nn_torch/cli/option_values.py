"""Parsers for the values of options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasi_nn_torch.cli.dir_option import parse_directories
from wasi_nn_torch.cli.exits import bad_value
from wasi_nn_torch.contract.sizes import parse_size
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.durations import parse_duration

if TYPE_CHECKING:
    from wasi_host import Outgoing


def size(text: str) -> int:
    """Bytes, or a number with a unit."""
    with bad_value():
        return parse_size(text)


def duration(text: str) -> float:
    """Seconds, or a number with a unit."""
    with bad_value():
        return parse_duration(text)


def directories(texts: list[str]) -> dict[str, Directory]:
    """The values of `--dir`, by the path on the host."""
    with bad_value("--dir"):
        return parse_directories(texts)


def servers(texts: list[str]) -> Outgoing:
    """The values of `--allow-http`."""
    from wasi_host import Outgoing  # which needs Wasmtime

    with bad_value("--allow-http"):
        return Outgoing(texts)


def variable(text: str) -> tuple[str, str]:
    """`NAME=VALUE`; or `NAME`, with its value in this process."""
    name, separator, value = text.partition("=")
    with bad_value("--env"):
        if not name:
            raise ValueError(f"`{text}` is not NAME=VALUE")
        if not separator and name not in os.environ:
            raise ValueError(f"`{name}` is not set in the environment; give it a value: {name}=VALUE")
    return name, value if separator else os.environ[name]
