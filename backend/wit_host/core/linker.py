"""What a host offers to core modules: functions, collected before a guest is there.

Each one takes and returns `i32`, as an ABI that is written in WITX does with all its types: numbers, handles, and
addresses in the guest's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CoreDefinition:
    """A function of the host's: what is called with numbers from 0 to 2**32 - 1, and returns one."""

    module: str
    name: str
    parameters: tuple[str, ...]
    implementation: Callable[..., int]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.module}#{self.name}"


class CoreLinker:
    """What the core module of one store may import."""

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
        """Let go of every definition; the second time is fine."""
        self.functions.clear()
