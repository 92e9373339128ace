"""The packages that the distributions require, and whether suitable versions are installed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from wasi_nn_torch.contract.findings import Finding, Health

DISTRIBUTION = "wasi-nn-torch"
#: The one without PyTorch, which the other requires in its own version.
RUNTIME = "wit-host"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:(?P<how>==|>=)(?P<release>[0-9.]*[0-9])(?:\.\*)?)?")
_EXTRA = re.compile(r"""extra == ["'](?P<name>[^"']+)["']""")


@dataclass(frozen=True)
class Requirement:
    """One package: `text` is an argument of pip; `extra` is the extra that requires it, or None."""

    text: str
    extra: str | None = None

    @property
    def name(self) -> str:
        """The name of the package."""
        match = _REQUIREMENT.match(self.text)
        return self.text if match is None else match["name"]

    @property
    def installed(self) -> str | None:
        """The installed version."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            return None

    @property
    def is_met(self) -> bool:
        """Whether the package is installed, in a required version if the requirement is of a known form."""
        installed, match = self.installed, _REQUIREMENT.match(self.text)
        if installed is None or match is None or match["how"] is None:
            return installed is not None
        have, want = _release(installed), _release(match["release"])
        return have >= want if match["how"] == ">=" else have[: len(want)] == want

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return pip_install(f"'{self.text}'")

    def examine(self, health: Health) -> Finding:
        """The finding for this package; `health` applies if the requirement is not met."""
        installed = self.installed
        if self.is_met:
            return Finding(self.name, str(installed))
        found = "not installed" if installed is None else f"{installed} is installed"
        return Finding(self.name, f"{found}, but {self.text} is required", health, self.remedy)


def requirements() -> Iterator[Requirement]:
    """Yield the requirements of both distributions and of their extras; raises PackageNotFoundError.

    If only `wit-host` is missing, it is a requirement that is not met, and those of its own are left out.
    """
    yield from _required_by(DISTRIBUTION)
    with suppress(metadata.PackageNotFoundError):
        yield from _required_by(RUNTIME)


def _required_by(distribution: str) -> Iterator[Requirement]:
    for line in metadata.requires(distribution) or ():
        text, _, condition = line.partition(";")
        extra = _EXTRA.search(condition)
        yield Requirement(text.strip(), None if extra is None else extra["name"])


def pip_install(what: str) -> str:
    """The command that installs something for this Python."""
    return f"{sys.executable} -m pip install {what}"


def _release(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version."""
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return () if match is None else tuple(map(int, match[0].split(".")))
