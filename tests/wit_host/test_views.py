"""Copies between memories, small ones and those during which other threads run."""

from __future__ import annotations

import ctypes
import weakref

import pytest

from wit_host import copy_from_address, copy_memory, copy_to_address, view_of


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 16) - 1, 1 << 16, (1 << 20) + 3])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_every_byte_is_copied_and_both_memories_are_free_afterwards(size, kind):
    content = bytes(index % 251 for index in range(size))
    source, target = kind(content), bytearray(size)
    with memoryview(source) as origin, memoryview(target) as destination:
        copy_memory(destination, origin)
    assert target == content
    target.append(0)  # which a buffer that is in use does not permit


@pytest.mark.parametrize("size", [1, 1000, (1 << 16) - 1, 1 << 16, (1 << 20) + 3])
def test_every_byte_is_copied_to_and_from_an_address_and_none_beyond(size):
    content = bytes(index % 251 for index in range(size))
    memory = (ctypes.c_ubyte * (size + 1))()
    with memoryview(content) as source:
        copy_to_address(ctypes.addressof(memory), source)
    assert bytes(memory) == content + b"\0"
    target = bytearray(size)
    with memoryview(target) as destination:
        copy_from_address(destination, ctypes.addressof(memory))
    assert target == content
    target.append(0)  # which a buffer that is in use does not permit


@pytest.mark.parametrize("size", [10, 1 << 17])
def test_bytes_with_gaps_are_not_copied_to_an_address(size):
    memory = (ctypes.c_ubyte * size)()
    with pytest.raises(BufferError):
        copy_to_address(ctypes.addressof(memory), memoryview(bytes(2 * size))[::2])


def test_a_memory_that_cannot_be_written_to_is_not_filled_from_an_address():
    for size in (10, 1 << 17):
        memory = (ctypes.c_ubyte * size)()
        with pytest.raises((BufferError, TypeError)):
            copy_from_address(memoryview(bytes(size)), ctypes.addressof(memory))


@pytest.mark.parametrize(("source", "target"), [(1 << 17, 1 << 16), (1 << 16, 1 << 17), (3, 2)])
def test_sizes_that_differ_are_refused(source, target):
    with pytest.raises(ValueError, match="different structures"):
        copy_memory(memoryview(bytearray(target)), memoryview(bytes(source)))


def test_a_memory_that_cannot_be_written_to_is_refused():
    for size in (10, 1 << 17):
        with pytest.raises((BufferError, TypeError)):
            copy_memory(memoryview(bytes(size)), memoryview(bytes(size)))


class Owner:
    """Owns a block of memory."""

    def __init__(self, size: int) -> None:
        self.memory = (ctypes.c_ubyte * size)(*(number % 256 for number in range(size)))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 63, 64, 65, 1000])
def test_a_view_of_an_owner_has_its_bytes_and_keeps_it_alive(size):
    owner = Owner(max(size, 1))
    view = view_of(owner, ctypes.addressof(owner.memory), size)
    is_alive = weakref.ref(owner)
    del owner
    part = view[: size // 2]
    assert (view.nbytes, view.format, view.readonly) == (size, "B", False)
    assert bytes(view) == bytes(number % 256 for number in range(size))
    del view
    assert is_alive() is not None
    del part
    assert is_alive() is None
