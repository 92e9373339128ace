"""The loop of `wasi-nn-torch run --watch`: build the guest, run it, and wait for a change of its sources."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer

from wasi_nn_torch.cli.exits import fail

#: The names of directories that builds write to; files there are no sources.
_BUILT = frozenset({"__pycache__", "build", "dist", "node_modules", "target", "venv"})
#: The exit status after Ctrl-C.
_INTERRUPTED = 130
#: Milliseconds to wait for a change before the loop is asked whether it goes on.
_PATIENCE = 200


def repeat(command: str, run: Callable[[], int]) -> NoReturn:
    """Build with `command`, which the shell executes, and then `run`, at once and after every change; until Ctrl-C.

    The files in the current directory are watched, except those in the directories that builds write to, hidden files,
    and guests.
    """
    try:
        for changed in _changes(Path.cwd().resolve()):
            if changed:
                _say(f"changed: {', '.join(changed)}")
            if _is_built(command):
                with suppress(typer.Exit):  # the reason has been printed
                    run()
            _say("waiting for changes; Ctrl-C ends")
    except KeyboardInterrupt:
        pass
    raise typer.Exit(_INTERRUPTED)


def _is_built(command: str) -> bool:
    _say(command)
    # Standard output belongs to the guest.
    status = subprocess.run(command, shell=True, check=False, stdout=sys.__stderr__).returncode
    if status:
        _say(f"`{command}` ended with status {status}")
    return status == 0


def _changes(root: Path) -> Iterator[list[str]]:
    """Nothing at first, and then the changed files; changes during a build or a run are not missed."""
    try:
        from watchfiles import Change, watch
    except ImportError:
        fail("watchfiles is missing; run `pip install 'wasi-nn-torch[watch]'`")
    begun = False
    for changes in watch(root, watch_filter=None, rust_timeout=_PATIENCE, yield_on_timeout=True):
        made = {path for change, path in changes if change is Change.added}
        lasting = {path for _, path in changes if path not in made or os.path.lexists(path)}  # no temporary files
        changed = sorted(os.path.relpath(path, root) for path in lasting if is_source(root, Path(path)))
        if changed or not begun:
            begun = True
            yield changed


def is_source(root: Path, path: Path) -> bool:
    """Whether a change of this file in the directory `root` can be a change of the guest or its models."""
    place = path.relative_to(root)
    hidden = any(part.startswith(".") for part in place.parts)
    return not hidden and _BUILT.isdisjoint(place.parts) and place.suffix != ".wasm" and not place.name.endswith("~")


def _say(text: str) -> None:
    print(f"--- {text}", file=sys.stderr, flush=True)
