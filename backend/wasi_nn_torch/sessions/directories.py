"""The directories that a guest can open."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wasi_nn_torch.contract.arguments import require_flag, require_text


@dataclass(frozen=True)
class Directory:
    """A directory as a guest sees it: `path` is the guest's name for it, `writable` whether the guest may change it.

    In a directory that is not writable a guest can read files and list directories, and change nothing. There must be
    no FIFOs in it: nothing ends a guest that waits for the other end of one.
    """

    path: str
    writable: bool = False

    def __post_init__(self) -> None:
        if not require_text("the path of a Directory", self.path):
            raise ValueError("the guest's name of a directory is empty; give a path, such as `/photos` or `.`")
        require_flag("`writable` of a Directory", self.writable)


@dataclass(frozen=True)
class Protected:
    """A file or directory that guests must not change, and its name in texts, such as "the model file".

    If it is `secret`, guests must not read it either.
    """

    path: Path
    label: str
    secret: bool = False


def require_apart(directory: str, writable: bool, protected: Iterable[Protected]) -> None:
    """Raise ValueError if a guest that is given `directory` could change a protected file, or read a secret one."""
    real = Path(directory).resolve()
    for each in protected:
        if (writable or each.secret) and _overlap(real, each.path):
            if each.secret:
                raise ValueError(
                    f"guest directory {directory} cannot be used, because a guest could read {each.label} {each.path}; "
                    "give the guest another directory"
                )
            raise ValueError(
                f"guest directory {directory} cannot be writable, because a guest could change {each.label} "
                f"{each.path}, which the host trusts; give the guest another directory, or read access only"
            )


def _overlap(real: Path, path: Path) -> bool:
    # A link can be replaced in its own directory, and its target in that of the target.
    places = (path.resolve(), path.parent.resolve() / path.name)
    return any(place.is_relative_to(real) or real.is_relative_to(place) for place in places)
