"""The names in a binary → names as WIT has them.

In: the text of a name, and its place. Out: `syntax.Name`, or the full name of an interface or world, or the parts of
the name of a function. What WIT could not write is refused, since later steps rely on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from witgen import syntax
from witgen.diagnostics import WitError
from witgen.parse import spelling
from witgen.syntax import FunctionSort, Name, PackageName, Span

_FULL = re.compile("(?P<namespace>[^:/@]+):(?P<package>[^:/@]+)/(?P<name>[^:/@]+)(@(?P<version>[^/]+))?")
_OF_RESOURCE = re.compile(r"\[(?P<sort>method|static|constructor)\](?P<resource>[^.]+)(\.(?P<name>.+))?")


@dataclass(frozen=True, slots=True)
class FullName:
    """`namespace:package/name@version`."""

    namespace: str
    package: str
    name: str
    version: str | None

    @property
    def of_package(self) -> tuple[str, str, str | None]:
        """The package, as a key."""
        return self.namespace, self.package, self.version

    def __str__(self) -> str:
        return f"{self.namespace}:{self.package}/{self.name}" + (f"@{self.version}" if self.version else "")


@dataclass(frozen=True, slots=True)
class FunctionName:
    """The name of a function; one of a resource has a `resource`."""

    sort: FunctionSort
    name: Name
    resource: str | None


def label(text: str, place: Span) -> Name:
    """A plain name. Raises `WitError`."""
    if not spelling().is_identifier(text):
        raise WitError(f"`{text}` is not a name that WIT can have", place)
    return Name(text, place)


def is_full(text: str) -> bool:
    """Whether a name is meant to be that of an interface or world, with its package."""
    return "/" in text or ":" in text


def full_name(text: str, place: Span) -> FullName:
    """The full name of an interface or world. Raises `WitError`."""
    match = _FULL.fullmatch(text)
    if match is None:
        raise WitError(f"`{text}` is not the name of an interface", place, "it has to be like `wasi:io/streams@0.2.0`")
    for part in ("namespace", "package", "name"):
        label(match[part], place)
    if match["version"] is not None and not spelling().is_version(match["version"]):
        raise WitError(f"`{match['version']}` in `{text}` is not a version", place)
    return FullName(match["namespace"], match["package"], match["name"], match["version"])


def package_key(text: str, place: Span) -> tuple[str, str, str | None]:
    """The key of a package from its name, `namespace:package@version`. Raises `WitError`."""
    name, at, version = text.partition("@")
    return full_name(f"{name}/package{at}{version}", place).of_package


def package_name(name: tuple[str, str, str | None], place: Span) -> PackageName:
    """The name of a package, as it would be written."""
    namespace, package, version = name
    return PackageName(Name(namespace, place), Name(package, place), version, place)


def function_name(text: str, place: Span) -> FunctionName:
    """The parts of the name of a function. Raises `WitError`."""
    if not text.startswith("["):
        return FunctionName("freestanding", label(text, place), None)
    if "[get]" in text or "[set]" in text:
        hint = "Wasmtime refuses components that have them; use functions"
        raise WitError(f"`{text}` is a getter or setter, which are not supported", place, hint)
    match = _OF_RESOURCE.fullmatch(text)
    if match is None or (match["sort"] == "constructor") != (match["name"] is None):
        raise WitError(f"`{text}` is not the name of a function", place)
    label(match["resource"], place)
    if match["sort"] == "constructor":
        return FunctionName("constructor", Name("constructor", place), match["resource"])
    sort: syntax.FunctionSort = "method" if match["sort"] == "method" else "static"
    return FunctionName(sort, label(match["name"], place), match["resource"])
