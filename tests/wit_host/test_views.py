"""Copies between memories, small ones and those during which other threads run."""

from __future__ import annotations

import pytest

from wit_host import copy_memory


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 16) - 1, 1 << 16, (1 << 20) + 3])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_every_byte_is_copied_and_both_memories_are_free_afterwards(size, kind):
    content = bytes(index % 251 for index in range(size))
    source, target = kind(content), bytearray(size)
    with memoryview(source) as origin, memoryview(target) as destination:
        copy_memory(destination, origin)
    assert target == content
    target.append(0)  # which a buffer that is in use does not permit


@pytest.mark.parametrize(("source", "target"), [(1 << 17, 1 << 16), (1 << 16, 1 << 17), (3, 2)])
def test_sizes_that_differ_are_refused(source, target):
    with pytest.raises(ValueError, match="different structures"):
        copy_memory(memoryview(bytearray(target)), memoryview(bytes(source)))


def test_a_memory_that_cannot_be_written_to_is_refused():
    for size in (10, 1 << 17):
        with pytest.raises((BufferError, TypeError)):
            copy_memory(memoryview(bytes(size)), memoryview(bytes(size)))
