"""Python names for WIT names. Nothing else makes names.

| WIT | where | Python |
| --- | --- | --- |
| `init-execution-context` | function, parameter, module | `init_execution_context` |
| `graph-encoding` | type | `GraphEncoding` |
| `invalid-argument` | enum case, constant | `INVALID_ARGUMENT` |

A name that Python or the generated module needs for itself gets one underscore at its end.
"""

from __future__ import annotations

import builtins
import keyword

#: What a generated module imports or defines under fixed names.
_TAKEN_BY_MODULES = frozenset(
    {"Bytes", "Enum", "Host", "Linker", "Protocol", "Resource", "ResultError", "TypeAlias", "add_to_linker", "wit"}
)
_BUILTINS = frozenset(dir(builtins))
_KEYWORDS = frozenset(keyword.kwlist)
#: What every resource and every enum has already.
_MEMBERS = frozenset({"drop", "name", "value", "self", "mro"})


def module(name: str) -> str:
    """The module of an interface."""
    return _free(_snake(name), _KEYWORDS)


def function(name: str) -> str:
    """A method of a Protocol."""
    return _free(_snake(name), _KEYWORDS | _MEMBERS)


def parameter(name: str) -> str:
    """A parameter of a method; builtins are left to their meaning."""
    return _free(_snake(name), _KEYWORDS | _BUILTINS | {"self"})


def type_(name: str) -> str:
    """A class or a type alias."""
    pascal = "".join(part[0].upper() + part[1:] for part in name.split("-"))
    return _free(pascal, _KEYWORDS | _BUILTINS | _TAKEN_BY_MODULES)


def case(name: str) -> str:
    """A member of an enum."""
    return _snake(name).upper()


def constant(name: str) -> str:
    """A constant of a module."""
    return _snake(name).upper()


def error(owner: str, name: str) -> str:
    """The exception that carries the error type `name` of the interface `owner`."""
    words = type_(f"{owner}-{name}")
    return words if words.endswith("Error") else f"{words}Error"


def _snake(name: str) -> str:
    return name.replace("-", "_").lower()


def _free(name: str, taken: frozenset[str]) -> str:
    return f"{name}_" if name in taken else name
