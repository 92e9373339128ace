"""How a command ends: the exit statuses, and the one line on standard error that gives the reason."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from wasi_nn_torch.contract.text import one_line

#: The command line is wrong, or something that it names is.
USAGE = 2
#: The guest did not run to completion.
HOST_FAILURE = 70


def fail(message: object, status: int = USAGE) -> NoReturn:
    """Print one line on standard error and exit; the message may contain anything, such as names from a file."""
    print(f"error: {one_line(message, None)}", file=sys.stderr)
    raise typer.Exit(status)


@contextmanager
def fails_on(*errors: type[Exception]) -> Iterator[None]:
    """Exit with `USAGE` and the text of the exception if the block raises one of these."""
    try:
        yield
    except errors as error:
        fail(error)


@contextmanager
def bad_value(option: str | None = None) -> Iterator[None]:
    """Report a ValueError of the block as a wrong value of `option`, or of the option that is being parsed."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
