"""Threads: how many one computation uses, and contexts that compute side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.wasi_nn_torch.helpers.models import scripted
from tests.wasi_nn_torch.helpers.playing import Play, begin, hexadecimal, make
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.graphs import ExecutionContext

PATIENCE = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# --- how many threads ---


def test_an_engine_sets_the_threads_of_a_computation():
    with Engine(threads=3):
        assert torch.get_num_threads() == 3


def test_the_threads_of_sessions_compute_with_as_many():
    with Engine(threads=3), ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == 3


def test_without_a_wish_pytorchs_own_number_stays():
    torch.set_num_threads(2)
    with Engine():
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_less_than_one_thread_is_refused(threads):
    with pytest.raises(ValueError, match=f"needs at least 1 thread, but {threads} were requested"):
        Engine(threads=threads)


def test_engines_that_disagree_are_warned_of(caplog):
    with Engine(threads=2) as first, Engine(threads=3) as second:
        assert first.device == second.device
        [record] = [record for record in caplog.records if record.name.startswith("wasi_nn_torch")]
    assert record.levelname == "WARNING"
    assert "now use 3 threads, including those of an engine that asked for 2" in record.message


def test_engines_that_agree_and_those_that_are_gone_are_not(caplog):
    first = Engine(threads=2)
    second = Engine(threads=2)
    del first, second
    with Engine(threads=3):
        assert [record for record in caplog.records if record.name.startswith("wasi_nn_torch")] == []


# --- forks ---

FORK = """
import os, signal, threading
import torch
from wasi_nn_torch import Engine

def compute():
    x = torch.ones(8, 1024)
    with engine.graph("wide") as graph:
        outputs = list(graph.compute({"0": x}).values())
    return torch.equal(outputs[0], torch.full((8, 1024), 1024.0))

def child():
    assert (torch.get_num_threads(), compute()) == (1, True)
    found = []
    thread = threading.Thread(target=lambda: found.append((torch.get_num_threads(), compute())))
    thread.start()
    thread.join()
    assert found == [(1, True)]
    Engine(threads=1).close()
    try:
        Engine(threads=2)
    except RuntimeError as error:
        assert "2 threads were requested, but a computation has 1 in this process" in str(error)
        os._exit(7)

wide = torch.nn.Linear(1024, 1024, bias=False)
torch.nn.init.ones_(wide.weight)
engine = Engine(threads=2)
engine.register("wide", wide, warm_up=(8, 1024))
if not os.fork():
    signal.alarm(60)
    try:
        child()
    finally:
        os._exit(1)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
assert (torch.get_num_threads(), compute()) == (2, True)
print("fine")
"""


@pytest.mark.cpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on this system")
def test_the_child_of_a_fork_computes_with_one_thread_after_its_parent_has_computed():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert "forked after models were computed, so it computes with 1 thread" in done.stderr


# --- side by side ---

#: Where two computations wait for each other. Not a part of the module, each context of which has a copy.
meeting = threading.Barrier(2)


class Meets(nn.Module):
    """Comes to its end only while another context is in it too."""

    def forward(self, x: Tensor) -> Tensor:
        meeting.wait(PATIENCE)
        return x + 1


def test_two_guests_are_inside_one_model_at_the_same_time(device, probe_file):
    x = torch.arange(4.0)
    steps = [*begin("meets"), make("x", x), ["compute", "meets", {"x": "x"}, "y"], ["show", "y"]]

    def play() -> list[object]:
        player = Play(engine, guest)
        player.run(*steps)
        return player.answers

    with Engine(device) as engine, ThreadPoolExecutor(2) as pool:
        guest = engine.compile(probe_file)
        engine.register("meets", Meets())
        answers = [future.result() for future in [pool.submit(play) for _ in range(2)]]
    assert json.loads(json.dumps(answers)) == [[[[4], "FP32", hexadecimal(x + 1)]]] * 2


class Picture(nn.Module):
    """A network for images that remembers nothing, and so is one object for all contexts."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_contexts_that_share_a_frozen_model_do_not_disturb_each_other(device, memory, tensor, values):
    graph = graphs.load(scripted(Picture()), device, "the model", ModelOptions(Optimize.FREEZE))
    images = [torch.rand(1, 3, 8, 8) for _ in range(4)]
    start = threading.Barrier(len(images))

    def run(context: ExecutionContext, image: Tensor) -> list[list[float]]:
        start.wait(PATIENCE)
        return [values(context.compute([("x", tensor(image))])[0][1]) for _ in range(20)]

    contexts = [graph.context(memory) for _ in images]
    expected = [run_alone(context, image, tensor, values) for context, image in zip(contexts, images, strict=True)]
    with ThreadPoolExecutor(len(images)) as pool:
        for results, alone in zip(pool.map(run, contexts, images), expected, strict=True):
            assert all(result == pytest.approx(alone, rel=1e-5, abs=1e-6) for result in results)


def run_alone(context: ExecutionContext, image: Tensor, tensor, values) -> list[float]:
    return values(context.compute([("x", tensor(image))])[0][1])
