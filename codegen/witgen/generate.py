"""From WIT to a package of bindings on disk.

In: where the WIT is, which world, and where the package goes. Out: the files, which are then either written or compared
with what is there: two sinks of one function.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from witgen.diagnostics import WitError
from witgen.render import MARK, render
from witgen.resolver import choose_world, resolve
from witgen.view import view_world


@dataclass(frozen=True, slots=True)
class Target:
    """One package to generate: `wit` is a file or folder, `world` may be left out where there is only one."""

    wit: Path
    world: str | None
    out: Path

    @property
    def command(self) -> str:
        """What to type to generate it."""
        world = f" --world {self.world}" if self.world else ""
        return f"witgen generate {self.wit.as_posix()}{world} --out {self.out.as_posix()}"


def generate(target: Target) -> dict[str, str]:
    """The files of the package, by name; raises `WitError`."""
    resolved = resolve(target.wit)
    try:
        return render(view_world(resolved, choose_world(resolved, target.world)))
    except WitError as error:
        place = Path(error.file)
        raise error.in_text(place.read_text(encoding="utf-8")) if place.is_file() else error from None


def write(target: Target, files: Mapping[str, str]) -> list[str]:
    """Write the package, remove generated files that are no longer part of it, and say which files changed."""
    changed = [file for file, _ in _differences(target, files)]
    target.out.mkdir(parents=True, exist_ok=True)
    for file in changed:
        path = target.out / file
        if file in files:
            path.write_text(files[file], encoding="utf-8", newline="\n")
        else:
            path.unlink()
    return changed


def compare(target: Target, files: Mapping[str, str]) -> str:
    """A unified diff from what is there to what would be written; empty where they are the same."""
    return "".join(diff for _, diff in _differences(target, files))


def _differences(target: Target, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each file that would change, with its diff."""
    present = {path.name for path in target.out.glob("*.py") if path.name in files or _is_generated(path)}
    for file in sorted(present | set(files)):
        path = target.out / file
        old = path.read_bytes().decode("utf-8", "replace") if file in present else ""
        new = files.get(file, "")
        if old != new:
            name = path.as_posix()
            lines = difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                fromfile=name if file in present else "/dev/null",
                tofile=name if file in files else "/dev/null",
            )
            yield file, "".join(lines)


def _is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith(MARK)
