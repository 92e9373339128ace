"""Directories with the same content, in memory and on the disk, as a guest gets them."""

from __future__ import annotations

import gc
import os
import time

import pytest

from wasi_bindings.types import DescriptorFlags, ErrorCodeException, OpenFlags, PathFlags
from wasi_host import Files, Folder, Limits, TestClock, World

FOLLOW, NO_FOLLOW = PathFlags.SYMLINK_FOLLOW, PathFlags(0)
READ, WRITE = DescriptorFlags.READ, DescriptorFlags.WRITE
NO_FLAGS = OpenFlags(0)

#: The files of a tree; what is outside its root `d` is secret.
FILES = {"a.txt": "content a", "sub/b.txt": "content b", "sub/deep/c.txt": "content c"}
LINKS = {
    "in": "sub/b.txt",
    "to-sub": "sub",
    "sub/up": "../a.txt",
    "out": "../secret",
    "out-and-in": "../d/a.txt",
    "absolute": "/etc/passwd",
    "loop": "loop",
    "one": "other",
    "other": "one",
    "nowhere": "missing",
}


class Tree:
    """One directory, and the descriptor of it that a guest gets."""

    def __init__(self, given, limits=None):
        self.given = given
        self.world = World(directories={"/d": given}, clock=TestClock(1e9), limits=limits or Limits())
        [(self.root, _)] = self.world.hosts.preopens.get_directories()

    def open(self, path, open_flags=NO_FLAGS, flags=READ, follow=FOLLOW):
        return self.root.open_at(follow, path, open_flags, flags)

    def read(self, path, follow=FOLLOW):
        file = self.open(path, follow=follow)
        try:
            return file.read(1000, 0)[0].decode()
        finally:
            file.drop()

    def create(self, path, content=b"new"):
        file = self.open(path, OpenFlags.CREATE, READ | WRITE)
        try:
            return file.write(memoryview(content), 0)
        finally:
            file.drop()

    def names(self, descriptor=None):
        stream = (descriptor or self.root).read_directory()
        try:
            found = {}
            while (entry := stream.read_directory_entry()) is not None:
                found[entry.name] = entry.type.value
            return found
        finally:
            stream.drop()


def in_memory(writable=True, limits=None, **given):
    files = Files({path: text.encode() for path, text in FILES.items()}, writable=writable, **given)
    root = files.open(time.time_ns)
    for path, target in LINKS.items():
        *folders, name = path.split("/")
        place = root
        for each in folders:
            place = place.child(each)
        place.make_link(name, target)
    return Tree(files, limits)


def on_disk(folder, writable=True, limits=None):
    root = folder / "d"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for path, target in LINKS.items():
        os.symlink(target, root / path)
    (folder / "secret").write_text("the secret")
    return Tree(Folder(root, writable=writable), limits)


def refused(call, *arguments):
    """The code of the error that a call answers with."""
    with pytest.raises(ErrorCodeException) as raised:
        call(*arguments)
    return raised.value.value.value


def open_files():
    """The number of open files of this process, apart from those of objects that nothing refers to."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
