"""The simulated accelerator itself: that it is built once, and behaves as a device does."""

from __future__ import annotations

import copy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from tests import simulated
from tests.conftest import ROOT
from tests.simulated import Copies, building

# Names, since a process without the device has no `torch.device` of this type.
FIRST, SECOND = "simulated:0", "simulated:1"


pytestmark = pytest.mark.simulated


@pytest.fixture(autouse=True)
def _counted():
    simulated.reset()


def fast_compiler(folder):
    """A compiler that writes down that it was called, and makes an empty library."""
    script = folder / "c++"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 1 && exit\necho called >> "$(dirname "$0")/calls"\n'
        'while [ "$1" != -o ]; do shift; done\necho > "$2"\n'
    )
    script.chmod(0o755)
    return str(script)


# --- building ---


def test_it_is_built_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", fast_compiler(tmp_path))
    first = simulated.build(tmp_path / "cache")
    assert simulated.build(tmp_path / "cache") == first
    assert (tmp_path / "calls").read_text().splitlines() == ["called"]


def test_several_processes_may_build_it_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", fast_compiler(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        [library] = set(pool.map(lambda _: simulated.build(tmp_path / "cache"), range(8)))
    assert [file.name for file in library.parent.iterdir()] == ["device.so"]


def test_another_source_is_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", fast_compiler(tmp_path))
    first = simulated.build(tmp_path / "cache")
    (tmp_path / "device.cpp").write_text("// changed\n")
    monkeypatch.setattr(building, "SOURCE", tmp_path)
    assert simulated.build(tmp_path / "cache") != first


def test_what_does_not_compile_is_shown(tmp_path, monkeypatch):
    (tmp_path / "device.cpp").write_text("#error of the test\n")
    monkeypatch.setattr(building, "SOURCE", tmp_path)
    with pytest.raises(RuntimeError, match="of the test"):
        simulated.build(tmp_path / "cache")


def test_without_a_compiler_the_tests_are_skipped_with_the_reason(tmp_path):
    """In a process of its own, since this one has the device already."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--device=simulated"]
    result = subprocess.run(
        [*command, "tests/wasi_nn_torch/test_devices.py"],
        cwd=ROOT, env={"PATH": str(tmp_path), "CXX": "no-such-compiler"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    said = result.stdout + result.stderr
    assert "are skipped: the simulated accelerator needs a C++ compiler, and there is no no-such-compiler here" in said
    assert " passed" not in said


# --- memory ---


def test_pytorch_reports_it_as_the_accelerator():
    assert torch.accelerator.current_accelerator(check_available=True).type == simulated.NAME
    assert torch.accelerator.device_count() == 2


def test_memory_is_counted_on_its_device():
    before = [torch.accelerator.memory_allocated(device) for device in (FIRST, SECOND)]
    made = torch.empty(1000, device=SECOND)
    after = [torch.accelerator.memory_allocated(device) for device in (FIRST, SECOND)]
    assert after == [before[0], before[1] + 4096]
    del made
    assert torch.accelerator.memory_allocated(SECOND) == before[1]


def test_freed_memory_stays_reserved_until_the_cache_is_emptied():
    torch.accelerator.empty_cache()
    before = torch.accelerator.memory_reserved(FIRST)
    torch.empty(1000, device=FIRST)
    assert torch.accelerator.memory_reserved(FIRST) == before + 4096
    torch.empty(1000, device=FIRST)
    assert torch.accelerator.memory_reserved(FIRST) == before + 4096
    torch.accelerator.empty_cache()
    assert torch.accelerator.memory_reserved(FIRST) == before


def test_peaks_are_kept_until_they_are_reset():
    before = torch.accelerator.memory_allocated(FIRST)
    torch.empty(1000, device=FIRST)
    assert torch.accelerator.max_memory_allocated(FIRST) == before + 4096
    simulated.reset()
    assert torch.accelerator.max_memory_allocated(FIRST) == before


def test_beyond_the_capacity_memory_runs_out():
    with simulated.room_for(FIRST, 4096):
        kept = torch.empty(1000, device=FIRST)
        with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 4 bytes"):
            torch.empty(1, device=FIRST)
        del kept
        torch.empty(1, device=FIRST)
        assert torch.accelerator.memory_stats(FIRST)["num_ooms"] > 0
        assert torch.accelerator.get_memory_info(FIRST)[0] <= 4096


def test_memory_that_was_freed_reads_as_nan():
    made = torch.zeros(4, device=FIRST)
    dangling = (made.data_ptr(), made.untyped_storage().nbytes())
    del made
    again = torch.empty(4, device=FIRST)
    assert (again.data_ptr(), again.untyped_storage().nbytes()) == dangling
    assert again.isnan().all()


# --- copies and kernels ---


def test_each_copy_is_counted_by_its_way():
    x = torch.ones(10)
    near = x.to(FIRST)
    far = near.to(SECOND)
    near.clone()
    assert torch.equal(far.cpu(), x)
    assert far[0].item() == 1
    counters = simulated.counters()
    assert (counters.h2d, counters.d2d, counters.within) == (Copies(1, 40), Copies(1, 40), Copies(1, 40))
    assert counters.d2h == Copies(2, 44)


def test_memory_of_the_host_can_be_pinned():
    content = torch.ones(4, pin_memory=True)
    assert content.is_pinned()
    assert not torch.ones(4).is_pinned()
    assert content.to(simulated.NAME, non_blocking=True).tolist() == [1, 1, 1, 1]


def test_kernels_copy_nothing():
    x = torch.ones(10, device=FIRST)
    simulated.reset()
    y = (x @ x + x).relu_()
    counters = simulated.counters()
    assert (counters.h2d, counters.d2h, counters.d2d, counters.within) == (Copies(),) * 4
    assert counters.kernels > 0
    assert str(y.device) == FIRST


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Flatten()), (1, 3, 8, 8)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (2, 5, 16)),
        (nn.GRU(16, 8), (2, 5, 16)),
        (nn.LSTM(16, 8, bidirectional=True), (2, 5, 16)),
    ],
    ids=["convolutions", "attention", "gru", "lstm"],
)
@torch.inference_mode()
def test_models_compute_what_they_compute_on_the_cpu(model, given):
    x, model = torch.rand(given), model.eval()
    expected, computed = model(x), copy.deepcopy(model).to(FIRST)(x.to(FIRST))
    if isinstance(expected, tuple):
        expected, computed = expected[0], computed[0]
    assert str(computed.device) == FIRST
    torch.testing.assert_close(computed.cpu(), expected)


def test_views_share_their_memory():
    base = torch.zeros(2, 3, device=FIRST)
    base.t()[1:, 0].fill_(5)
    base[1].unfold(0, 2, 1)[1].fill_(6)
    assert base.tolist() == [[0, 5, 5], [0, 6, 6]]


def test_the_parts_of_complex_elements_are_views():
    x = torch.zeros(2, dtype=torch.complex64, device=FIRST)
    x.imag.fill_(1)
    torch.view_as_complex(torch.view_as_real(x)).real.fill_(2)
    assert x.tolist() == [2 + 1j, 2 + 1j]


def test_elements_that_are_negated_or_conjugated_on_reading_are_copied_so():
    x = torch.tensor([1 + 2j, 3 - 4j])
    assert x.to(FIRST).conj().cpu().tolist() == [1 - 2j, 3 + 4j]
    assert x.to(FIRST).conj().imag.clone().tolist() == [-2, 4]
