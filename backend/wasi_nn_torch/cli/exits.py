"""How the command line ends: its exit statuses, and the one line that says why."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

#: The command line cannot be carried out as it was given.
USAGE = 2
#: The guest could not be run to its end.
HOST_FAILURE = 70


def fail(message: str, status: int = USAGE) -> NoReturn:
    """End with one line on standard error."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(status)
