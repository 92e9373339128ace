"""A real guest in a session: its access to the host, how its run ends, and that nothing of it stays."""

from __future__ import annotations

import gc
import json
import os
import re
import threading
import weakref
from functools import partial

import pytest
import torch

import wit_host
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Fails, Split, Writes, scripted
from wasi_nn_torch import Directory, Engine, GuestTimeout, GuestTrap, Limits
from wasi_nn_torch.contract.ledger import STAGING, Transfer
from wit_host.crossing.memory import unsupported


class Outcome:
    """The outcome of a run: its status, its answers, and the session's figures."""

    def __init__(self, status, stdout, stderr, stats):
        self.status = status
        self.stdout = stdout
        self.answers = [json.loads(line) for line in stdout.splitlines() if line[:1] in "[{tfn0123456789"]
        self.stderr = stderr
        self.stats = stats


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device)) as engine:
        engine.register("add", scripted(Add()))
        engine.register("fails", scripted(Fails()))
        engine.register("split", scripted(Split()))
        yield engine


@pytest.fixture(scope="module")
def probe(engine, probe_file):
    return engine.compile(probe_file)


@pytest.fixture
def run(engine, probe):
    """Run the probe; whatever happens, no tensor may be alive afterwards."""

    def run(*args, **options):
        out, err = [], []
        session = engine.session(args=args, stdout=out.append, stderr=err.append, **options)
        try:
            with session:
                status = session.run(probe)
                assert session.stats.memory.live_tensors == 0, "before the session is closed"
        finally:
            assert session.stats.memory.live_tensors == 0
            assert session.stats.memory.live_bytes == 0
        return Outcome(status, b"".join(out).decode(), b"".join(err).decode(), session.stats)

    return run


def floats(*values):
    return torch.tensor(values, dtype=torch.float32).numpy().tobytes().hex()


def inputs(*values):
    return json.dumps(values)


def add(x, y=None):
    return inputs(["x", [len(x)], "FP32", floats(*x)], ["y", [len(y or x)], "FP32", floats(*(y or x))])


# --- tensors and graphs ---


@pytest.mark.parametrize("ty", ["FP16", "FP32", "FP64", "BF16", "U8", "I32", "I64"])
def test_tensors_of_every_type_come_back_bit_for_bit(run, ty):
    size = {"FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2, "U8": 1, "I32": 4, "I64": 8}[ty]
    content = bytes(range(0x70, 0x70 + 6 * size)).hex()
    assert run("tensors", inputs([[2, 3], ty, content])).answers == [[[2, 3], ty, content]]


def test_a_graph_is_computed_by_name(run):
    outcome = run("by_name", "add", add([1.0, 2.0], [10.0, 20.0]))
    assert outcome.answers == [[["output", [2], "FP32", floats(11.0, 22.0)]]]
    assert outcome.status == 0


def test_a_context_computes_again_and_again(run):
    outcome = run("by_name", "add", add([1.0]), add([2.0, 3.0]), add([4.0]))
    assert [answer[0][3] for answer in outcome.answers] == [floats(2.0), floats(4.0, 6.0), floats(8.0)]


def test_a_guest_loads_the_model_that_it_supplies(run, tmp_path):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    outcome = run("from_bytes", "models/add.pt", "PYTORCH", "CPU", add([1.0]), dirs={str(tmp_path): "models"})
    assert outcome.answers == [[["output", [1], "FP32", floats(2.0)]]]


def test_autodetect_finds_torchscript(run, tmp_path):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    outcome = run("from_bytes", "models/add.pt", "AUTODETECT", "CPU", add([1.0]), dirs={str(tmp_path): "models"})
    assert outcome.answers == [[["output", [1], "FP32", floats(2.0)]]]


def test_outputs_feed_the_next_computation_without_a_copy(run):
    outcome = run("chain", "add", "3", inputs(["x", [2], "FP32", floats(1.0, 2.0)]))
    assert outcome.answers == [[["output", [2], "FP32", floats(4.0, 5.0)]]]
    transfers = outcome.stats.memory.transfers
    assert transfers[Transfer.GUEST_TO_HOST].copies == 1
    assert transfers[Transfer.DEVICE_TO_DEVICE].copies == 0


# --- errors that a guest is told ---


REFUSALS = {
    "wrong dtype": (
        ["by_name", "fails", inputs(["x", [1], "I32", "00000000"])],
        "RUNTIME_ERROR",
        "the model failed while computing `x` I32 [1]: ValueError: expected floats",
    ),
    "wrong rank": (
        ["by_name", "fails", inputs(["x", [2, 2], "FP32", floats(1, 2, 3, 4)])],
        "RUNTIME_ERROR",
        "expected a vector",
    ),
    "unknown graph": (
        ["by_name", "ad"],
        "NOT_FOUND",
        "there is no graph `ad`; this host offers `add`, `fails`, `split`",
    ),
    "missing input": (["by_name", "fails", inputs()], "INVALID_ARGUMENT", "missing: `x`"),
    "unknown input": (
        ["by_name", "add", inputs(["x", [1], "FP32", floats(1)], ["z", [1], "FP32", floats(1)])],
        "INVALID_ARGUMENT",
        "`z`",
    ),
    "repeated input": (
        ["by_name", "add", inputs(["x", [1], "FP32", floats(1)], ["x", [1], "FP32", floats(1)])],
        "INVALID_ARGUMENT",
        "repeated: `x`",
    ),
    "data too short": (
        ["by_name", "fails", inputs(["x", [3], "FP32", floats(1, 2)])],
        "INVALID_ARGUMENT",
        "need 12 bytes, but 8 were given",
    ),
    "data too long": (
        ["by_name", "fails", inputs(["x", [1], "FP32", floats(1, 2)])],
        "INVALID_ARGUMENT",
        "need 4 bytes, but 8 were given",
    ),
    "dimensions that overflow": (
        ["by_name", "fails", inputs(["x", [2**32 - 1] * 4, "FP32", floats(1)])],
        "INVALID_ARGUMENT",
        str((2**32 - 1) ** 4 * 4),
    ),
    "a model that raises": (["by_name", "fails", inputs(["x", [1], "FP32", floats(1)])], "RUNTIME_ERROR", "on purpose"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_guest_is_told_what_is_wrong_and_goes_on(run, case):
    arguments, code, text = REFUSALS[case]
    outcome = run(*arguments)
    assert outcome.status == 0
    assert outcome.answers[0]["code"] == code
    assert text in outcome.answers[0]["text"]
    assert "/" not in outcome.answers[0]["text"], "no paths of the host"


def test_a_computation_that_fails_leaves_the_context_usable(run):
    bad = inputs(["x", [1], "FP32", floats(1)], ["z", [1], "FP32", floats(1)])
    outcome = run("by_name", "add", bad, add([1.0]))
    assert outcome.answers[0]["code"] == "INVALID_ARGUMENT"
    assert outcome.answers[1] == [["output", [1], "FP32", floats(2.0)]]


@pytest.mark.parametrize(
    ("encoding", "target", "content", "code", "text"),
    [
        ("GGML", "CPU", b"anything", "INVALID_ENCODING", "no backend for the encoding ggml"),
        ("PYTORCH", "CPU", b"no model", "INVALID_ENCODING", "TorchScript"),
        pytest.param("PYTORCH", "GPU", None, "UNSUPPORTED_OPERATION", "chose the CPU", marks=pytest.mark.cpu),
        ("PYTORCH", "TPU", None, "UNSUPPORTED_OPERATION", "no TPU"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_refused(run, tmp_path, encoding, target, content, code, text):
    (tmp_path / "model.pt").write_bytes(scripted(Add()) if content is None else content)
    outcome = run("from_bytes", "models/model.pt", encoding, target, dirs={str(tmp_path): "models"})
    assert outcome.answers[0]["code"] == code
    assert text in outcome.answers[0]["text"]


def test_the_target_gpu_is_the_accelerator_of_the_host(run, tmp_path, accelerator):
    (tmp_path / "add.pt").write_bytes(scripted(Add()))
    outcome = run("from_bytes", "models/add.pt", "PYTORCH", "GPU", add([1.0]), dirs={str(tmp_path): "models"})
    assert outcome.answers == [[["output", [1], "FP32", floats(2.0)]]]
    assert outcome.stats.memory.places[str(accelerator)].peak_tensors > 0


@pytest.mark.parametrize("paths", ["", "models/model.pt,models/model.pt"])
def test_a_pytorch_model_is_exactly_one_builder(run, tmp_path, paths):
    (tmp_path / "model.pt").write_bytes(scripted(Add()))
    outcome = run("from_bytes", paths, "PYTORCH", "CPU", dirs={str(tmp_path): "models"})
    assert outcome.answers[0]["code"] == "INVALID_ARGUMENT"


def test_a_model_that_reaches_beyond_tensors_is_refused(run, tmp_path):
    (tmp_path / "model.pt").write_bytes(scripted(Writes()))
    outcome = run("from_bytes", "models/model.pt", "PYTORCH", "CPU", dirs={str(tmp_path): "models"})
    assert outcome.answers[0]["code"] == "SECURITY"
    assert "save" in outcome.answers[0]["text"]


@pytest.mark.skipif(os.name == "nt", reason="bytes do not cross by address there")
def test_a_model_of_a_guest_may_be_as_large_as_its_memory(run, tmp_path):
    class Large(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(5_000_000))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.weight[0]

    (tmp_path / "large.pt").write_bytes(scripted(Large()))
    assert (tmp_path / "large.pt").stat().st_size > 20_000_000
    one = inputs(["x", [1], "FP32", floats(1.0)])
    outcome = run("from_bytes", "models/large.pt", "PYTORCH", "CPU", one, dirs={str(tmp_path): "models"})
    assert outcome.answers == [[["output", [1], "FP32", floats(2.0)]]]


def test_models_of_guests_are_refused_if_the_operator_says_so(probe_file, tmp_path, device):
    (tmp_path / "model.pt").write_bytes(scripted(Add()))
    out = []
    arguments = ["from_bytes", "models/model.pt", "PYTORCH", "CPU"]
    options = {"args": arguments, "dirs": {str(tmp_path): "models"}, "stdout": out.append}
    with Engine(device, guest_models="none") as engine, engine.session(**options) as session:
        session.run(probe_file)
    refusal = json.loads(b"".join(out))
    assert refusal["code"] == "SECURITY"
    assert "`--guest-models`" in refusal["text"]


# --- how a guest ends ---


def test_the_exit_status_is_the_guests(run):
    assert run("leave_with", "0").status == 0
    assert run("leave_with", "3").status == 1, "WASI 0.2 carries success or failure only"
    assert run("refuse").status == 1


def test_a_guest_that_traps_is_told_in_one_line(run):
    with pytest.raises(GuestTrap, match=r"^probe\.wasm trapped: [^\n]+$"):
        run("trap")


def test_a_guest_that_loops_is_stopped(run):
    with pytest.raises(GuestTimeout, match=r"probe\.wasm did not end within 0\.5 s"):
        run("loop", limits=Limits(timeout=0.5))


@pytest.mark.parametrize(
    ("ending", "raises"),
    [(["leave_with", "1"], None), (["refuse"], None), (["trap"], GuestTrap), (["loop"], GuestTimeout)],
    ids=["exits", "returns an error", "traps", "is stopped"],
)
def test_tensors_that_a_guest_leaves_behind_are_freed(run, ending, raises):
    limits = Limits(timeout=2 if ending == ["loop"] else 60)
    if raises is None:
        assert run("leave_and", "add", *ending, limits=limits).status == 1
    else:
        with pytest.raises(raises):
            run("leave_and", "add", *ending, limits=limits)


def test_tensors_that_a_guest_leaves_behind_when_it_returns_are_freed(run, device):
    outcome = run("leave", "add")
    assert outcome.status == 0
    assert outcome.stats.memory.places[str(device)].peak_tensors > 0


@pytest.mark.skipif(bool(unsupported()), reason=unsupported() or "memories can be reserved")
def test_a_tensor_may_be_as_large_as_it_likes(run):
    assert run("big", str(20_000_000)).answers == [True]


@pytest.mark.cpu
def test_a_tensor_beyond_the_engines_limit_for_lists_gets_a_clear_error(run, monkeypatch, probe_file):
    monkeypatch.setattr("wit_host.Engine", partial(wit_host.Engine, transports=()))
    with Engine(device="cpu") as engine, engine.session(args=["big", str(3_000_000)]) as session:
        with pytest.raises(GuestTrap, match=r"the engine.s limit for one call: .* or lists of about 2\.8 million"):
            session.run(probe_file)
        assert session.stats.transport == "list (the engine uses no addresses; the engine uses no strings)"


@pytest.mark.cpu
def test_tensors_cross_as_strings_if_memories_cannot_be_reserved(run, monkeypatch, probe_file):
    monkeypatch.setattr("wit_host.engine.unsupported", lambda: "memories cannot be reserved on plan9")
    with Engine(device="cpu") as engine, engine.session(args=["big", str(1_000_000)]) as session:
        session.run(probe_file)
        assert session.stats.transport.startswith("latin-1 (memories cannot be reserved on plan9)")


def test_memory_is_free_without_a_garbage_collection(engine, probe):
    gc.collect()
    gc.disable()
    try:
        session = engine.session(args=["leave", "add"], stdout=lambda _: None)
        session.run(probe)
        seen = weakref.ref(session)
        session.close()
        del session
        assert seen() is None
    finally:
        gc.enable()


# --- what a guest may reach ---


def test_arguments_environment_and_standard_input_reach_the_guest(run, tmp_path):
    (tmp_path / "stdin").write_text("typed")
    outcome = run("surroundings", "--stats", "-x", "", "ü", env={"A": "1", "B": "x=y"}, stdin=tmp_path / "stdin")
    [arguments, environment, typed] = outcome.answers[0]
    assert arguments == ["probe.wasm", "surroundings", "--stats", "-x", "", "ü"]
    assert environment == {"A": "1", "B": "x=y"}
    assert typed == "typed"


def test_a_guest_reads_and_writes_its_directories(run, tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    assert run("copy", "data/a", "data/b", dirs={str(tmp_path): Directory("data", writable=True)}).status == 0
    assert (tmp_path / "b").read_bytes() == b"content"


def test_a_guest_sees_nothing_outside_its_directories(run, tmp_path):
    (tmp_path / "secret").write_bytes(b"content")
    (tmp_path / "inner").mkdir()
    with pytest.raises(GuestTrap):
        run("copy", "data/../secret", "data/b", dirs={str(tmp_path / "inner"): "data"})


def test_output_goes_to_the_streams_that_were_given(run):
    outcome = run("speak", "hello")
    assert (outcome.stdout, outcome.stderr) == ("hello\n", "hello\n")


def test_a_missing_directory_is_refused_before_anything_runs(engine, tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere"):
        engine.session(dirs={str(tmp_path / "nowhere"): "data"})


@pytest.mark.parametrize("text", ["a\0b", "\udcff"])
def test_text_that_wasi_cannot_carry_is_refused(engine, text):
    with pytest.raises(ValueError, match="the guest's"):
        engine.session(args=[text])


# --- limits, and sessions beside each other ---


def test_limits_on_tensors_are_kept(run):
    outcome = run("by_name", "add", add([1.0] * 200), add([1.0]), limits=Limits(device_bytes=1000))
    assert outcome.answers[0]["code"] == "TOO_LARGE"
    assert outcome.answers[1] == [["output", [1], "FP32", floats(2.0)]]


def test_a_tensor_beyond_the_hosts_limit_traps_with_the_numbers(run):
    with pytest.raises(GuestTrap, match=r"constructor of a tensor.* needs 8 bytes .*\(limit 4\)"):
        run("tensors", inputs([[2], "FP32", floats(1, 2)]), limits=Limits(host_bytes=4))


def test_a_guest_that_keeps_every_error_meets_the_limit_on_resources(run):
    with pytest.raises(GuestTrap, match="the guest holds 3 resources, and may hold no more"):
        run("leave", "add", limits=Limits(resources=3))


def test_the_limit_on_the_number_of_tensors_is_kept(run):
    limits = Limits(tensors=2)
    one = inputs(["x", [1], "FP32", floats(1.0)])
    assert run("chain", "add", "3", one, limits=limits).answers == [[["output", [1], "FP32", floats(4.0)]]]
    with pytest.raises(
        GuestTrap, match=r"constructor of a tensor.* one tensor too many: this guest already has 2 \(limit 2\)"
    ):
        run("leave_and", "add", "tensors", inputs(*[[[1], "FP32", floats(1.0)]] * 2), limits=limits)


def test_a_model_with_more_outputs_than_the_guest_may_have_tensors_is_too_large(run):
    outcome = run("by_name", "split", inputs(["x", [3], "FP32", floats(1, 2, 3)]), limits=Limits(tensors=2))
    assert outcome.answers[0]["code"] == "TOO_LARGE"
    assert "is one tensor too many: this guest already has 2 (limit 2)" in outcome.answers[0]["text"]


def test_the_limit_on_memory_is_kept(run):
    with pytest.raises(GuestTrap):
        run("speak", "hello", limits=Limits(memory=1 << 20))


def test_a_session_runs_once(engine, probe):
    with engine.session(args=["speak", "x"], stdout=lambda _: None, stderr=lambda _: None) as session:
        session.run(probe)
        with pytest.raises(RuntimeError, match="one guest, once"):
            session.run(probe)
    with pytest.raises(RuntimeError, match="one guest, once"):
        session.run(probe)


def test_sessions_run_side_by_side(run):
    results = {}

    def work(number):
        results[number] = run("by_name", "add", add([float(number)])).answers

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [[["output", [1], "FP32", floats(2.0 * number)]]] for number in range(4)}


def test_the_figures_count_what_was_done(run):
    outcome = run("by_name", "add", add([1.0, 2.0]))
    stats = outcome.stats
    assert stats.calls["wasi:nn/tensor@0.2.0-rc-2024-10-28#[constructor]tensor"] == 2
    assert stats.calls["wasi:nn/inference@0.2.0-rc-2024-10-28#[method]graph-execution-context.compute"] == 1
    assert stats.memory.transfers[Transfer.GUEST_TO_HOST].bytes == 16
    assert stats.memory.places[STAGING].peak_bytes == 16
    assert stats.memory.computes == 1
    assert stats.transport.startswith("latin-1" if unsupported() else "pointer")
    assert 0 < stats.memory.compute_seconds < stats.run_seconds


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"args": "data/cat.json"}, '`args` takes several texts, such as ["--verbose", "photo.jpg"], not str'),
        ({"args": [1]}, '`args` takes texts, such as ["--verbose", "photo.jpg"], not int'),
        ({"env": {"LIMIT": 5}}, "the guest's value of LIMIT takes a str, not int"),
    ],
)
def test_arguments_and_variables_that_are_not_texts_are_refused(engine, options, text):
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        engine.session(**options)
