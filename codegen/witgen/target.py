"""One package to generate: the WIT, the world, and the place of the package.

In: the options of a user. Out: `Target`, which knows its directory, the command that generates it, and whether Python
can import it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """One package to generate.

    `wit` are files or directories: the first has the package of the world, the others have packages that it uses.
    `world` may be left out if there is only one. The package goes into the directory `out`, or, if it is given a name,
    below it: `package="acme.bindings"` is `out/acme/bindings`. With `standalone` it contains a copy of the runtime.
    """

    wit: tuple[Path, ...]
    out: Path
    world: str | None = None
    package: str | None = None
    standalone: bool = False

    @property
    def directory(self) -> Path:
        """The directory of the package."""
        return self.out.joinpath(*self.package.split(".")) if self.package else self.out

    @property
    def command(self) -> str:
        """The command that generates it."""
        words = ["witgen generate", *(path.as_posix() for path in self.wit)]
        words += ["--world", self.world] if self.world else []
        words += ["--out", self.out.as_posix()]
        words += ["--package", self.package] if self.package else []
        return " ".join(words + (["--standalone"] if self.standalone else []))

    @property
    def fault(self) -> str | None:
        """Why Python could not import the package, and a better name; nothing if it can."""
        if self.package is not None:
            return package_fault(self.package)
        name = Path(os.path.abspath(self.out)).name  # a link keeps its own name, and `.` has one
        if _is_importable(name):
            return None
        return f"the directory `{name or self.out}` cannot be imported as a package; call it `{_importable(name)}`"


def package_fault(package: str) -> str | None:
    """Why a dotted name is not the name of a package, and a better one; nothing if it is."""
    parts = package.split(".")
    if all(map(_is_importable, parts)):
        return None
    written = ".".join(_importable(part) for part in parts if part)
    return f"`{package}` is not the name of a Python package; write `{written or _importable('')}`"


def _is_importable(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name)


def _importable(name: str) -> str:
    """The name that Python can import and that is nearest to `name`."""
    name = re.sub(r"\W", "_", name) or "bindings"
    if iskeyword(name):
        return f"{name}_"
    return name if name.isidentifier() else f"_{name}"
