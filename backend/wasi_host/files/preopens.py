"""`wasi:filesystem/preopens`: the directories that a guest begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from wasi_bindings import error, preopens, types
from wasi_bindings.types import DescriptorFlags, ErrorCode

from ..streams import Error
from .descriptors import Descriptor, Shared
from .errors import code
from .memory import Now
from .opened import OpenedDirectory
from .paths import LONGEST_PATH

_READ, _MUTATE = DescriptorFlags.READ, DescriptorFlags.MUTATE_DIRECTORY


class Root(Protocol):
    """A directory that a guest may get: `Files` or `Folder`."""

    @property
    def writable(self) -> bool:
        """Whether the guest may change it."""
        ...

    def open(self, now: Now) -> OpenedDirectory:
        """Open it; raises OSError."""
        ...


class Preopens(preopens.Host):
    """The function of the interface; `roots` are by the paths that the guest sees."""

    def __init__(self, roots: Mapping[str, Root], shared: Shared) -> None:
        for path in roots:
            _require_path(path)
        self._roots = dict(roots)
        self._shared = shared

    def get_directories(self) -> Sequence[tuple[Descriptor, str]]:
        """Open all directories; raises GuestLimit, and OSError in the host if one cannot be opened any more."""
        opened: list[tuple[Descriptor, str]] = []
        try:
            for path, root in self._roots.items():
                opened.append((self._open(root), path))
        except BaseException:
            for each, _ in opened:
                each.drop()
            raise
        return opened

    def _open(self, root: Root) -> Descriptor:
        self._shared.descriptors.require_room()
        directory = root.open(self._shared.clock.wall)
        self._shared.count(directory)
        flags = _READ | _MUTATE if root.writable else _READ
        return Descriptor(directory, flags, self._shared, writable=root.writable)


class Filesystem(types.Host):
    """The function of `wasi:filesystem/types`."""

    def filesystem_error_code(self, err: error.Error) -> ErrorCode | None:
        """Return the code of the error of a stream."""
        return code(cast(Error, err).failure)


def _require_path(path: str) -> None:
    """Raise ValueError for a path that no guest could use."""
    if not path or "\0" in path or len(path.encode(errors="replace")) > LONGEST_PATH:
        raise ValueError(f"a guest cannot have a directory at {path!r}; use a path such as '/data' or '.'")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the path {path!r} of a directory is not valid Unicode") from None
