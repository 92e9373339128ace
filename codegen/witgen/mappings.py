"""Which interfaces an existing package of bindings has, as a user says it.

In: names of interfaces and of Python modules, from the command line or pyproject.toml. Out: `InterfaceMapping`s, which
`existing` looks up in a world.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from witgen import naming
from witgen.diagnostics import clipped
from witgen.model import PackageName

_NAME = "[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*"
_KEY = re.compile(rf"({_NAME}):({_NAME})/({_NAME}|\*)(?:@([0-9A-Za-z.+-]+))?")
_FORM = "write `namespace:package/interface@version`, or `namespace:package/*@version` for every interface of a package"
_EXAMPLE = "`wasi:nn/*@0.2.0-rc-2024-10-28=wasi_nn_bindings.v2024_10_28`"


class MappingError(ValueError):
    """A mapping is not one; the message says why, and what to write."""


@dataclass(frozen=True, slots=True)
class InterfaceMapping:
    """One interface, or every interface of a package, that an existing package has.

    `key` is the name as it was written. `interface` is absent for `*`; `value` is then the package, whose modules are
    named as witgen names them, and otherwise the module itself. A key without a version fits a package of any version.
    """

    key: str
    package: PackageName
    interface: str | None
    value: str


def parse_option(text: str) -> tuple[str, str]:
    """The key and the value of `--with KEY=VALUE`; raises `MappingError`."""
    key, sign, value = text.partition("=")
    if not sign:
        raise MappingError(f"`{clipped(text)}` has no `=`; write the interface and the module, such as {_EXAMPLE}")
    return key.strip(), value.strip()


def parse_mappings(pairs: Iterable[tuple[str, str]]) -> tuple[InterfaceMapping, ...]:
    """The mappings that pairs of a key and a value stand for; raises `MappingError`."""
    found: dict[str, InterfaceMapping] = {}
    for key, value in pairs:
        if key in found:
            raise MappingError(f"`{clipped(key)}` is mapped twice; keep one of them")
        found[key] = _mapping(key, value)
    return tuple(found.values())


def _mapping(key: str, value: str) -> InterfaceMapping:
    match = _KEY.fullmatch(key)
    if match is None:
        raise MappingError(f"`{clipped(key)}` is not the name of an interface; {_FORM}")
    if fault := naming.package_fault(value, "the dotted name of a Python module"):
        raise MappingError(f"`{key}`: {fault}")
    namespace, name, interface, version = match.groups()
    return InterfaceMapping(key, PackageName(namespace, name, version), None if interface == "*" else interface, value)
