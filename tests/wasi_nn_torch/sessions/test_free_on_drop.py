"""Device memory is freed as soon as it is no longer needed, as the device's own allocator shows.

No garbage collection runs in these tests. Tests by reference counts, for any device, are in `test_release.py`.
"""

from __future__ import annotations

import io
import re
from itertools import permutations

import pytest
import torch

from tests.wasi_nn_torch.helpers.models import Add, Fails, scripted
from tests.wasi_nn_torch.helpers.playing import Play, begin, hexadecimal, zeros
from wasi_nn_torch import Engine, GuestTimeout, GuestTrap, Limits
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.pytorch.graphs import ExecutionContext, load_from_guest
from wasi_nn_torch.pytorch.tensors import DeviceTensor

pytestmark = pytest.mark.usefixtures("no_gc")

#: Elements and bytes of a vector that fills whole blocks of the allocator.
N, SIZE = 1024, 4096


class Grow(torch.nn.Module):
    """Needs much more memory than its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        return y.repeat(100).view(100, -1).sum(0)


class Kept(torch.nn.Module):
    """Returns its own memory, of which the guest gets a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(float(N)))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.weight, x + 1


class Remembers(torch.nn.Module):
    """Has a state as large as a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(N))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total += x
        return self.total


class Aliases(torch.nn.Module):
    """Returns one memory under several names: of its input, its weight and its state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4.0))
        self.register_buffer("state", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.state += x
        return {"input": x, "view": x[1:], "again": x, "weight": self.weight, "state": self.state}


@pytest.fixture(scope="module")
def engine(accelerator):
    with Engine(accelerator, guest_models="checked") as engine:
        for name, model in (("add", Add()), ("fails", Fails()), ("grow", Grow()), ("kept", Kept())):
            engine.register(name, scripted(model))
        engine.register("remembers", scripted(Remembers()))
        engine.register("grow in Python", Grow().eval())
        yield engine


@pytest.fixture
def guest(engine, probe_file):
    return engine.compile(probe_file)


@pytest.fixture
def play(engine, guest, allocated):
    """A play that observes how much more memory is in use than before it."""
    before = allocated()
    play = Play(engine, guest, lambda: allocated() - before)
    yield play
    assert allocated() == before


HOLDING = [*begin("add"), zeros("a", N), ["compute", "add", {"x": "a"}, "held"], ["say", "held"]]


# --- while the guest runs ---


def test_dropping_a_tensor_frees_it(play):
    play.run(*HOLDING, ["drop", "held"], ["say", "dropped"])
    assert play.seen == [SIZE, 0]


def test_dropping_one_tensor_keeps_the_others(play):
    play.run(
        *HOLDING, zeros("b", 2 * N), ["compute", "add", {"x": "b"}, "c"], ["say", ""], ["drop", "held"], ["say", ""]
    )
    assert play.seen == [SIZE, 3 * SIZE, 2 * SIZE]


def test_inputs_are_free_when_compute_returns(play):
    play.run(*HOLDING, ["compute", "add", {"x": "held"}, "next"], ["say", "computed"])
    assert play.seen == [SIZE, SIZE]


@pytest.mark.parametrize("unknown", ["z", ""])
def test_inputs_are_free_when_compute_refuses_them(play, unknown):
    play.run(*HOLDING, zeros("b", N), ["compute", "add", {"x": "held", unknown: "b"}, "next"])
    assert play.answers[1]["code"] == "INVALID_ARGUMENT"
    assert play.seen == [SIZE, 0]


def test_inputs_are_free_when_the_model_raises(play):
    play.run(*begin("fails"), *HOLDING, ["compute", "fails", {"x": "held"}, "next"])
    assert play.answers[1]["code"] == "RUNTIME_ERROR"
    assert play.seen == [SIZE, 0]


def test_the_state_is_free_when_the_context_is_dropped(play):
    play.run(*begin("remembers"), ["say", "begun"], ["drop", "remembers"], ["say", "dropped"])
    assert play.seen == [SIZE, 0]


def test_the_weights_of_a_guests_model_are_free_when_it_drops_the_model(play, tmp_path):
    (tmp_path / "kept.pt").write_bytes(scripted(Kept()))
    play.run(
        ["bring", "graph", "models/kept.pt", "GPU"],
        ["begin", "context", "graph"],
        ["drop", "graph"],
        ["say", "the context still needs them"],
        ["drop", "context"],
        ["say", "dropped"],
        dirs={str(tmp_path): "models"},
    )
    assert play.seen == [SIZE, 0]


def test_a_guests_model_counts_towards_its_limit_until_it_is_dropped(play, tmp_path, accelerator):
    (tmp_path / "kept.pt").write_bytes(scripted(Kept()))
    size = (tmp_path / "kept.pt").stat().st_size
    session = play.run(
        ["bring", "one", "models/kept.pt", "GPU"],
        ["bring", "other", "models/kept.pt", "GPU"],
        ["drop", "one"],
        ["bring", "other", "models/kept.pt", "GPU"],
        ["say", "loaded"],
        dirs={str(tmp_path): "models"},
        limits=Limits(device_bytes=size + SIZE - 1),
    )
    refused, loaded = play.answers
    assert refused["code"] == "TOO_LARGE"
    assert refused["text"].startswith(
        f"the model needs {size} bytes on {accelerator}, but this guest already uses {SIZE} "
    )
    assert loaded == "loaded"
    assert play.seen == [SIZE, SIZE]
    place = session.stats.memory.places[str(accelerator)]
    assert (place.bytes, place.tensors, place.peak_bytes, place.peak_tensors) == (0, 0, SIZE, 0)


def test_the_state_of_contexts_counts_towards_the_limit(play, accelerator):
    session = play.run(
        ["get", "graph", "remembers"],
        ["begin", "one", "graph"],
        ["begin", "other", "graph"],
        ["drop", "one"],
        ["begin", "other", "graph"],
        ["say", "begun"],
        limits=Limits(device_bytes=2 * SIZE - 1),
    )
    refused, begun = play.answers
    assert (refused["code"], begun) == ("TOO_LARGE", "begun")
    assert refused["text"].startswith(
        f"a context needs {SIZE} bytes on {accelerator}, but this guest already uses {SIZE} "
    )
    place = session.stats.memory.places[str(accelerator)]
    assert (place.bytes, place.tensors, place.peak_bytes) == (0, 0, SIZE)


# --- when memory runs out ---


@pytest.mark.parametrize(
    ("graph", "given", "room", "asked"),
    [
        pytest.param("add", N, SIZE // 2, SIZE, id="in an upload"),
        pytest.param("add", N, SIZE, SIZE, id="in a kernel"),
        pytest.param("grow", N, 3 * SIZE, 100 * SIZE, id="in a later kernel"),
        pytest.param("grow in Python", N, 3 * SIZE, 100 * SIZE, id="in a kernel that Python called"),
        pytest.param("kept", 1, SIZE // 2, SIZE, id="for an output"),
    ],
)
def test_running_out_of_memory_is_too_large_and_frees_everything(
    play, simulator, accelerator, graph, given, room, asked
):
    with simulator.room_for(accelerator, room):
        play.run(
            *begin(graph),
            *[zeros("a", given), ["compute", graph, {"x": "a"}, "b", "c"]] * 2,
            *[zeros("a", 0), ["compute", "add", {"x": "a"}, "d"], ["describe", "d"]] * (graph == "add"),
        )
    text = (
        f"out of memory on {accelerator} while computing `x` FP32 [{given}]: {asked} bytes more was requested; "
        "drop tensors or use smaller ones"
    )
    assert play.answers[:2] == [{"code": "TOO_LARGE", "text": text}] * 2
    assert play.seen[:2] == [0, 0]
    assert play.answers[2:] == [[[0], "FP32"]] * (graph == "add"), "the context can still be used"


def test_memory_that_was_needed_before_it_ran_out_was_in_use(play, simulator, accelerator):
    with simulator.room_for(accelerator, 3 * SIZE):
        play.run(*begin("grow"), zeros("a", N), ["compute", "grow", {"x": "a"}, "b"])
        stats = torch.accelerator.memory_stats(accelerator)
    assert stats["allocated_bytes.all.peak"] - torch.accelerator.memory_allocated(accelerator) == 2 * SIZE


def test_dropping_makes_room_for_the_next_computation(play, simulator, accelerator):
    with simulator.room_for(accelerator, 2 * SIZE):
        again = [zeros("b", N), ["compute", "add", {"x": "b"}, "next"]]
        play.run(*HOLDING, *again, ["drop", "held"], *again, ["describe", "next"])
    assert [play.answers[1]["code"], *play.answers[2:]] == ["TOO_LARGE", [[N], "FP32"]]
    assert play.seen == [SIZE, SIZE, SIZE]


def test_within_torchscript_running_out_of_memory_is_a_plain_runtime_error(simulator, accelerator, script):
    graph = load_from_guest(script(Grow()), accelerator)
    x = torch.zeros(N, device=accelerator)
    with simulator.room_for(accelerator, 3 * SIZE), pytest.raises(RuntimeError, match="out of memory") as caught:
        graph.instance()(x=x)
    assert type(caught.value) is RuntimeError


def test_without_room_for_its_state_there_is_no_context(play, simulator, accelerator):
    with simulator.room_for(accelerator, SIZE // 2):
        play.run(["get", "graph", "remembers"], ["begin", "context", "graph"])
    assert play.answers[0]["code"] == "TOO_LARGE"
    assert f"out of memory on {accelerator} while making a context: {SIZE} bytes" in play.answers[0]["text"]
    assert play.seen == [0]


def test_a_model_that_does_not_fit_is_too_large(play, simulator, accelerator, tmp_path):
    (tmp_path / "kept.pt").write_bytes(scripted(Kept()))
    with simulator.room_for(accelerator, SIZE // 2):
        play.run(["bring", "graph", "models/kept.pt", "GPU"], dirs={str(tmp_path): "models"})
    assert play.answers[0]["code"] == "TOO_LARGE"
    assert f"out of memory on {accelerator} while loading the model: {SIZE} bytes" in play.answers[0]["text"]
    assert play.seen == [0]


def test_the_operator_is_told_of_a_model_that_does_not_fit(accelerator, simulator, allocated):
    before = allocated()
    with Engine(accelerator) as engine, simulator.room_for(accelerator, SIZE // 2):
        with pytest.raises(ModelError, match=f"out of memory on {accelerator} while loading the model `kept`"):
            engine.register("kept", scripted(Kept()))
        assert allocated() == before


@pytest.mark.parametrize(
    ("graph", "limit", "text"),
    [
        ("add", SIZE // 2, f"tensor `x` needs {SIZE} bytes on .*, but this guest already uses 0 .limit {SIZE // 2}"),
        ("kept", SIZE, rf"output `\d` needs {SIZE} bytes on .*, but this guest already uses {SIZE} .limit {SIZE}"),
    ],
)
def test_exceeding_the_limit_of_the_session_frees_everything(play, graph, limit, text):
    steps = [*begin(graph), zeros("a", N), ["compute", graph, {"x": "a"}, "b", "c"]]
    play.run(*steps, limits=Limits(device_bytes=limit))
    assert play.answers[0]["code"] == "TOO_LARGE"
    assert re.search(text, play.answers[0]["text"])
    assert play.seen == [0]


# --- when the guest or the host ends ---


@pytest.mark.parametrize(
    ("ending", "raises"),
    [
        pytest.param([], None, id="returns"),
        pytest.param([["leave_with", "1"]], None, id="exits"),
        pytest.param([["refuse"]], None, id="returns an error"),
        pytest.param([["trap"]], GuestTrap, id="traps"),
        pytest.param([["loop"]], GuestTimeout, id="is stopped"),
    ],
)
def test_the_memory_of_a_guest_is_free_when_it(play, ending, raises, allocated):
    before = allocated()
    session = play.session(*begin("remembers"), *HOLDING, *ending, limits=Limits(timeout=2 if raises else 60))
    if raises is None:
        session.run(play.guest)
        assert allocated() == before
    else:
        with pytest.raises(raises) as caught:
            session.run(play.guest)
        assert allocated() == before, "while the error is alive, and the session is not closed"
        assert caught.value is not None
    assert play.seen == [2 * SIZE], "it held a tensor and a state"
    session.close()


def test_the_memory_of_a_guest_is_free_when_the_host_fails(play, allocated):
    def fail() -> int:
        raise RuntimeError("of the test")

    before = allocated()
    play.look = fail
    with play.session(*HOLDING) as session, pytest.raises(RuntimeError, match="of the test"):
        session.run(play.guest)
    assert allocated() == before


def test_closing_a_session_frees_tensors_that_no_guest_got(accelerator, engine, allocated, tensor, ledger):
    before = allocated()
    left = tensor(torch.zeros(N))
    left.on(accelerator, "x")
    assert allocated() == before + SIZE
    ledger.sweep()
    assert allocated() == before


def test_closing_the_engine_frees_the_weights(accelerator, probe_file, allocated):
    before = allocated()
    with Engine(accelerator) as engine:
        engine.register("kept", scripted(Kept()))
        assert allocated() == before + SIZE
        Play(engine, engine.compile(probe_file)).run(
            *begin("kept"), zeros("a", N), ["compute", "kept", {"x": "a"}, "b", "c"]
        )
        assert allocated() == before + SIZE
    assert allocated() == before


def test_weights_that_a_guest_uses_stay_until_it_drops_them(accelerator, probe_file, allocated):
    before = allocated()
    with Engine(accelerator) as engine:
        engine.register("kept", scripted(Kept()))
        play = Play(engine, engine.compile(probe_file), lambda: engine.close() or allocated() - before)
        play.run(*begin("kept"), ["say", "closed"], ["drop", "kept", "graph kept"], ["say", "dropped"])
    assert play.seen == [SIZE, 0]
    assert allocated() == before


# --- where freed memory goes ---


@pytest.mark.parametrize(("release", "stays"), [("pool", True), ("driver", False)])
def test_when_a_session_ends_freed_memory_stays_in_the_pool_or_goes_to_the_driver(
    release, stays, accelerator, probe_file
):
    torch.accelerator.empty_cache()
    before = torch.accelerator.memory_reserved(accelerator)
    with Engine(accelerator, release=release) as engine:
        engine.register("add", scripted(Add()))
        play = Play(engine, engine.compile(probe_file), lambda: torch.accelerator.memory_reserved(accelerator) - before)
        play.run(*HOLDING, ["drop", "held"], ["say", "dropped"])
        assert play.seen[-1] > 0
        assert (torch.accelerator.memory_reserved(accelerator) > before) == stays


def test_closing_the_engine_gives_the_weights_back_to_the_driver(accelerator):
    torch.accelerator.empty_cache()
    before = torch.accelerator.memory_reserved(accelerator)
    with Engine(accelerator, release="driver") as engine:
        engine.register("kept", scripted(Kept()))
        assert torch.accelerator.memory_reserved(accelerator) > before
    assert torch.accelerator.memory_reserved(accelerator) == before


# --- outputs that share memory ---


def test_outputs_on_the_same_memory_are_dropped_in_any_order(accelerator, allocated, memory, tensor, values):
    context = ExecutionContext(load_from_guest(scripted(Aliases()), accelerator), memory)
    before = allocated()

    def compute() -> dict[str, DeviceTensor]:
        return dict(context.compute([("x", tensor(torch.ones(4)))]))

    for rounds, order in enumerate(permutations(["input", "view", "again", "weight", "state"])):
        outputs = compute()
        expected = {
            "input": [1.0] * 4,
            "view": [1.0] * 3,
            "again": [1.0] * 4,
            "weight": [0.0, 1.0, 2.0, 3.0],
            "state": [2.0 * rounds + 1] * 4,
        }
        later = compute()  # changes the state
        for name in order:
            later.pop(name).drop()
            outputs.pop(name).drop()
            expected.pop(name)
            assert {kept: values(output) for kept, output in outputs.items()} == expected
        assert allocated() == before


def test_an_output_is_kept_beyond_its_context_its_graph_and_its_engine(accelerator, probe_file, allocated):
    before = allocated()
    with Engine(accelerator) as engine:
        engine.register("kept", scripted(Kept()))
        play = Play(engine, engine.compile(probe_file), lambda: engine.close() or allocated() - before)
        play.run(
            *begin("kept"),
            zeros("a", N),
            ["compute", "kept", {"x": "a"}, "weight", "more"],
            ["drop", "kept", "graph kept", "more"],
            ["say", "closed"],
            ["show", "weight"],
        )
    assert play.seen == [SIZE, SIZE]
    assert play.answers[1] == [[N], "FP32", hexadecimal(torch.arange(float(N)))]
    assert allocated() == before


# --- models of other formats ---


def exported(model: torch.nn.Module, *inputs: torch.Tensor) -> bytes:
    """A model as the bytes of an exported program."""
    file = io.BytesIO()
    torch.export.save(torch.export.export(model.eval(), inputs), file)
    return file.getvalue()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: exported(Remembers(), torch.ones(N)), id="exported program"),
        pytest.param(lambda: Remembers().eval(), id="module"),
    ],
)
def test_nothing_of_a_model_stays(accelerator, probe_file, allocated, source):
    model = source()
    before = allocated()
    with Engine(accelerator) as engine:
        engine.register("remembers", model)
        loaded = allocated() - before
        play = Play(engine, engine.compile(probe_file), lambda: allocated() - before - loaded)
        play.run(
            *begin("remembers"),
            *[zeros("a", N), ["compute", "remembers", {"0": "a"}, "b"]] * 2,
            ["say", "state and output"],
            *[zeros("a", N + 1), ["compute", "remembers", {"0": "a"}, "b"]],
            ["drop", "remembers", "graph remembers", "b"],
            ["say", "dropped"],
        )
        assert play.answers[1]["code"] in ("INVALID_ARGUMENT", "RUNTIME_ERROR")
        assert play.seen == [2 * SIZE, 2 * SIZE, 0]
    del model
    assert allocated() == before
