"""Many sessions leave nothing behind; `make soak` runs 10,000 of them, and 100,000 small ones."""

from __future__ import annotations

import os
import threading
from itertools import islice
from pathlib import Path

import pytest
import torch

from tests.wasi_nn_torch.helpers.models import Add, Fails, Split, scripted
from tests.wasi_nn_torch.helpers.playing import Play, begin, zeros
from wasi_nn_torch import Engine, GuestError, Limits

SESSIONS = int(os.environ.get("SOAK_SESSIONS", "250"))
#: The number of sessions after which caches and pools have reached their size.
WARM = min(SESSIONS // 2, 1000)
STATM = Path("/proc/self/statm")

#: The steps of a session before it ends, and how it ends.
COMPUTES = [*begin("add"), zeros("a", 10_000), ["compute", "add", {"x": "a"}, "b"], ["describe", "b"]]
FAILS = [*begin("fails"), zeros("a", 10_000), ["compute", "fails", {"x": "a"}, "b"]]
TOO_LARGE = [*begin("split"), zeros("a", 20), ["compute", "split", {"x": "a"}, *map(str, range(20))]]
BRINGS = [["bring", "graph", "models/add.pt", "GPU"], ["begin", "context", "graph"]]
ENDINGS = [[], [["leave_with", "1"]], [["refuse"]], [["trap"]]]


class Kept(torch.nn.Module):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.zeros(1)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.append(x)
        return x


KEEPS = [*begin("keeps"), zeros("a", 10_000), ["compute", "keeps", {"x": "a"}, "b"]]


@pytest.fixture
def engine(accelerator):
    with Engine(accelerator, guest_models="checked") as engine:
        for name, model in (("add", Add()), ("fails", Fails()), ("split", Split()), ("keeps", Kept())):
            engine.register(name, scripted(model))
        yield engine


@pytest.mark.skipif(not STATM.exists(), reason="the system does not say how much memory a process has")
def test_sessions_leave_neither_device_memory_nor_resident_memory_behind(engine, probe_file, allocated, tmp_path):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    guest = engine.compile(probe_file)
    device, resident = allocated(), []
    for number, steps in enumerate(islice(scenes(), SESSIONS)):
        options = {
            "dirs": {str(tmp_path): "models"},
            "stderr": lambda _: None,
            "limits": Limits(tensors=10, timeout=60),
        }
        try:
            Play(engine, guest).run(*steps, **options)
        except GuestError:
            assert steps[-1] == ["trap"]
        assert allocated() == device, f"after session {number}, which did {steps}"
        resident.append(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        if number % 1000 == 999:
            print(f"{number + 1:6} sessions: {resident[-1] / 1e6:.1f} MB resident, {allocated()} B on the device")
    growth = max(resident) - max(resident[:WARM])
    assert growth < 4 << 20, f"{growth / (SESSIONS - WARM):.0f} bytes for each session"


#: Guests that do nothing, of which many sessions are open at the same time.
COMPONENT = b"""(component
  (core module $main (func (export "run") (result i32) i32.const 0))
  (core instance $main (instantiate $main))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""
MODULE = b'(module (func (export "_start")))'
THREADS, BATCHES = 4, 10


@pytest.mark.skipif(not STATM.exists(), reason="the system does not say how much memory a process has")
def test_ten_times_as_many_small_sessions_in_threads_leave_no_memory_behind(engine):
    guests, resident = [engine.compile(COMPONENT), engine.compile(MODULE)], []

    def work():
        for number in range(SESSIONS // THREADS):
            with engine.session() as session:
                session.run(guests[number % 2])

    for batch in range(BATCHES):
        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        resident.append(int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        print(f"{(batch + 1) * (SESSIONS // THREADS) * THREADS:6} small sessions: {resident[-1] / 1e6:.1f} MB resident")
    assert engine.stats.ended == {"success": SESSIONS // THREADS * THREADS * BATCHES}
    assert max(resident) - resident[1] < 4 << 20


def scenes():
    """Sessions of every kind, endlessly."""
    while True:
        for ending in ENDINGS:
            for act in (COMPUTES, KEEPS, FAILS, TOO_LARGE):
                yield [*act, *ending]
        yield BRINGS
