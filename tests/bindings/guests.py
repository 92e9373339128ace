"""Running the golden packages: a guest for the world of each, which gives every call on to the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest
from wit_host import Engine, Instance, Linker

GOLDEN = ROOT / "tests" / "golden" / "bindings"


@cache
def engine() -> Engine:
    """One engine for all of them."""
    return Engine()


@contextmanager
def open_guest(golden: str, define: Callable[[Linker], None], deps: Sequence[Path] = ()) -> Iterator[Instance]:
    """An instance of the guest of a golden package, with the imports that `define` adds."""
    guest = engine().compile(forwarding_guest(GOLDEN / golden / "wit", deps=deps))
    with engine().store() as store:
        define(store.linker)
        yield store.instantiate(guest, golden)
