"""Path → texts and binaries.

In: a file, or a directory with perhaps a `deps/` in it, and more of them. Out: the texts of the main package, which is
that of the first, and of each dependency, in the order in which they are read. A binary stands for a package of texts.
Nothing is parsed here, so packages are not told apart yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from witgen.diagnostics import WitError, whole_file

LARGEST = 16 << 20  # bytes of one file; reading it takes a gigabyte of memory and more
LARGEST_BINARY = 1 << 30
_WASM = {".wasm", ".wat"}


@dataclass(frozen=True, slots=True)
class Text:
    """One file and its content, which is WIT, or WebAssembly in its binary or its text form."""

    file: str
    content: str | bytes

    @property
    def is_wasm(self) -> bool:
        """Whether it is WebAssembly, which its name says."""
        return is_wasm(self.file)


def is_wasm(file: str) -> bool:
    """Whether a file is WebAssembly, in its binary or its text form, which its name says."""
    return Path(file).suffix in _WASM


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of the main package, and of each dependency; no group is empty.

    `advice` says where to put a missing package.
    """

    main: tuple[Text, ...]
    dependencies: tuple[tuple[Text, ...], ...] = ()
    advice: str = "put it into `deps/`, or nest it in the file"


def load(path: str | PathLike[str], *others: str | PathLike[str]) -> Sources:
    """Read files or directories; packages in `others` are dependencies of the first. Raises `WitError`."""
    first, *more = (_load(Path(each)) for each in (path, *others))
    beside = (group for sources in more for group in (sources.main, *sources.dependencies))
    return Sources(first.main, (*first.dependencies, *beside), first.advice)


def _load(root: Path) -> Sources:
    try:
        if not root.is_dir():
            advice = "put it into `deps/` beside the file and give the directory, or nest it in the file"
            return Sources((_text(root),), advice=advice)
        advice = f"put it into `{(root / 'deps').as_posix()}/`"
        return Sources(_directory(root), tuple(_dependencies(root / "deps")), advice)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise WitError(f"cannot be read: {reason}", whole_file(str(error.filename or root))) from None
    except ValueError as error:  # a NUL in the path
        raise WitError(f"cannot be read: {error}", whole_file(str(root))) from None


def in_memory(files: Mapping[str, str | bytes], dependencies: Sequence[Mapping[str, str | bytes]] = ()) -> Sources:
    """The same from texts by file name; each of `dependencies` stands for one entry of `deps/`."""
    main, *others = (
        tuple(Text(file, group[file]) for file in sorted(group)) or _none("<memory>")
        for group in (files, *dependencies)
    )
    return Sources(main, tuple(others))


def _directory(directory: Path) -> tuple[Text, ...]:
    """The `*.wit` files directly inside, by name."""
    found = [entry for entry in sorted(directory.iterdir()) if entry.suffix == ".wit" and not entry.is_dir()]
    return tuple(_text(entry) for entry in found) or _none(str(directory))


def _dependencies(directory: Path) -> list[tuple[Text, ...]]:
    if not directory.is_dir():
        return []
    groups = []
    for entry in sorted(directory.iterdir()):
        if entry.is_dir():
            groups.append(_directory(entry))
        elif entry.suffix in {".wit", *_WASM}:
            groups.append((_text(entry),))
    return groups


def _text(path: Path) -> Text:
    """The content of a file. Devices are refused as they may never end, and pipes as they may never have a writer."""
    if not path.is_file():
        path.stat()  # raises the reason, if there is nothing at all
        raise WitError("this is not a file", whole_file(str(path)), "give a file or a directory")
    limit = LARGEST_BINARY if path.suffix == ".wasm" else LARGEST
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        hint = "give the WIT that it was built from" if path.suffix in _WASM else "split it"
        raise WitError(f"the file is larger than {limit >> 20} MiB", whole_file(str(path)), hint)
    return Text(str(path), content)


def _none(place: str) -> tuple[Text, ...]:
    raise WitError("there is no `.wit` file here", whole_file(place), "add a file with a `package …;` line")
