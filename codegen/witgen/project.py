"""The packages that a pyproject.toml lists.

In: its path. Out: a `Target` for each `[[tool.witgen.packages]]`, or a `ProjectError` that says what to write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from witgen.diagnostics import did_you_mean
from witgen.lists import Lists
from witgen.mappings import MappingError, parse_mappings
from witgen.target import Target


class ProjectError(Exception):
    """A pyproject.toml that cannot be used."""


class _WrongEntry(Exception):
    """A key that no package has, or a value of another form; the message says which."""


_FORM = (
    "each [[tool.witgen.packages]] needs `wit`, a path or a list of them, and `out`; it may have `world`, `package`, "
    "`standalone`, `with`, `async-hosts`, `features`, `all-features`, `partial`, `without-wasi` and `lists`, which is "
    "`list`, `array` or `numpy`"
)


def configured(project: Path) -> list[Target]:
    """The packages that a pyproject.toml lists. Raises `ProjectError`."""
    try:
        table = tomllib.loads(project.read_text(encoding="utf-8"))
        packages = table.get("tool", {}).get("witgen", {}).get("packages", [])
        targets = [_target(entry) for entry in packages]
    except FileNotFoundError:
        raise ProjectError(f"there is no {project} in this directory; give the WIT and --out") from None
    except OSError as error:
        raise ProjectError(f"{project} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectError(f"{project} cannot be read: {error}") from None
    except (AttributeError, KeyError, TypeError):
        raise ProjectError(f"{project}: {_FORM}") from None
    except _WrongEntry as error:
        raise ProjectError(f"{project}: {error}") from None
    except MappingError as error:
        raise ProjectError(f"{project}: `with`: {error}") from None
    for fault in (target.fault for target in targets):
        if fault:
            raise ProjectError(f"{project}: {fault}")
    directories = [target.directory for target in targets]
    for directory in directories:
        if directories.count(directory) > 1:
            raise ProjectError(f"{project}: two packages have the directory {directory.as_posix()}; give each its own")
    if not targets:
        raise ProjectError(f"{project} has no [[tool.witgen.packages]]; give the WIT and --out")
    return targets


_TYPES: Mapping[str, type] = {
    "wit": list,
    "out": str,
    "world": str,
    "package": str,
    "standalone": bool,
    "with": dict,
    "async-hosts": bool,
    "features": list,
    "all-features": bool,
    "partial": bool,
    "without-wasi": bool,
    "lists": str,
}


_WORDS: Mapping[str, str] = {"wit": "a path or a list of them", "lists": "`list`, `array` or `numpy`"}
_WORDS_OF_TYPES: Mapping[type, str] = {
    list: "a list of strings",
    str: "a string",
    bool: "true or false",
    dict: "a table of strings",
}


def _target(entry: Mapping[str, Any]) -> Target:
    wit = [entry["wit"]] if isinstance(entry["wit"], str) else entry["wit"]
    given = {**entry, "wit": wit}
    for key in given:
        if key not in _TYPES:
            raise _WrongEntry(f"unknown key `{key}`; {did_you_mean(key, _TYPES) or _FORM}")
    for key, value in given.items():
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, _TYPES[key]) or not all(isinstance(part, str) for part in parts):
            raise _WrongEntry(f"`{key}` has to be {_WORDS.get(key) or _WORDS_OF_TYPES[_TYPES[key]]}")
    if not wit or not given["out"]:
        raise KeyError
    lists = next((each for each in Lists if each.value == given.get("lists", Lists.LIST.value)), None)
    if lists is None:
        raise _WrongEntry(f"`lists` has to be {_WORDS['lists']}")
    mappings, features = given.get("with", {}), given.get("features", [])
    return Target(
        tuple(Path(path) for path in wit),
        Path(given["out"]),
        given.get("world"),
        given.get("package"),
        given.get("standalone", False),
        parse_mappings(mappings.items()),
        given.get("async-hosts", False),
        tuple(features),
        given.get("all-features", False),
        given.get("partial", False),
        given.get("without-wasi", False),
        lists,
    )
