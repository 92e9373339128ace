"""From `NnError` to the error that a guest is given, once for every function of every version."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from wasi_nn_torch.contract.errors import NnError

P = ParamSpec("P")
T = TypeVar("T")


def answering(answer: Callable[[NnError], Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator of functions that raise NnError, in place of which they then raise what `answer` makes of it."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def answered(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except NnError as error:
                raise answer(error) from None

        return answered

    return decorate
