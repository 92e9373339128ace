"""The functions that a host offers to a core module, defined before the guest is linked.

Each function takes and returns `i32`, as in an ABI that is written in WITX: numbers, handles, and addresses in the
guest's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CoreDefinition:
    """A function of the host; `implementation` takes numbers from 0 to 2**32 - 1, and returns one."""

    module: str
    name: str
    parameters: tuple[str, ...]
    implementation: Callable[..., int]

    @property
    def label(self) -> str:
        """The name in messages."""
        return f"{self.module}#{self.name}"


class CoreLinker:
    """The definitions that the core module of one store may import."""

    def __init__(self) -> None:
        self.has_wasi = False
        self.functions: dict[tuple[str, str], CoreDefinition] = {}

    def add_wasi(self) -> None:
        """Define WASI preview 1, as Wasmtime implements it."""
        self.has_wasi = True

    def function(self, module: str, name: str, parameters: Sequence[str], implementation: Callable[..., int]) -> None:
        """Define the function `name` of `module`; `implementation` takes as many numbers as there are `parameters`.

        Raises ValueError if it is defined already.
        """
        definition = CoreDefinition(module, name, tuple(parameters), implementation)
        if self.functions.setdefault((module, name), definition) is not definition:
            raise ValueError(f"{definition.label} is defined twice")

    def close(self) -> None:
        """Release every definition; closing it again does nothing."""
        self.functions.clear()
