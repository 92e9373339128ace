"""One package to generate: the WIT, the world, and the place of the package.

In: the options of a user. Out: `Target`, which knows its directory, the command that generates it, and whether Python
can import it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from witgen import naming
from witgen.lists import Lists
from witgen.mappings import InterfaceMapping, MappingError


@dataclass(frozen=True, slots=True)
class Target:
    """One package to generate.

    `wit` are files or directories: the first has the package of the world, the others have packages that it uses.
    `world` may be left out if there is only one. The package goes into the directory `out`, or, if it is given a name,
    below it: `package="acme.bindings"` is `out/acme/bindings`. With `standalone` it contains a copy of the runtime.
    `mappings` are the interfaces that existing packages have; with `async_hosts` the functions of hosts are coroutines.
    `features` are unstable features of the WIT that are on, besides which `all_features` turns on all. With `partial`,
    functions that cannot be bound are stubs; with `without_wasi`, imports that the engine defines are left out.
    `lists` is the Python type of lists of numbers.
    """

    wit: tuple[Path, ...]
    out: Path
    world: str | None = None
    package: str | None = None
    standalone: bool = False
    mappings: tuple[InterfaceMapping, ...] = ()
    async_hosts: bool = False
    features: tuple[str, ...] = ()
    all_features: bool = False
    partial: bool = False
    without_wasi: bool = False
    lists: Lists = Lists.LIST

    def __post_init__(self) -> None:
        """Refuse what cannot go together; raises `MappingError`."""
        if self.standalone and self.mappings:
            raise MappingError(
                f"a standalone package cannot use the types of `{self.mappings[0].value}`, which need the runtime that "
                "is installed, while it has a copy of its own; leave out `standalone`, or generate all interfaces"
            )

    @property
    def directory(self) -> Path:
        """The directory of the package."""
        return self.out.joinpath(*self.package.split(".")) if self.package else self.out

    @property
    def command(self) -> str:
        """The command that generates it."""
        words = ["witgen generate", *(shlex.quote(path.as_posix()) for path in self.wit)]
        words += ["--world", shlex.quote(self.world)] if self.world else []
        words += ["--out", shlex.quote(self.out.as_posix())]
        words += ["--package", self.package] if self.package else []
        words += [f"--with {shlex.quote(f'{mapping.key}={mapping.value}')}" for mapping in self.mappings]
        words += ["--async-hosts"] if self.async_hosts else []
        words += [f"--features {shlex.quote(','.join(self.features))}"] if self.features else []
        words += ["--all-features"] if self.all_features else []
        words += ["--partial"] if self.partial else []
        words += ["--without-wasi"] if self.without_wasi else []
        words += [f"--lists {self.lists.value}"] if self.lists is not Lists.LIST else []
        return " ".join(words + (["--standalone"] if self.standalone else []))

    @property
    def fault(self) -> str | None:
        """Why Python could not import the package, and a better name; nothing if it can."""
        if self.package is not None:
            return naming.package_fault(self.package)
        name = Path(os.path.abspath(self.out)).name  # a link keeps its own name, and `.` has one
        if naming.is_importable(name):
            return None
        better = naming.importable(name)
        return f"the directory `{name or self.out}` cannot be imported as a package; call it `{better}`"
