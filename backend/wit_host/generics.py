"""Type variables with defaults, which Python has from 3.13 on, for the type checkers of every version."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVar
else:

    def TypeVar(  # it stands for the class
        name: str,
        *,
        bound: object = None,
        default: object = None,
        covariant: bool = False,
        contravariant: bool = False,
    ) -> typing.TypeVar:
        """Make a type variable; its bound and its default are for type checkers only."""
        return typing.TypeVar(name, covariant=covariant, contravariant=contravariant)
