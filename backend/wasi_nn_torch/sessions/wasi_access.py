"""What a guest may use of the host's system: its environment and its directories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import wasmtime

from wasi_nn_torch.sessions.directories import Directory, Protected, require_apart
from wit_host import WasiConfig


def wasi_config(
    env: Mapping[str, str],
    dirs: Mapping[str, str | Directory],
    protected: Callable[[], Iterable[Protected]],
) -> WasiConfig:
    """The configuration of WASI for one guest; raises what `Engine.session` does.

    `protected` has what no guest may be able to change.
    """
    wasi = WasiConfig()
    if env:
        wasi.env = [
            (text_for_wasi(name, "variable name"), text_for_wasi(value, f"value of {name}"))
            for name, value in env.items()
        ]
    names: set[str] = set()
    for host, guest in dirs.items():
        if not Path(host).is_dir():
            raise NotADirectoryError(f"guest directory {host} does not exist or is not a directory")
        directory = guest if isinstance(guest, Directory) else Directory(guest)
        if directory.path in names:
            raise ValueError(f"two guest directories have the name {directory.path}; give each its own name")
        names.add(directory.path)
        require_apart(host, directory.writable, protected())
        try:
            wasi.preopen_dir(
                text_for_wasi(host, "directory"),
                text_for_wasi(directory.path, "directory"),
                fs_mutable=directory.writable,
            )
        except wasmtime.WasmtimeError:
            raise NotADirectoryError(f"guest directory {host} cannot be opened; check its permissions") from None
    return wasi


def text_for_wasi(value: str, what: str) -> str:
    """`value`, if WASI can pass it on; raises TypeError if it is not a text, ValueError for other texts."""
    if not isinstance(value, str):
        raise TypeError(f"the guest's {what} {value!r} is not a str")
    if "\0" in value:
        raise ValueError(f"the guest's {what} {value!r} contains a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the guest's {what} {value!r} is not valid Unicode") from None
    return value
