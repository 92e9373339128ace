"""The directories that a guest can open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Directory:
    """A directory as a guest sees it: `path` is the guest's name for it, `writable` whether the guest may change it.

    In a directory that is not writable a guest can read files and list directories, and change nothing.
    """

    path: str
    writable: bool = False


@dataclass(frozen=True)
class Protected:
    """A file or directory that guests must not change, and its name in texts, such as "the model file"."""

    path: Path
    label: str


def require_apart(directory: str, protected: Iterable[Protected]) -> None:
    """Raise ValueError if a guest that can write to `directory` could change a protected file."""
    real = Path(directory).resolve()
    for each in protected:
        # A link can be replaced in its own directory, and its target in that of the target.
        for path in (each.path.resolve(), each.path.parent.resolve() / each.path.name):
            if path.is_relative_to(real) or real.is_relative_to(path):
                raise ValueError(
                    f"guest directory {directory} cannot be writable, because a guest could change {each.label} "
                    f"{each.path}, which the host trusts; give the guest another directory, or read access only"
                )
