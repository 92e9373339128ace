"""What a guest may use of the host's system: its arguments, its environment, its directories and its streams."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import wasmtime

from wasi_nn_torch.contract.arguments import require_mapping, require_texts, wrong_type
from wasi_nn_torch.sessions.directories import Directory, Protected, require_apart
from wasi_nn_torch.sessions.streams import Streams
from wit_host import WasiConfig


class WasiAccess:
    """What one guest may use; raises what `Engine.session` does.

    `protected` has what no guest may be able to change.
    """

    def __init__(
        self,
        args: Sequence[str],
        env: Mapping[str, str] | None,
        dirs: Mapping[str, str | Directory] | None,
        streams: Streams,
        protected: Callable[[], Iterable[Protected]],
    ) -> None:
        texts = require_texts("`args`", args, '["--verbose", "photo.jpg"]')
        self._args = [_text_for_wasi(argument, "argument") for argument in texts]
        env = require_mapping("`env`", env, '{"LANG": "C"}')
        dirs = require_mapping("`dirs`", dirs, '{"photos": "/photos"}')
        self.streams = streams
        #: The configuration of WASI; None until it is known that the guest imports WASI, if it may use nothing.
        self.config = _configured(env, dirs, protected) if env or dirs else None
        if not streams.are_inherited:
            self.config = self.config or WasiConfig()
            streams.set(self.config)

    def prepare(self, name: str) -> None:
        """Complete the configuration for a guest of this name, which imports WASI."""
        wasi = self.config = self.config or WasiConfig()
        wasi.argv = [name, *self._args]
        if self.streams.are_inherited:
            self.streams.set(wasi)
        if sys.stdout is not None:  # it is None in a program without a console
            sys.stdout.flush()  # so that the host's output comes before the guest's


def _configured(
    env: Mapping[str, str], dirs: Mapping[str, str | Directory], protected: Callable[[], Iterable[Protected]]
) -> WasiConfig:
    """A configuration with the environment and the directories of a guest."""
    wasi = WasiConfig()
    if env:
        wasi.env = [(_variable(name), _text_for_wasi(value, f"value of {name}")) for name, value in env.items()]
    names: set[str] = set()
    for host, guest in dirs.items():
        _text_for_wasi(host, "directory")
        if not host or not Path(host).is_dir():
            raise NotADirectoryError(f"guest directory {host or '``'} does not exist or is not a directory")
        directory = guest if isinstance(guest, Directory) else Directory(_text_for_wasi(guest, "directory"))
        if directory.path in names:
            raise ValueError(f"two guest directories have the name {directory.path}; give each its own name")
        names.add(directory.path)
        require_apart(host, directory.writable, protected())
        try:
            wasi.preopen_dir(
                _text_for_wasi(host, "directory"),
                _text_for_wasi(directory.path, "directory"),
                fs_mutable=directory.writable,
            )
        except wasmtime.WasmtimeError:
            raise NotADirectoryError(f"guest directory {host} cannot be opened; check its permissions") from None
    return wasi


def _variable(name: str) -> str:
    """The name of a variable of the environment, if it can be told from its value."""
    text = _text_for_wasi(name, "variable name")
    if not text or "=" in text:
        raise ValueError(f"the guest's variable name {text!r} is empty, or contains `=`; give another name")
    return text


def _text_for_wasi(value: str, what: str) -> str:
    """`value`, if WASI can pass it on; raises TypeError if it is not a text, ValueError for other texts."""
    if not isinstance(value, str):
        raise wrong_type(f"the guest's {what}", "a str", value)
    if "\0" in value:
        raise ValueError(f"the guest's {what} {value!r} contains a NUL character; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the guest's {what} {value!r} is not valid Unicode") from None
    return value
