"""The start of a guest: the first time, and once it is in the cache of compiled guests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.comparison import Comparison, Work
from benchmarks.conftest import ROOT
from wasi_nn_torch import Engine

GUEST = ROOT / "build/classify/guest.wasm"


def start() -> None:
    """Everything that a program does until a guest has printed its usage, except importing PyTorch."""
    said: list[bytes] = []
    with Engine("cpu") as engine, engine.session(stdout=said.append, stderr=said.append) as session:
        session.run(GUEST)
    assert b"usage" in b"".join(said)


def test_a_guest_in_python(compare: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not GUEST.exists():
        pytest.skip(f"{GUEST.relative_to(ROOT)} is missing; run `make demo` once")
    cache = tmp_path / "compiled"
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(cache))

    def start_first(times: int) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        start()

    again, first = compare.measure(Work(lambda times: start()), Work(start_first), rounds=3, warm_up=False)
    what = f"second start of a {GUEST.stat().st_size / 1e6:.0f} MB guest in Python"
    compare.faster(what, "first start", first, again, goal=10, most=0.5)
