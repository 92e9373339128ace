"""Random calls: files in memory and files in a folder answer in the same way, and nothing leads out."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.wasi_host.helpers.trees import FOLLOW, NO_FLAGS, NO_FOLLOW, READ, WRITE, in_memory, on_disk, open_files
from wasi_bindings.streams import StreamErrorException
from wasi_bindings.types import DescriptorFlags, ErrorCodeException, OpenFlags

#: The sequences of 150 calls; `make soak` makes more.
ROUNDS = int(os.environ.get("SOAK_FILES", "30"))
NAMES = [*"abcd", "sub", "deep", "..", ".", "in", "to-sub", "out", "absolute", "loop", "a.txt", "b.txt", ""]


def path(draw):
    text = "/".join(draw.choice(NAMES) for _ in range(draw.randint(1, 3)))
    return text + "/" * (draw.random() < 0.1)


def step(draw):
    """One call: its name, and arguments, in which `descriptor` numbers stand for open files."""
    flags = draw.choice([FOLLOW, NO_FOLLOW])
    one, other, content = path(draw), path(draw), draw.randbytes(draw.randint(0, 20))
    number, offset = draw.randint(0, 4), draw.choice([0, 1, 5, 30, 1 << 40, (1 << 64) - 1])
    opening = draw.choice([NO_FLAGS, OpenFlags.CREATE, OpenFlags.CREATE | OpenFlags.EXCLUSIVE, OpenFlags.TRUNCATE])
    opening |= draw.choice([NO_FLAGS, NO_FLAGS, NO_FLAGS, OpenFlags.DIRECTORY])
    rights = draw.choice([READ, WRITE, READ | WRITE, DescriptorFlags(0), READ | DescriptorFlags.MUTATE_DIRECTORY])
    return draw.choice(
        [
            ("open_at", number, flags, one, opening, rights),
            ("open_at", number, flags, one, opening, rights),
            ("stat_at", number, flags, one),
            ("create_directory_at", number, one),
            ("remove_directory_at", number, one),
            ("unlink_file_at", number, one),
            ("symlink_at", number, other, one),
            ("readlink_at", number, one),
            ("link_at", number, flags, one, number, other),
            ("rename_at", number, one, draw.randint(0, 4), other),
            ("read", number, 100, offset),
            ("write", number, content, offset),
            ("set_size", number, offset),
            ("list", number),
            ("append", number, content),
            ("stat", number),
            ("drop", number),
        ]
    )


class Player:
    """Makes the calls with one tree; `held` are its open descriptors, the first of which is the root."""

    def __init__(self, tree):
        self.tree = tree
        self.held = [tree.root]

    def play(self, name, number, *arguments):
        """The outcome of one call, as a value that can be compared."""
        descriptor = self.held[number % len(self.held)]
        try:
            return self.call(descriptor, name, arguments)
        except ErrorCodeException as refusal:
            return refusal.value.value
        except StreamErrorException as refusal:
            number = refusal.value.value.failure.errno
            refusal.value.value.drop()
            return number

    def call(self, descriptor, name, arguments):
        match name:
            case "open_at":
                self.held.append(descriptor.open_at(*arguments))
                return self.held[-1].get_type(), self.held[-1].get_flags()
            case "stat" | "stat_at":
                stat = getattr(descriptor, name)(*arguments)
                return stat.type, stat.size if stat.type.value == "regular-file" else None
            case "link_at":
                flags, one, _, other = arguments
                return descriptor.link_at(flags, one, descriptor, other)
            case "rename_at":
                one, number, other = arguments
                return descriptor.rename_at(one, self.held[number % len(self.held)], other)
            case "write":
                return descriptor.write(memoryview(arguments[0]), arguments[1])
            case "list":
                return sorted(self.tree.names(descriptor).items())
            case "append":
                stream = descriptor.append_via_stream()
                try:
                    return stream.blocking_write_and_flush(arguments[0])
                finally:
                    stream.drop()
            case "drop":
                if len(self.held) > 1 and descriptor is not self.held[0]:
                    self.held.remove(descriptor)
                    descriptor.drop()
                return None
            case _:
                return getattr(descriptor, name)(*arguments)

    def end(self):
        for each in self.held:
            each.drop()
        assert self.tree.world.open_handles == 0


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory have the errors of Linux")
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_random_calls_have_the_same_outcome_in_memory_and_in_a_folder(seed, tmp_path):
    draw = random.Random(seed)
    before = open_files()
    memory, disk = Player(in_memory()), Player(on_disk(tmp_path))
    calls = []
    for _ in range(150):
        calls.append(step(draw))
        outcomes = memory.play(*calls[-1]), disk.play(*calls[-1])
        assert outcomes[0] == outcomes[1], f"{len(calls)}: {calls[-1]}"
    memory.end()
    disk.end()
    assert open_files() == before
    assert (tmp_path / "secret").read_text() == "the secret"
    assert sorted(os.listdir(tmp_path)) == ["d", "secret"]
