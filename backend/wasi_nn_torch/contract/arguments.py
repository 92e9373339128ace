"""The checks of what callers pass: each error names the argument, and says what it takes.

TypeError is for another type, and ValueError for a value of the right type that cannot be used.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from numbers import Real
from typing import TypeVar

from wasi_nn_torch.contract.text import quote, quote_all

E = TypeVar("E", bound=Enum)
T = TypeVar("T")


def wrong_type(name: str, wanted: str, given: object) -> TypeError:
    """The error for an argument called `name` in texts, which takes what `wanted` says."""
    return TypeError(f"{name} takes {wanted}, not {type(given).__name__}")


def require_type(name: str, value: T, kinds: type | tuple[type, ...], wanted: str) -> T:
    """The value, if it is of one of these types."""
    if not isinstance(value, kinds):
        raise wrong_type(name, wanted, value)
    return value


def require_flag(name: str, value: object) -> bool:
    """The value, if it is a bool; any other object would count as true, such as the text "no"."""
    return bool(require_type(name, value, bool, "True or False"))


def require_whole(name: str, value: object, wanted: str = "a whole number") -> int:
    """The value as an int, if it is a whole number, also one of another library; a bool is not."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise wrong_type(name, wanted, value)
    return operator.index(value)  # type: ignore[arg-type]  # it has `__index__`


def require_number(name: str, value: object, wanted: str = "a number") -> float:
    """The value, if it is a real number; a bool is not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong_type(name, wanted, value)
    return value  # type: ignore[return-value]  # numbers of other libraries are floats to type checkers


def require_text(name: str, value: object) -> str:
    """The value, if it is a str."""
    return str(require_type(name, value, str, "a str"))


def require_function(name: str, value: Callable[..., object] | None) -> None:
    """Raise TypeError unless the value can be called, or is None."""
    if value is not None and not callable(value):
        raise wrong_type(name, "a function, or None", value)


def require_texts(name: str, values: object, example: str) -> list[str]:
    """The texts of a collection, which a str is not; `example` is one in Python."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, f"several texts, such as {example}", values)
    texts = list(values)
    for text in texts:
        if not isinstance(text, str):
            raise wrong_type(name, f"texts, such as {example}", text)
    return texts


def require_mapping(name: str, value: Mapping[str, T] | None, example: str) -> Mapping[str, T]:
    """The mapping, or an empty one for None; `example` is one in Python."""
    if value is None:
        return {}
    return require_type(name, value, Mapping, f"a dict, such as {example}")


def choice(name: str, kind: type[E], value: object) -> E:
    """The member of an enumeration that a text names, or that the value is."""
    for member in kind:
        if value is member or (isinstance(value, str) and value == member.value):
            return member
    names = quote_all(member.value for member in kind)
    if isinstance(value, str):
        raise ValueError(f"{name} is {quote(value)}; choose one of {names}")
    raise wrong_type(name, f"one of the texts {names}", value)


def not_copied(item: object, instead: str) -> TypeError:
    """The error for an object that belongs to this process alone, when it is pickled or copied."""
    return TypeError(f"{type(item).__name__} cannot be pickled or copied, since it belongs to one process; {instead}")
