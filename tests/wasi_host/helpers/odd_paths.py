"""Calls with odd paths, made by the same guest on several WASIs, each with a copy of the same two directories."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import wasi_host
from tests.guests.paths import Paths, paths_guest
from wasi_host import Files, Folder, World
from wit_host.running.wasi import WasiConfig

FILES = {"d/f": "content f", "d/g": "g", "d/dir/x": "x", "d/dir/sub/y": "y", "e/f": "other f", "e/dir/x": "other x"}
EMPTY = ["d/empty", "e/empty"]
LINKS = {
    "d/lf": "f",
    "d/ld": "dir",
    "d/lld": "ld",
    "d/lempty": "empty",
    "d/dangling": "missing",
    "d/loop": "loop",
    "d/out": "../secret",
    "d/absolute": "/etc/passwd",
    "d/dots": ".",
    "d/dir/up": "../f",
    "d/slash": "dir/",
    "d/wrong": "f/",
    "d/inside": "f/.",
}
PATHS = (
    "|.|./|..|/|/f|f|f/|f/.|f/..|f/x|dir|dir/|dir/.|dir/./|dir/..|dir/../f|dir/../..|dir/x|dir/x/|dir/sub|dir/up|empty|"
    "empty/|empty/.|missing|missing/|missing/x|missing/.|missing/../f|lf|lf/|lf/x|ld|ld/|ld/.|ld/..|ld/x|lld|lempty/|"
    "lempty/new|dangling|dangling/|dangling/.|loop|loop/|loop/x|out|out/|out/x|absolute|dots|dots/f|slash/x|wrong|"
    "inside|f\0|" + "n" * 256
).split("|")
#: Those that pairs are made of.
FEW = (
    "|.|..|f|f/|f/.|dir|dir/.|dir/sub/|dir/x|empty|empty/|empty/.|missing|missing/|missing/.|lf/|ld|ld/|dangling|loop/x|"
    "out/"
).split("|")
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
READ, WRITE, MUTATE = 1, 2, 32
HOW = (0, CREATE, CREATE | EXCLUSIVE, TRUNCATE, DIRECTORY, DIRECTORY | TRUNCATE)
#: Calls that change nothing.
LOOKS = ("stat-at", "metadata-hash-at", "readlink-at")


def single_calls():
    """Names of functions and their arguments after the descriptor, for one path each."""
    for path in PATHS:
        for follow in (0, 1):
            yield "stat-at", follow, path
            yield "metadata-hash-at", follow, path
            for how in HOW:
                yield from (("open-at", follow, path, how, may) for may in (READ, WRITE, READ | MUTATE))
        for name in ("readlink-at", "create-directory-at", "remove-directory-at", "unlink-file-at"):
            yield name, path
        for target in ("f", "missing", "../f", "/f", ""):
            yield "symlink-at", target, path


def pair_calls():
    """The same for two paths; the second one is in the directory `d`, or in `e`."""
    for one in FEW:
        for other in FEW:
            yield "rename-at", one, "d", other
            yield "link-at", 0, one, "d", other
        for other in ("new", "f", "f/", "dir", "empty", "empty/.", "..", ""):
            yield "rename-at", one, "e", other
            yield "link-at", 0, one, "e", other
            yield "link-at", 1, one, "e", other


class OnDisk:
    """Both directories on the disk."""

    def __init__(self, base: Path, *, writable: bool = True) -> None:
        self.base = base
        self.writable = writable
        base.mkdir()
        (base / "secret").write_text("the secret")
        self.fill()

    def fill(self) -> None:
        """Make them as they were, without replacing the directories themselves."""
        for root in (self.base / "d", self.base / "e"):
            root.mkdir(exist_ok=True)
            for each in os.scandir(root):
                shutil.rmtree(each.path) if each.is_dir(follow_symlinks=False) else os.unlink(each.path)
        for path, text in FILES.items():
            (self.base / path).parent.mkdir(parents=True, exist_ok=True)
            (self.base / path).write_text(text)
        for path in EMPTY:
            (self.base / path).mkdir()
        for path, target in LINKS.items():
            os.symlink(target, self.base / path)

    def content(self) -> dict[str, object]:
        """What is there, by paths."""
        return {path: found for root in "de" for path, found in _on_disk(str(self.base / root), root)}

    def roots(self) -> dict[str, Folder]:
        return {f"/{root}": Folder(self.base / root, writable=self.writable) for root in "de"}

    def wasi(self) -> WasiConfig:
        """The configuration of the engine's own WASI."""
        config = WasiConfig()
        for root in "de":
            config.preopen_dir(str(self.base / root), f"/{root}", fs_mutable=self.writable)
        return config


def _on_disk(folder, path):
    for each in os.scandir(folder):
        found, name = each.stat(follow_symlinks=False), f"{path}/{each.name}"
        if stat.S_ISDIR(found.st_mode):
            yield name, "directory"
            yield from _on_disk(each.path, name)
        elif stat.S_ISLNK(found.st_mode):
            yield name, os.readlink(each.path)
        else:
            yield name, (found.st_nlink, Path(each.path).read_text())


class InMemory:
    """The directory `d` in memory, and `e` in another memory."""

    def __init__(self) -> None:
        self.files = {root: Files(writable=True, most=1 << 40) for root in "de"}
        self.fill()

    def fill(self) -> None:
        for root, files in self.files.items():
            files.tree.root.entries.clear()
            for path, text in FILES.items():
                if path.startswith(root):
                    files.write(path[2:], text.encode())
            files.write("empty/", b"")
        for path, target in LINKS.items():
            *folders, name = path[2:].split("/")
            place = self.files["d"].open(lambda: 0)
            for each in folders:
                place = place.child(each)
            place.make_link(name, target)

    def content(self) -> dict[str, object]:
        found = {}
        for root, files in self.files.items():
            todo = [(root, files.tree.root)]
            for path, node in todo:
                for name, each in node.entries.items():
                    found[f"{path}/{name}"] = _in_memory(each)
                    if hasattr(each, "entries"):
                        todo.append((f"{path}/{name}", each))
        return found

    def roots(self) -> dict[str, Files]:
        return {f"/{root}": files for root, files in self.files.items()}


def _in_memory(node):
    if hasattr(node, "target"):
        return node.target
    return "directory" if hasattr(node, "entries") else (node.names, bytes(node.content).decode())


class Guest:
    """The guest on one WASI: that of `wasi_host`, or, if `is_own`, the engine's."""

    def __init__(self, engine, tree: OnDisk | InMemory, *, is_own: bool = False) -> None:
        self._tree = tree
        self._before = tree.content()
        code = paths_guest()
        if is_own:
            self._store = engine.store(wasi=tree.wasi())
            self._store.linker.add_wasi()
            self.paths = Paths(self._store.instantiate(engine.compile(code)))
        else:
            self._store = engine.store()
            self.world = World(directories=tree.roots())
            self.world.add_to_linker(self._store.linker)
            self.paths = Paths(self._store.instantiate(engine.compile(code, buffers=wasi_host.BUFFERS)))

    def close(self) -> None:
        self._store.close()

    def __call__(self, name: str, *arguments: object) -> tuple[object, dict[str, object]]:
        """The outcome of a call, and what it changed; then everything is as before."""
        roots = self.paths.roots
        # Only the argument before the second path names a directory.
        given = [*arguments[:-2], roots[f"/{arguments[-2]}"], arguments[-1]] if _has_two(name) else arguments
        outcome = self._told(name, self.paths.outcome(name, roots["/d"], *given))
        if name in LOOKS or (name == "open-at" and not arguments[2] & (CREATE | TRUNCATE)):
            return outcome, {}
        after = self._tree.content()
        changes = {
            path: after.get(path) for path in {*self._before, *after} if after.get(path) != self._before.get(path)
        }
        if changes:
            self._tree.fill()
        return outcome, changes

    def _told(self, name: str, outcome: object) -> object:
        """What can be compared of a result."""
        if name == "open-at" and isinstance(outcome, int):
            told = self.paths.outcome("get-type", outcome), self.paths.outcome("get-flags", outcome)
            self.paths("drop", outcome)
            return told
        if name == "stat-at" and isinstance(outcome, tuple):
            type_, links, size, *_ = outcome
            return type_ if type_ == _DIRECTORY else (type_, links, size)
        return "hashed" if name == "metadata-hash-at" and isinstance(outcome, tuple) else outcome


_DIRECTORY = 3


def _has_two(name: str) -> bool:
    return name in ("rename-at", "link-at")
