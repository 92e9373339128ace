"""From WIT to a package of bindings on disk.

In: a `Target`. Out: the files, which are then either written, or compared with those on disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from witgen.diagnostics import WitError
from witgen.existing import existing_modules
from witgen.render import LEAVE_AS_IT_IS, MARK, render
from witgen.resolver import choose_world, is_wasm, resolve
from witgen.target import Target
from witgen.view import PackageView, view_world

#: The runtime of generated code, and the name of its copy in a package.
_RUNTIME = "wit_host"
_COPY = "_wit_host"
#: The directories that a package may have; others are packages of their own.
_DIRECTORIES = ("exports", _COPY)
_COPY_HEADER = f"# Copied by witgen from {_RUNTIME}, do not edit.\n"


class MissingRuntime(Exception):
    """The runtime is not installed, so it cannot be copied."""


class NotGenerated(Exception):
    """A file in the place of a generated one is not one itself, so that it must not be lost."""


def generate(target: Target) -> dict[str, str]:
    """The files of the package, by their paths in it.

    Raises `WitError`, `NotFormatted`, and for `standalone` `MissingRuntime`.
    """
    return files_of(target, view_of(target))


def files_of(target: Target, view: PackageView) -> dict[str, str]:
    """The files of a package whose contents are known. Raises `NotFormatted`, and for `standalone` `MissingRuntime`."""
    copied = _copy_of_the_runtime() if target.standalone else {}
    return {**render(view), "py.typed": "", **copied}


def view_of(target: Target) -> PackageView:
    """The contents of the package, and what is left out of it. Raises `WitError`."""
    resolved = resolve(*target.wit, all_features=target.all_features, features=target.features)
    runtime = f".{_COPY}" if target.standalone else _RUNTIME
    try:
        world = choose_world(resolved, target.world)
        existing = existing_modules(resolved, world, target.mappings)
        flags = target.async_hosts, target.partial, target.without_wasi
        return view_world(resolved, world, runtime, existing, *flags, target.lists)
    except WitError as error:
        places = {(one.file, Path(one.file)) for one in (error, *error.others) if one.line and not is_wasm(one.file)}
        raise error.in_texts({file: path.read_bytes() for file, path in places if path.is_file()}) from None


def write(target: Target, files: Mapping[str, str]) -> list[str]:
    """Write the package, remove generated files that are no longer part of it, and say which files changed.

    Raises `NotGenerated` before anything has changed, and OSError.
    """
    changed = [file for file, _ in _differences(target, files)]
    for file in changed:
        _require_replaceable(file, target.directory / file)
    target.directory.mkdir(parents=True, exist_ok=True)
    for file in changed:
        path = target.directory / file
        if file in files:
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(files[file], encoding="utf-8", newline="\n")
        else:
            path.unlink()
            _remove_empty(path.parent)
    return changed


def compare(target: Target, files: Mapping[str, str]) -> str:
    """A unified diff from the files on disk to those that would be written; empty if they are the same."""
    return "".join(diff for _, diff in _differences(target, files))


def _differences(target: Target, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each file that would change, with its diff."""
    own = (target.directory.glob("*"), *(target.directory.joinpath(name).rglob("*") for name in _DIRECTORIES))
    paths = (path for path in chain(*own) if path.is_file())
    found = {path.relative_to(target.directory).as_posix(): path for path in paths}
    present = {file for file, path in found.items() if file in files or _is_generated(file, path)}
    for file in sorted(present | set(files)):
        path = target.directory / file
        old = _text(path) if file in present else None
        new = files.get(file)
        if old != new:
            name = path.as_posix()
            lines = difflib.unified_diff(
                (old or "").splitlines(keepends=True),
                (new or "").splitlines(keepends=True),
                fromfile=name if file in present else "/dev/null",
                tofile=name if file in files else "/dev/null",
            )
            yield file, "".join(lines) or f"+++ {name}\n"


def _text(path: Path) -> str:
    """The text of a file. Line ends are normalized, since a version control system or a formatter may choose them."""
    return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")


def _is_generated(file: str, path: Path) -> bool:
    """Whether the file is generated: it has the mark, or is part of a copy of the runtime."""
    if path.suffix != ".py":
        return False
    if file.startswith(f"{_COPY}/"):
        return True
    with path.open(encoding="utf-8", errors="replace") as opened:
        return opened.readline().startswith(MARK)


def _require_replaceable(file: str, path: Path) -> None:
    """Raise `NotGenerated` for a module that somebody has written."""
    if path.suffix == ".py" and path.is_file() and not _is_generated(file, path) and path.read_bytes().strip():
        name = path.as_posix()
        raise NotGenerated(f"{name} was not generated by witgen; give another directory, or remove it")


def _remove_empty(directory: Path) -> None:
    """Remove a directory that contains nothing but Python's cache."""
    if all(path.name == "__pycache__" for path in directory.iterdir()):
        for cache in directory.glob("__pycache__/*"):
            cache.unlink()
        for empty in (*directory.glob("__pycache__"), directory):
            empty.rmdir()


def _copy_of_the_runtime() -> dict[str, str]:
    spec = find_spec(_RUNTIME)
    if spec is None or not spec.submodule_search_locations:
        raise MissingRuntime(f"{_RUNTIME} is not installed, so it cannot be copied; run `pip install wit-host`")
    root = Path(spec.submodule_search_locations[0])
    files = (path for path in sorted(root.rglob("*")) if path.suffix == ".py" or path.name == "py.typed")
    return {f"{_COPY}/{path.relative_to(root).as_posix()}": _copied(path) for path in files}


def _copied(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text if path.name == "py.typed" else f"{_COPY_HEADER}{LEAVE_AS_IT_IS}{text}"
