"""`wasi:filesystem`: the resources, for files and directories wherever they are.

In: open directories, and calls of a guest. Out: what the guest may do, within its limits.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from wasi_bindings import types
from wasi_bindings.types import (
    Advice,
    DescriptorFlags,
    DescriptorStat,
    DescriptorType,
    DirectoryEntry,
    MetadataHashValue,
    NewTimestamp,
    NewTimestampNoChange,
    NewTimestampNow,
    OpenFlags,
    PathFlags,
)

from ..clocks import SECOND, Clock
from ..limits import Count, Limits
from ..streams import InputStream, OutputStream
from .asked import described, hashed, leaf, linkable, linked, moved, named, opened, opening, permitted
from .errors import answering
from .opened import LARGEST, Entries, Opened, OpenedDirectory, OpenedFile, Opening, Stat, Times
from .paths import Place, failure, require_inside, resolve, split
from .transfer import FileSink, FileSource, read_at

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

_NOT_FOLLOWED = PathFlags(0)


def _answers(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Answer with the code of an OSError that the method raises."""

    @wraps(method)
    def answered(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with answering():
            return method(self, *args, **kwargs)

    return answered


@dataclass(frozen=True)
class Shared:
    """What all descriptors of one guest share."""

    limits: Limits
    clock: Clock
    descriptors: Count
    handles: Count

    def count(self, opened: Opened) -> None:
        """Count an open file; closes it, and raises OSError, if they are too many."""
        if self.descriptors.is_full:
            opened.close()
            raise failure(errno.EMFILE)
        self.descriptors.add()
        opened.on_release = self.descriptors.remove


class Descriptor(types.Descriptor[InputStream, OutputStream, "DirectoryEntryStream", "Descriptor"]):
    """The resource `descriptor`: an open file or directory, with what the guest may do with it.

    In a directory that is not `writable`, everything is refused that would change anything beneath it.
    """

    def __init__(self, opened: Opened, flags: DescriptorFlags, shared: Shared, *, writable: bool) -> None:
        self._opened = opened
        self._flags = flags
        self._shared = shared
        self._writable = writable

    # --- files ---

    @_answers
    def read_via_stream(self, offset: int) -> InputStream:
        """Return a stream of the content from `offset` on."""
        file = self._file(DescriptorFlags.READ)
        source = FileSource(file.share(), offset)
        return self._stream(lambda: InputStream(source, self._shared.handles, self._shared.limits.read), source.close)

    @_answers
    def write_via_stream(self, offset: int) -> OutputStream:
        """Return a stream that writes from `offset` on."""
        return self._sink(min(offset, LARGEST))

    @_answers
    def append_via_stream(self) -> OutputStream:
        """Return a stream that writes at the end."""
        return self._sink(None)

    @_answers
    def read(self, length: int, offset: int) -> tuple[bytes, bool]:
        """Return up to `length` bytes, and whether the end was reached."""
        file = self._file(DescriptorFlags.READ)
        most = min(length, self._shared.limits.read)
        content = read_at(file, most, offset)
        return content, bool(most) and not content

    @_answers
    def write(self, buffer: memoryview, offset: int) -> int:
        """Write bytes; return how many were written."""
        file = self._file(DescriptorFlags.WRITE)
        self._require_size(offset + len(buffer))
        return file.write(buffer, offset)

    @_answers
    def set_size(self, size: int) -> None:
        """Cut the file off, or add zeros."""
        file = self._file(DescriptorFlags.WRITE, errno.EINVAL)
        self._require_size(size)
        file.set_size(size)

    @_answers
    def advise(self, offset: int, length: int, advice: Advice) -> None:
        """Do nothing: advice has no effect."""
        self._file(DescriptorFlags(0))

    @_answers
    def sync_data(self) -> None:
        """Store the content safely."""
        self._opened.sync()

    @_answers
    def sync(self) -> None:
        """Store the content safely."""
        self._opened.sync()

    # --- both ---

    def get_flags(self) -> DescriptorFlags:
        """Return what the descriptor permits."""
        return self._flags

    @_answers
    def get_type(self) -> DescriptorType:
        """Return the type of the file."""
        return self._opened.stat().type

    @_answers
    def stat(self) -> DescriptorStat:
        """Return what is known of the file."""
        return described(self._opened.stat())

    @_answers
    def set_times(self, data_access_timestamp: NewTimestamp, data_modification_timestamp: NewTimestamp) -> None:
        """Change the times of the file."""
        self._require_writable()
        self._opened.set_times(self._times(data_access_timestamp, data_modification_timestamp))

    def is_same_object(self, other: Descriptor) -> bool:
        """Return whether both are the same file."""
        try:
            return self._opened.stat().identity == other._opened.stat().identity
        except OSError:  # what cannot be examined is not known to be the same
            return False

    @_answers
    def metadata_hash(self) -> MetadataHashValue:
        """Return a hash of what is known of the file."""
        return hashed(self._opened.stat())

    # --- directories ---

    @_answers
    def read_directory(self) -> DirectoryEntryStream:
        """Return the entries."""
        if self._shared.descriptors.is_full:
            raise failure(errno.EMFILE)
        entries = self._directory().entries()
        return self._stream(lambda: DirectoryEntryStream(entries, self._shared), entries.close)

    @_answers
    def open_at(self, path_flags: PathFlags, path: str, open_flags: OpenFlags, flags: DescriptorFlags) -> Descriptor:
        """Open a file or a directory.

        A guest that asks for the right to change a directory where it may change nothing does not get that right.
        """
        how = opening(open_flags, flags)
        if how.writes:
            self._require_writable()
        if not self._writable:
            flags &= ~DescriptorFlags.MUTATE_DIRECTORY
        with self._place_to_open(path, path_flags, how) as place:
            found = opened(place, how)
        self._shared.count(found)
        return Descriptor(found, permitted(found, how, flags), self._shared, writable=self._writable)

    @_answers
    def stat_at(self, path_flags: PathFlags, path: str) -> DescriptorStat:
        """Return what is known of a file."""
        return described(self._stat_of(path_flags, path))

    @_answers
    def metadata_hash_at(self, path_flags: PathFlags, path: str) -> MetadataHashValue:
        """Return a hash of what is known of a file."""
        return hashed(self._stat_of(path_flags, path))

    @_answers
    def set_times_at(
        self,
        path_flags: PathFlags,
        path: str,
        data_access_timestamp: NewTimestamp,
        data_modification_timestamp: NewTimestamp,
    ) -> None:
        """Change the times of a file."""
        self._require_writable()
        times = self._times(data_access_timestamp, data_modification_timestamp)
        with self._place(path, path_flags) as place:
            if place.name is None:
                place.directory.set_times(times)
            else:
                place.directory.set_times_of(named(place, errno.ENOENT), times)

    @_answers
    def readlink_at(self, path: str) -> str:
        """Return where a link leads."""
        with self._place(path) as place:
            name = named(place, errno.EINVAL)
            target = place.directory.link(name)
            if target is None:
                place.directory.stat_of(name)
                raise failure(errno.EINVAL)
            if target.startswith("/"):
                raise failure(errno.EPERM)
            return target

    @_answers
    def create_directory_at(self, path: str) -> None:
        """Make a directory. Its name may end with `/`, but nothing is made where a link of that name leads."""
        self._require_writable()
        with self._place(path.rstrip("/") or path) as place:
            place.directory.make_directory(named(place, errno.EEXIST))

    @_answers
    def remove_directory_at(self, path: str) -> None:
        """Remove an empty directory."""
        self._require_writable()
        with self._place_of_name(path) as place:
            place.directory.remove_directory(named(place, errno.EINVAL))

    @_answers
    def unlink_file_at(self, path: str) -> None:
        """Remove what is not a directory."""
        self._require_writable()
        with self._place(path) as place:
            place.directory.unlink(leaf(place, errno.EISDIR))

    @_answers
    def symlink_at(self, old_path: str, new_path: str) -> None:
        """Make a link, which must not lead out of this directory."""
        self._require_writable()
        target = split(old_path)
        with self._place(new_path) as place:
            name = leaf(place, errno.EEXIST)
            require_inside(target, place.depth)
            place.directory.make_link(name, old_path)

    @_answers
    def link_at(self, old_path_flags: PathFlags, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        """Give a file a second name."""
        self._require_both_writable(new_descriptor)
        if old_path_flags & PathFlags.SYMLINK_FOLLOW:
            raise failure(errno.EINVAL)
        with self._place(old_path) as old:
            found = linkable(old)
            with new_descriptor._place(new_path) as new:
                name, new_name = linked(found, new)
                old.directory.add_name(name, new.directory, new_name)

    @_answers
    def rename_at(self, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        """Move a file or a directory."""
        self._require_both_writable(new_descriptor)
        with self._place_of_name(old_path) as old, new_descriptor._place_of_name(new_path) as new:
            name, new_name = moved(old, new)
            old.directory.rename(name, new.directory, new_name)

    def drop(self) -> None:
        """Close it."""
        self._opened.close()

    # --- inside ---

    def _file(self, needed: DescriptorFlags, error: int = errno.EBADF) -> OpenedFile:
        """Return the open file; raises OSError, with the number `error` if it was not opened for that."""
        if not isinstance(self._opened, OpenedFile):
            raise failure(errno.EBADF)
        if needed & self._flags != needed:
            raise failure(error)
        return self._opened

    def _directory(self) -> OpenedDirectory:
        if not isinstance(self._opened, OpenedDirectory):
            raise failure(errno.ENOTDIR)
        return self._opened

    def _place(self, path: str, flags: PathFlags = _NOT_FOLLOWED) -> Place[OpenedDirectory]:
        return resolve(self._directory(), path, follow=bool(flags & PathFlags.SYMLINK_FOLLOW))

    def _place_to_open(self, path: str, flags: PathFlags, how: Opening) -> Place[OpenedDirectory]:
        """Return the place of what is opened; what is to be made is not made where a link `name/` leads."""
        if how.creates and path.endswith("/"):
            return self._place_of_name(path)
        return self._place(path, _NOT_FOLLOWED if how.is_new else flags)

    def _place_of_name(self, path: str) -> Place[OpenedDirectory]:
        """Return the place of a name, which is never followed; one that ends with `/` must be a directory."""
        bare = path.rstrip("/") or path
        place = self._place(bare)
        return place if bare == path else replace(place, must_be_directory=True)

    def _require_both_writable(self, other: Descriptor) -> None:
        self._require_writable()
        other._require_writable()

    def _require_writable(self) -> None:
        if not self._writable:
            raise failure(errno.EPERM)

    def _require_size(self, size: int) -> None:
        if size > self._shared.limits.file:
            raise failure(errno.EFBIG)

    def _stat_of(self, path_flags: PathFlags, path: str) -> Stat:
        with self._place(path, path_flags) as place:
            if place.name is None:
                return place.directory.stat()
            found = place.directory.stat_of(place.name)
            if place.must_be_directory and found.type != DescriptorType.DIRECTORY:
                raise failure(errno.ENOTDIR)
            return found

    def _times(self, accessed: NewTimestamp, modified: NewTimestamp) -> Times:
        return Times(self._time(accessed), self._time(modified))

    def _time(self, wanted: NewTimestamp) -> int | None:
        match wanted:
            case NewTimestampNoChange():
                return None
            case NewTimestampNow():
                return self._shared.clock.wall()
        nanoseconds = wanted.value.seconds * SECOND + wanted.value.nanoseconds
        if nanoseconds > LARGEST or wanted.value.nanoseconds >= SECOND:
            raise failure(errno.EINVAL)
        return nanoseconds

    def _sink(self, offset: int | None) -> OutputStream:
        file = self._file(DescriptorFlags.WRITE)
        sink = FileSink(file.share(), offset, self._shared.limits.file)
        return self._stream(lambda: OutputStream(sink, self._shared.handles), sink.close)

    def _stream(self, make: Callable[[], R], close: Callable[[], object]) -> R:
        """Return what `make` returns; call `close` if it raises."""
        try:
            return make()
        except BaseException:
            close()
            raise


class DirectoryEntryStream(types.DirectoryEntryStream):
    """The resource `directory-entry-stream`, which counts as an open directory."""

    def __init__(self, entries: Entries, shared: Shared) -> None:
        shared.descriptors.add()
        self._entries = entries
        self._shared = shared

    @_answers
    def read_directory_entry(self) -> DirectoryEntry | None:
        """Return the next entry."""
        entry = next(self._entries, None)
        return None if entry is None else DirectoryEntry(entry[1], entry[0])

    def drop(self) -> None:
        """Close the directory."""
        self._shared.descriptors.remove()
        self._entries.close()
