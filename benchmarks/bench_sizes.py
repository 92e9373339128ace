"""The cost of bytes by their number, for each way in which they can cross; draws `cost_by_size.svg`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from statistics import median
from types import ModuleType

import pytest

from benchmarks import plot
from benchmarks.bench_boundary import copying
from benchmarks.comparison import Comparison, Work
from benchmarks.conftest import ROOT
from benchmarks.guests import API, BARE
from benchmarks.hosting import Call, StockGuest, on_ours
from wit_host import Engine

SIZES = [1 << shift for shift in range(10, 27, 2)]
#: The maximum of bytes for each way to cross: as many as it supports, or as many as it moves in reasonable time.
MOST = {"stock": 1 << 20, "list": 1 << 20, "latin-1": SIZES[-1], "pointer": SIZES[-1]}
#: The approximate seconds for each byte; each point is measured as often as time allows, and at least once.
SPEED = {"stock": 6e-7, "list": 5e-8, "latin-1": 1e-8, "pointer": 1.5e-10, "copy": 1e-10}
BUDGET = 10e-3
PICTURE = ROOT / "benchmarks/cost_by_size.svg"


class Host:
    """A host that takes and returns any number of bytes, in memory that was written before."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(SIZES[-1]))
        self.prepared = memoryview(b"?" * SIZES[-1])
        self.size = 0

    def empty(self, a: int, b: int) -> int:
        return a

    def take(self, data: memoryview) -> None:
        self.buffer[: len(data)] = data

    def give(self) -> memoryview:
        return self.prepared[: self.size]


class Way:
    """A guest whose bytes cross in one way."""

    def __init__(self, guest: object, host: Host) -> None:
        self._guest = guest
        self._host = host

    def crossing(self, direction: str, size: int) -> Callable[[int], object]:
        """The work of making a number of bytes cross, several times."""
        self._host.size = size
        return (lambda times: self._guest["in"](times, size)) if direction == "in" else self._guest["out"]


@pytest.fixture(scope="module")
def ways(bindings: ModuleType) -> Iterator[dict[str, Way]]:
    """All ways to cross, by name."""
    host = Host()
    with (
        _ours(bindings, host, bindings.BUFFERS) as pointer,
        _ours(bindings, host, bindings.BUFFERS, ["latin-1"]) as latin_1,
        _ours(bindings, host, ()) as list_,
    ):
        functions: dict[str, Call] = {
            "empty": lambda store, a, b: a,
            "take": lambda store, data: host.take(data),
            "give": lambda store: bytes(host.give()),
        }
        stock = StockGuest(BARE, API, functions)
        guests = {"stock": stock, "list": list_, "latin-1": latin_1, "pointer": pointer}
        yield {name: Way(guest, host) for name, guest in guests.items()}


def _ours(
    bindings: ModuleType, host: Host, buffers: Collection[str], transports: Collection[str] = ("pointer",)
) -> object:
    engine = Engine(transports=transports)
    store = engine.store()
    bindings.add_to_linker(store.linker, host)
    return on_ours(store, engine.compile(BARE.encode(), buffers=buffers))


def test_cost_by_size(compare: Comparison, ways: dict[str, Way]) -> None:
    """Measure all sizes in turns, so that a noisy moment affects one point of every curve and not a whole curve."""
    points = [(direction, size) for direction in ("in", "out") for size in SIZES]
    curves: dict[str, dict[str, dict[int, list[float]]]] = {"in": {}, "out": {}}

    def once(_: int) -> None:
        for direction, size in points:
            for name, way in ways.items():
                # Results cross as lists if parameters cross as strings.
                if size <= MOST["list" if (name, direction) == ("latin-1", "out") else name]:
                    _note(curves[direction], name, size, way.crossing(direction, size))
            _note(curves[direction], "copy", size, copying(size))

    compare.measure(Work(once), rounds=5)
    shown = {
        direction: {name: {size: median(times) for size, times in curve.items()} for name, curve in each.items()}
        for direction, each in curves.items()
    }
    plot.save(PICTURE, {"guest → host": shown["in"], "host → guest": shown["out"]})


def _note(curves: dict[str, dict[int, list[float]]], name: str, size: int, call: Callable[[int], object]) -> None:
    times = max(1, int(BUDGET / (2e-6 + size * SPEED[name])))
    if times > 1:
        call(1)
    curves.setdefault(name, {}).setdefault(size, []).append(Work(call, times).seconds())
