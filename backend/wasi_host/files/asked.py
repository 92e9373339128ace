"""What a guest asks of files, translated: ways of opening, places, and what it gets to know."""

from __future__ import annotations

import errno
import hashlib
import os

from wasi_bindings.types import DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, OpenFlags

from ..clocks import datetime
from .opened import OpenedDirectory, OpenedFile, Opening, Stat
from .paths import Place, failure

#: The key of all metadata hashes of this process, so that they tell nothing about the host.
_KEY = os.urandom(16)
#: The flags of descriptors that change something.
CHANGING = DescriptorFlags.WRITE | DescriptorFlags.MUTATE_DIRECTORY


def opening(open_flags: OpenFlags, flags: DescriptorFlags) -> Opening:
    """Return how to open a file."""
    writes = bool(flags & DescriptorFlags.WRITE)
    truncates = bool(open_flags & OpenFlags.TRUNCATE)
    return Opening(
        reads=bool(flags & DescriptorFlags.READ) or not writes,
        writes=writes or truncates,
        creates=bool(open_flags & OpenFlags.CREATE),
        is_new=bool(open_flags & OpenFlags.EXCLUSIVE),
        truncates=truncates,
        is_directory=bool(open_flags & OpenFlags.DIRECTORY),
    )


def opened(place: Place[OpenedDirectory], how: Opening) -> OpenedFile | OpenedDirectory:
    """Open a file or a directory; raises OSError."""
    if place.name is None:
        if how.creates and how.is_new:
            raise failure(errno.EEXIST)
        if how.creates or how.truncates or how.writes:
            raise failure(errno.EISDIR)
        return place.directory.again()
    if how.is_directory and how.creates:
        raise failure(errno.EINVAL)
    if place.must_be_directory and how.creates:
        raise failure(errno.EISDIR)
    found = place.directory.open(place.name, how)
    if place.must_be_directory and isinstance(found, OpenedFile):
        found.close()
        raise failure(errno.ENOTDIR)
    return found


def named(place: Place[OpenedDirectory], error: int) -> str:
    """Return the name of a place; raises OSError, with the number `error` if it is the open directory itself.

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
    """Return the name of a place that is not a directory; raises OSError, also for `name/`."""
    if place.must_be_directory:
        raise failure(errno.ENOTDIR if place.name is not None else error)
    return named(place, error)


def described(stat: Stat) -> DescriptorStat:
    """Return what is known of a file, as WASI has it."""
    times = datetime(stat.accessed), datetime(stat.modified), datetime(stat.changed)
    return DescriptorStat(stat.type, stat.links, stat.size, *times)


def hashed(stat: Stat) -> MetadataHashValue:
    """Return a hash of what is known of a file, except the times that reading it changes."""
    text = repr((stat.identity, stat.size, stat.modified, stat.changed)).encode()
    digest = hashlib.blake2b(text, key=_KEY, digest_size=16).digest()
    return MetadataHashValue(int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little"))
