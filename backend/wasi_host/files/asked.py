"""What a guest asks of files, translated: ways of opening, places, and what it gets to know."""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import replace

from wasi_bindings.types import DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, OpenFlags

from ..clocks import datetime
from .opened import OpenedDirectory, OpenedFile, Opening, Stat
from .paths import Place, failure

#: The key of all metadata hashes of this process, so that they tell nothing about the host.
_KEY = os.urandom(16)
#: The flags that promise that each write is on the disk when it returns. Neither this WASI nor the engine's does that.
_SYNCHRONOUS = (
    DescriptorFlags.FILE_INTEGRITY_SYNC | DescriptorFlags.DATA_INTEGRITY_SYNC | DescriptorFlags.REQUESTED_WRITE_SYNC
)


def opening(open_flags: OpenFlags, flags: DescriptorFlags) -> Opening:
    """Return how to open a file; raises OSError for what no file can be opened with.

    What makes or empties a file opens it for writing too, as the engine's WASI does.
    """
    creates, truncates = bool(open_flags & OpenFlags.CREATE), bool(open_flags & OpenFlags.TRUNCATE)
    is_directory = bool(open_flags & OpenFlags.DIRECTORY)
    if flags & _SYNCHRONOUS:
        raise failure(errno.ENOTSUP)
    if is_directory and (creates or truncates or open_flags & OpenFlags.EXCLUSIVE):
        raise failure(errno.EINVAL)
    asked_to_write = bool(flags & DescriptorFlags.WRITE)
    return Opening(
        reads=bool(flags & DescriptorFlags.READ) or not asked_to_write,
        writes=asked_to_write or creates or truncates,
        creates=creates,
        is_new=creates and bool(open_flags & OpenFlags.EXCLUSIVE),
        truncates=truncates,
        is_directory=is_directory,
    )


def permitted(found: OpenedFile | OpenedDirectory, how: Opening, flags: DescriptorFlags) -> DescriptorFlags:
    """Return what the descriptor of a file or directory permits, which was opened with `flags`."""
    if not isinstance(found, OpenedFile):
        return DescriptorFlags.READ | flags & DescriptorFlags.MUTATE_DIRECTORY
    reads = DescriptorFlags.READ if how.reads else DescriptorFlags(0)
    return reads | (DescriptorFlags.WRITE if how.writes else DescriptorFlags(0))


def opened(place: Place[OpenedDirectory], how: Opening) -> OpenedFile | OpenedDirectory:
    """Open a file or a directory; raises OSError."""
    if place.name is None:
        if how.is_new:
            raise failure(errno.EEXIST)
        if how.writes:
            raise failure(errno.EISDIR)
        return place.directory.again()
    if place.must_be_directory and how.creates:
        raise failure(errno.EISDIR)
    return place.directory.open(place.name, replace(how, is_directory=how.is_directory or place.must_be_directory))


def named(place: Place[OpenedDirectory], error: int) -> str:
    """Return the name of a place; raises OSError, with the number `error` if it is a directory itself, as `name/.` is.

    Only directories can be called `name/`.
    """
    if place.name is None:
        raise failure(error)
    if place.must_be_directory:
        _require_directory(place.directory, place.name)
    return place.name


def _require_directory(directory: OpenedDirectory, name: str) -> None:
    try:
        found = directory.stat_of(name).type
    except FileNotFoundError:
        return
    if found != DescriptorType.DIRECTORY:
        raise failure(errno.ENOTDIR)


def leaf(place: Place[OpenedDirectory], error: int) -> str:
    """Return the name of a place that is not a directory.

    Raises OSError for a directory itself and for `name/`: with the number `error` if that is a directory.
    """
    if place.name is None:
        raise failure(error)
    if place.must_be_directory:
        found = place.directory.stat_of(place.name).type
        raise failure(error if found == DescriptorType.DIRECTORY else errno.ENOTDIR)
    return place.name


def moved(old: Place[OpenedDirectory], new: Place[OpenedDirectory]) -> tuple[str, str]:
    """Return the names that something has and gets. Raises OSError, in the order of Linux.

    Only directories can be, and become, what is called `name/`.
    """
    if old.name is None or new.name is None:
        raise failure(errno.EBUSY)
    is_directory = old.directory.stat_of(old.name).type == DescriptorType.DIRECTORY
    if (old.must_be_directory or new.must_be_directory) and not is_directory:
        raise failure(errno.ENOTDIR)
    return old.name, new.name


def linkable(old: Place[OpenedDirectory]) -> str | None:
    """Return the name of what is there, or None for a directory, which gets no second name; raises OSError."""
    if old.name is None:
        return None
    is_directory = old.directory.stat_of(old.name).type == DescriptorType.DIRECTORY
    if old.must_be_directory and not is_directory:
        raise failure(errno.ENOTDIR)
    return None if is_directory else old.name


def linked(name: str | None, new: Place[OpenedDirectory]) -> tuple[str, str]:
    """Return the names that something has and gets beside; `name` is as of `linkable`. Raises OSError, as Linux does.

    Where something is already, that is the error, also for directories.
    """
    new_name = leaf(new, errno.EEXIST)
    if name is None:
        raise failure(errno.EEXIST if new.directory.has(new_name) else errno.EPERM)
    return name, new_name


def described(stat: Stat) -> DescriptorStat:
    """Return what is known of a file, as WASI has it."""
    times = datetime(stat.accessed), datetime(stat.modified), datetime(stat.changed)
    return DescriptorStat(stat.type, stat.links, stat.size, *times)


def hashed(stat: Stat) -> MetadataHashValue:
    """Return a hash of what is known of a file, except the times that reading it changes."""
    text = repr((stat.identity, stat.size, stat.modified, stat.changed)).encode()
    digest = hashlib.blake2b(text, key=_KEY, digest_size=16).digest()
    return MetadataHashValue(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
