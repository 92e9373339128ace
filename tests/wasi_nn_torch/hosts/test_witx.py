"""`wasi_ephemeral_nn`: each function of the ABI and each of its numbers, called by a core module."""

from __future__ import annotations

import gc
import json
import struct

import pytest
import torch
import wasmtime

from tests.guests.witx import (
    ALL,
    ANSWER,
    AUTO,
    AUTODETECT,
    CPU,
    DATA,
    F16,
    F32,
    F64,
    GPU,
    I32,
    I64,
    PYTORCH,
    RECORD,
    TPU,
    U8,
    Refused,
    command,
    playing,
)
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Fails, Scale, Split, scripted
from wasi_nn_bindings import v2024_10_28 as wit
from wasi_nn_torch import Engine, GuestTimeout, GuestTrap, Limits, hosts
from wasi_nn_torch.contract.errors import ErrorCode
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.hosts.witx_numbers import ERRNOS, WASMEDGE, WITX, Errno


class Stacked(torch.nn.Module):
    """Takes three inputs, of which the last may be left out."""

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        return torch.stack([a, b, torch.zeros_like(a) if c is None else c])


class Several(torch.nn.Module):
    """Returns outputs by name, one of them larger than the others."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"z": x + 1, "a": torch.cat([x, x]), "scalar": x.sum()}


class Counts(torch.nn.Module):
    """Has a state: the number of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


class DoublesInPlace(torch.nn.Module):
    """Writes to its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2)


class Cast(torch.nn.Module):
    """Returns its input, as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1


MODELS = {
    "add": Add(),
    "stacked": Stacked(),
    "several": Several(),
    "counts": Counts(),
    "cast": Cast(),
    "doubles in place": DoublesInPlace(),
    "fails": Fails(),
    "split": Split(),
}


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device), cache=False) as engine:
        for name, model in MODELS.items():
            engine.register(name, scripted(model))
        yield engine


@pytest.fixture
def guest(engine):
    with playing(engine) as guest:
        yield guest


def refusal(function, *arguments, **options):
    """The errno with which a call is refused."""
    with pytest.raises(Refused) as caught:
        function(*arguments, **options)
    return caught.value.errno


def floats(content):
    return list(struct.unpack(f"<{len(content) // 4}f", content))


# --- the numbers ---


def test_the_errnos_are_those_of_the_specification():
    names = """success invalid_argument invalid_encoding missing_memory busy runtime_error unsupported_operation
               too_large not_found""".split()
    assert {errno.name.lower(): errno.value for errno in Errno} == {name: index for index, name in enumerate(names)}


def test_every_code_of_an_error_has_an_errno():
    assert {code: errno.value for code, errno in ERRNOS.items()} == {
        ErrorCode.INVALID_ARGUMENT: 1,
        ErrorCode.INVALID_ENCODING: 2,
        ErrorCode.TIMEOUT: 5,
        ErrorCode.RUNTIME_ERROR: 5,
        ErrorCode.UNSUPPORTED_OPERATION: 6,
        ErrorCode.TOO_LARGE: 7,
        ErrorCode.NOT_FOUND: 8,
        ErrorCode.SECURITY: 6,
        ErrorCode.UNKNOWN: 5,
    }
    assert set(ERRNOS) == set(ErrorCode)


def test_the_numbers_of_witx():
    assert {number: type_.name for number, type_ in WITX.element_types.items()} == {
        0: "FP16", 1: "FP32", 2: "FP64", 3: "U8", 4: "I32", 5: "I64",
    }  # fmt: skip
    assert {number: encoding.name for number, encoding in WITX.encodings.items()} == {
        0: "OPENVINO", 1: "ONNX", 2: "TENSORFLOW", 3: "PYTORCH", 4: "TENSORFLOWLITE", 5: "AUTODETECT",
    }  # fmt: skip
    assert {number: [target.name for target in targets] for number, targets in WITX.targets.items()} == {
        0: ["CPU"], 1: ["GPU"], 2: ["TPU"],
    }  # fmt: skip


def test_the_numbers_of_wasmedge_are_those_of_witx_and_two_more():
    assert WASMEDGE.element_types == WITX.element_types
    assert dict(WASMEDGE.encodings) == {**WITX.encodings, 6: Encoding.GGML}
    assert dict(WASMEDGE.targets) == {**WITX.targets, 3: (ExecutionTarget.GPU, ExecutionTarget.CPU)}


def test_the_numbers_of_wit_are_different():
    """The same word has another number in WIT, so the table of one ABI cannot be used for the other."""
    types = {case.name: number for number, case in enumerate(wit.tensor.TensorType)}
    assert types == {"FP16": 0, "FP32": 1, "FP64": 2, "BF16": 3, "U8": 4, "I32": 5, "I64": 6}
    ours = {type_.name: number for number, type_ in WITX.element_types.items()}
    assert {name: types[name] - number for name, number in ours.items() if types[name] != number} == {
        "U8": 1,
        "I32": 1,
        "I64": 1,
    }
    encodings = {case.name: number for number, case in enumerate(wit.graph.GraphEncoding)}
    assert encodings == {
        "OPENVINO": 0, "ONNX": 1, "TENSORFLOW": 2, "PYTORCH": 3, "TENSORFLOWLITE": 4, "GGML": 5, "AUTODETECT": 6,
    }  # fmt: skip


def test_every_function_has_the_type_of_its_abi(engine):
    with engine._runtime.open_core_store(wasmtime.WasiConfig(), Limits()) as store:
        hosts.add_to_core_linker(store.linker)
        hosts.serve(store, engine._runtime.serve(Ledger()))
        defined = {name: len(each.parameters) for (_, name), each in store.linker.functions.items()}
    assert defined == ALL
    assert {module for module, _ in store.linker.functions} <= {"wasi_ephemeral_nn"}


# --- inference ---


def test_a_graph_computes_what_pytorch_does(guest):
    context = guest.begin("add")
    guest.set_input(context, 0, 1, 2, 3)
    guest.set_input(context, 1, 10, 20, 30)
    guest.compute(context)
    assert guest.floats(context) == [11, 22, 33]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_inputs_come_in_any_order(order, guest):
    context = guest.begin("stacked")
    for index in order:
        guest.set_input(context, index, index + 1)
    guest.compute(context)
    assert guest.floats(context) == [1, 2, 3]


def test_an_optional_input_can_be_left_out(guest):
    context = guest.begin("stacked")
    guest.set_input(context, 1, 2)
    guest.set_input(context, 0, 1)
    guest.compute(context)
    assert guest.floats(context) == [1, 2, 0]


@pytest.mark.parametrize("given", [(), (0,), (1,), (0, 2), (1, 2), (0, 1, 3), (0, 1, 2, 3), (2**32 - 1,), (7, 9)])
def test_gaps_and_too_many_inputs_are_invalid_arguments(given, guest):
    context = guest.begin("stacked")
    for index in given:
        guest.set_input(context, index, 1)
    assert refusal(guest.compute, context) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize("index", [1, 2, 1000, 2**32 - 1])
def test_the_only_input_of_a_model_is_number_0(index, guest):
    context = guest.begin("cast")
    guest.set_input(context, index, 1)
    assert refusal(guest.compute, context) == Errno.INVALID_ARGUMENT


def test_the_last_tensor_that_was_set_counts(guest):
    context = guest.begin("cast")
    guest.set_input(context, 0, 1)
    guest.set_input(context, 0, 2, 3)
    guest.compute(context)
    assert guest.floats(context) == [2, 3]


def test_a_tensor_that_is_refused_leaves_the_one_before(guest):
    context = guest.begin("cast")
    guest.set_input(context, 0, 1)
    guest.tensor([3], F32, b"1234")
    assert guest.call("set_input", context, 0, RECORD) == Errno.INVALID_ARGUMENT
    guest.compute(context)
    assert guest.floats(context) == [1]


def test_outputs_are_numbered_in_the_order_of_the_model(guest):
    context = guest.begin("several")
    guest.set_input(context, 0, 1, 2)
    guest.compute(context)
    assert [guest.floats(context, index) for index in (2, 0, 1, 0)] == [[3], [2, 3], [1, 2, 1, 2], [2, 3]]
    assert refusal(guest.output, context, 3) == Errno.INVALID_ARGUMENT


def test_nothing_of_an_earlier_compute_remains(guest):
    context = guest.begin("split")
    guest.set_input(context, 0, 1, 2, 3)
    guest.compute(context)
    assert [guest.floats(context, index) for index in range(3)] == [[1], [2], [3]]
    guest.set_input(context, 0, 4)
    guest.compute(context)
    assert guest.floats(context, 0) == [4]
    assert refusal(guest.output, context, 1) == Errno.INVALID_ARGUMENT


def test_an_input_stays_until_it_is_replaced(guest):
    context = guest.begin("add")
    guest.set_input(context, 0, 1)
    guest.set_input(context, 1, 10)
    guest.compute(context)
    assert guest.floats(context) == [11]
    guest.set_input(context, 0, 2)
    for _ in range(2):
        guest.compute(context)
        assert guest.floats(context) == [12]
    assert guest.ledger.snapshot().live_tensors == 3


def test_a_model_that_writes_to_an_input_does_not_change_the_kept_one(guest):
    context = guest.begin("doubles in place")
    guest.set_input(context, 0, 1, 2)
    for _ in range(3):
        guest.compute(context)
        assert guest.floats(context) == [2, 4]
    assert guest.ledger.snapshot().live_tensors == 2


def test_a_compute_that_fails_leaves_its_inputs_and_no_outputs(guest):
    context = guest.begin("add")
    guest.set_input(context, 0, 1, 2)
    guest.compute(context)
    guest.set_input(context, 1, 1, 2, 3)
    assert refusal(guest.compute, context) == Errno.RUNTIME_ERROR
    assert refusal(guest.output, context, 0) == Errno.INVALID_ARGUMENT
    assert guest.ledger.snapshot().live_tensors == 2
    guest.set_input(context, 1, 10, 20)
    guest.compute(context)
    assert guest.floats(context) == [11, 22]


def test_an_input_that_was_set_under_a_wrong_number_stays_too(guest):
    context = guest.begin("cast")
    guest.set_input(context, 1, 1)
    for _ in range(2):
        assert refusal(guest.compute, context) == Errno.INVALID_ARGUMENT
        assert guest.ledger.snapshot().live_tensors == 1


def test_a_model_that_fails_is_a_runtime_error(guest):
    context = guest.begin("fails")
    guest.set_input(context, 0, 1)
    assert refusal(guest.compute, context) == Errno.RUNTIME_ERROR


@pytest.mark.parametrize(
    ("type_", "values"),
    [(F16, [0.5, -2]), (F32, [0.5, -2]), (F64, [0.1, -2]), (U8, [0, 255]), (I32, [-7, 2**31 - 1]), (I64, [-7, 2**62])],
)
def test_each_type_of_a_tensor_crosses_both_ways(type_, values, guest):
    context = guest.begin("cast")
    guest.set_input(context, 0, *values, type_=type_)
    before = guest.get(DATA, 2 * WITX.element_types[type_].item_size)
    guest.compute(context)
    guest.put(DATA, bytes(64))
    assert guest.output(context, 0) == before


def test_an_empty_tensor_is_a_tensor(guest):
    context = guest.begin("cast")
    guest.set_input(context, 0, shape=[3, 0, 2])
    guest.compute(context)
    assert guest.output(context, 0) == b""


def test_a_tensor_without_dimensions_has_one_element(guest):
    context = guest.begin("cast")
    guest.tensor([], F32, struct.pack("<f", 3))
    guest.checked("set_input", context, 0, RECORD)
    guest.compute(context)
    assert guest.floats(context) == [3]


def test_contexts_of_one_graph_have_their_own_inputs_outputs_and_state(guest):
    graph = guest.load_by_name("counts")
    one, other = guest.context(graph), guest.context(graph)
    for expected in (11, 12, 13):
        guest.set_input(one, 0, 10)
        guest.compute(one)
        assert guest.floats(one) == [expected]
    guest.set_input(other, 0, 10)
    guest.compute(other)
    assert (guest.floats(one), guest.floats(other)) == ([13], [11])


@pytest.mark.parametrize("function", ["get_output", "get_output_single"])
def test_a_buffer_that_is_too_small_is_left_alone_and_the_size_that_is_needed_told(guest, function):
    context = guest.begin("cast")
    guest.set_input(context, 0, 1, 2, 3)
    guest.compute(context)
    guest.put(DATA, b"\xee" * 16)
    for size in (0, 11):
        guest.put(ANSWER, b"\xee" * 8)
        assert guest.call(function, context, 0, DATA, size, ANSWER) == Errno.TOO_LARGE
        assert guest.get(DATA, 16) == b"\xee" * 16
        assert guest.get(ANSWER, 8) == struct.pack("<I", 12) + b"\xee" * 4
    assert guest.call(function, context, 0, DATA, guest.number(), ANSWER) == Errno.SUCCESS
    assert guest.get(DATA, 16) == struct.pack("<3f", 1, 2, 3) + b"\xee" * 4


# --- graphs ---


def test_a_name_that_is_not_offered_is_not_found(guest):
    assert refusal(guest.load_by_name, "none") == Errno.NOT_FOUND
    assert refusal(guest.load_by_name, "") == Errno.NOT_FOUND
    assert refusal(guest.load_by_name, "/etc/passwd") == Errno.NOT_FOUND


def test_a_name_that_is_not_utf_8_is_an_invalid_argument(guest):
    assert guest.call("load_by_name", *guest.put(DATA, b"add\xff"), ANSWER) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize("encoding", [PYTORCH, AUTODETECT])
def test_a_guest_supplies_a_model(encoding, guest):
    model = scripted(Scale(3.0))
    context = guest.context(guest.load(model, encoding=encoding))
    guest.set_input(context, 0, 1, 2)
    guest.compute(context)
    assert guest.floats(context) == [3, 6]


@pytest.mark.parametrize("models", [(), (b"a", b"b"), (b"",) * 5])
def test_a_pytorch_model_is_one_builder(models, guest):
    assert refusal(guest.load, *models) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x" * 1000])
def test_bytes_that_are_not_a_model_have_an_invalid_encoding(content, guest):
    assert refusal(guest.load, content) == Errno.INVALID_ENCODING


def test_every_number_but_those_of_the_table_is_an_invalid_encoding(guest):
    model = scripted(Scale(3.0))
    for number in [*range(256), 256 + PYTORCH, 2**31 + PYTORCH, 2**32 - 1]:
        if number not in (PYTORCH, AUTODETECT):
            assert refusal(guest.load, model, encoding=number) == Errno.INVALID_ENCODING, number


def test_every_number_but_those_of_the_table_is_an_unknown_target(guest):
    model = scripted(Scale(3.0))
    for number in [*range(4, 256), 256, 2**31, 2**32 - 1]:
        assert refusal(guest.load, model, target=number) == Errno.INVALID_ARGUMENT, number


def test_every_number_but_those_of_the_table_is_an_unknown_type(guest):
    context = guest.begin("cast")
    for number in range(6, 256):
        guest.tensor([0], number, b"")
        assert guest.call("set_input", context, 0, RECORD) == Errno.INVALID_ARGUMENT, number


def test_there_is_no_tpu(guest):
    assert refusal(guest.load, scripted(Scale(3.0)), target=TPU) == Errno.UNSUPPORTED_OPERATION


@pytest.mark.cpu
def test_without_a_gpu_automatic_means_the_cpu(guest):
    model = scripted(Scale(3.0))
    assert refusal(guest.load, model, target=GPU) == Errno.UNSUPPORTED_OPERATION
    assert guest.load(model, target=AUTO)
    assert refusal(guest.load, b"no model", target=AUTO) == Errno.INVALID_ENCODING


def test_automatic_means_the_accelerator_if_there_is_one(accelerator, allocated):
    with Engine(accelerator, guest_models="any", cache=False) as engine, playing(engine) as guest:
        before = allocated()
        guest.load(scripted(Add()), target=CPU)
        assert allocated() == before
        context = guest.context(guest.load(scripted(Scale(3.0)), target=AUTO))
        guest.set_input(context, 0, *range(1000))
        guest.compute(context)
        assert allocated() >= before + 4000


def test_a_policy_against_models_of_guests_is_an_unsupported_operation(device):
    with Engine(device, guest_models="none", cache=False) as engine, playing(engine) as guest:
        assert refusal(guest.load, scripted(Scale(3.0))) == Errno.UNSUPPORTED_OPERATION


# --- WasmEdge's additions ---


@pytest.mark.parametrize("config", ["", "{}", '{"device": "cpu"}', '{"device": null}', ' {"device":"cpu"}\n'])
def test_a_config_may_name_a_device(config, guest):
    context = guest.context(guest.with_config("cast", config))
    guest.set_input(context, 0, 5)
    guest.compute(context)
    assert guest.floats(context) == [5]


def test_a_config_puts_a_graph_on_the_device_that_it_names(guest, accelerator, allocated):
    context = guest.context(guest.with_config("cast", '{"device": "cpu"}'))
    before = allocated()
    guest.set_input(context, 0, *range(1000))
    guest.compute(context)
    assert allocated() == before
    context = guest.context(guest.with_config("cast", json.dumps({"device": str(accelerator)})))
    guest.set_input(context, 0, *range(1000))
    guest.compute(context)
    assert allocated() >= before + 4000


@pytest.mark.parametrize(
    "config",
    [
        "cpu",
        "[]",
        '"cpu"',
        "1",
        "null",
        "{",
        '{"device": "cpu"',
        '{"device": 1}',
        '{"device": ["cpu"]}',
        '{"target": "cpu"}',
        '{"device": "cpu", "threads": 4}',
        "[" * 60_000,
        '{"device":' * 6000,
        "1" * 60_000,
        " " * 65_537,
        b"{\xff}",
        b"\0",
    ],
)
def test_a_config_that_is_not_understood_is_an_invalid_argument(config, guest):
    content = config.encode() if isinstance(config, str) else config
    where = (*guest.put(64, b"cast"), *guest.put(DATA, content))
    assert guest.call("load_by_name_with_config", *where, ANSWER) == Errno.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["", "tpu", "cuda:77", "../cpu", "cpu:9", "\ud800"])
def test_an_unknown_device_is_an_unsupported_operation(name, guest):
    assert refusal(guest.with_config, "cast", json.dumps({"device": name})) == Errno.UNSUPPORTED_OPERATION


def test_a_name_with_a_config_that_is_not_offered_is_not_found(guest):
    assert refusal(guest.with_config, "none", '{"device": "cpu"}') == Errno.NOT_FOUND


def test_a_graph_that_is_unloaded_is_gone_and_its_contexts_work_on(guest):
    graph = guest.load_by_name("cast")
    context = guest.context(graph)
    guest.checked("unload", graph)
    assert refusal(guest.context, graph) == Errno.INVALID_ARGUMENT
    assert guest.call("unload", graph) == Errno.INVALID_ARGUMENT
    guest.set_input(context, 0, 5)
    guest.compute(context)
    assert guest.floats(context) == [5]


def test_a_context_that_is_finalized_frees_its_tensors(guest):
    context = guest.begin("cast")
    guest.set_input(context, 0, 1)
    guest.compute(context)
    guest.set_input(context, 0, 1)
    assert guest.ledger.snapshot().live_tensors == 2
    guest.checked("finalize_execution_context", context)
    assert guest.ledger.snapshot().live_tensors == 0
    for name, *more in (("compute",), ("finalize_execution_context",), ("set_input", 0, RECORD), ("fini_single",)):
        assert guest.call(name, context, *more) == Errno.INVALID_ARGUMENT


def test_numbers_of_graphs_and_contexts_are_never_given_again(guest):
    seen = set()
    for _ in range(100):
        graph = guest.load_by_name("cast")
        context = guest.context(graph)
        assert not {graph, context} & seen
        seen |= {graph, context}
        guest.checked("finalize_execution_context", context)
        guest.checked("unload", graph)
    assert len(guest.store.resources) == 0


def test_a_sequence_is_computed_step_by_step(guest):
    context = guest.begin("counts")
    for step in (1, 2, 3):
        guest.set_input(context, 0, 10)
        guest.checked("compute_single", context)
        assert floats(guest.output(context, 0, function="get_output_single")) == [10 + step]
    guest.checked("compute_single", context)
    assert floats(guest.output(context, 0, function="get_output_single")) == [14], "with the input of the step before"
    guest.checked("fini_single", context)
    assert guest.ledger.snapshot().live_tensors == 0
    assert refusal(guest.output, context, 0) == Errno.INVALID_ARGUMENT
    assert guest.call("compute_single", context) == Errno.INVALID_ARGUMENT, "its inputs are gone"
    guest.checked("fini_single", context)


# --- what is freed, and when ---


def test_inputs_are_freed_when_they_are_replaced_and_outputs_at_the_next_compute(guest):
    context = guest.begin("split")
    live = lambda: guest.ledger.snapshot().live_tensors  # noqa: E731
    guest.set_input(context, 0, 1, 2, 3)
    assert live() == 1
    guest.compute(context)
    assert live() == 4
    guest.set_input(context, 0, 1)
    assert live() == 4
    guest.compute(context)
    assert live() == 2


def test_a_tensor_that_is_replaced_is_freed(guest):
    context = guest.begin("cast")
    for _ in range(10):
        guest.set_input(context, 0, *range(100))
    assert guest.ledger.snapshot().live_tensors == 1


def test_device_memory_is_freed_with_its_context_without_the_garbage_collector(engine, allocated, no_gc):
    with playing(engine) as guest:
        context = guest.begin("cast")
        before = allocated()
        guest.set_input(context, 0, *range(8000))
        guest.compute(context)
        assert allocated() > before
        guest.compute(context)
        guest.checked("finalize_execution_context", context)
        assert allocated() == before


def test_a_store_that_closes_leaves_no_tensor_without_the_garbage_collector(engine, no_gc):
    gc.collect()
    with playing(engine) as guest:
        context = guest.begin("split")
        guest.set_input(context, 0, 1, 2, 3)
        guest.compute(context)
        guest.set_input(context, 0, 1)
        guest.store.close()
        assert guest.ledger.snapshot().live_tensors == 0


def test_a_limit_on_tensors_is_too_large(engine):
    with playing(engine, limits=Limits(tensors=3)) as guest:
        context = guest.begin("stacked")
        for index in range(3):
            guest.set_input(context, index, 1)
        assert refusal(guest.set_input, context, 3, 1) == Errno.TOO_LARGE
        assert refusal(guest.compute, context) == Errno.TOO_LARGE
        guest.checked("fini_single", context)
        guest.set_input(context, 0, 1)
        guest.set_input(context, 1, 1)
        guest.compute(context)


# --- guests in a session ---

LOAD = """(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (data (i32.const 64) "castaddnone")"""


def status(engine, body, *parts, **options):
    with engine.session(**options) as session:
        return session.run(command(body, LOAD, *parts)), session


def test_a_session_runs_a_core_module_to_completion(engine):
    ended, session = status(engine, "(drop (call $load_by_name (i32.const 64) (i32.const 4) (i32.const 0)))")
    assert ended == 0
    assert session.stats.calls == {"wasi_ephemeral_nn#load_by_name": 1}
    assert session.stats.transport == "pointer"


def test_a_core_module_exits_with_its_errno(engine):
    body = "(call $exit (call $load_by_name (i32.const 71) (i32.const 4) (i32.const 0)))"
    ended, _ = status(engine, body)
    assert ended == Errno.NOT_FOUND


def test_a_reactor_is_initialized(engine):
    text = '(module (import "wasi_ephemeral_nn" "compute" (func $f (param i32) (result i32)))'
    text += '(func (export "_initialize") (drop (call $f (i32.const 0)))))'
    with engine.session() as session:
        assert session.run(text.encode()) == 0
        assert session.stats.calls == {"wasi_ephemeral_nn#compute": 1}


def test_arguments_and_output_of_a_core_module_are_those_of_the_session(engine):
    heard = []
    parts = """(import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"""
    body = """(drop (call $args (i32.const 256) (i32.const 512)))
              (i32.store (i32.const 300) (i32.load (i32.const 260)))
              (i32.store (i32.const 304) (i32.const 5))
              (drop (call $write (i32.const 1) (i32.const 300) (i32.const 1) (i32.const 400)))"""
    status(engine, body, parts, args=["hello"], stdout=heard.append)
    assert b"".join(heard) == b"hello"


def test_a_core_module_that_loops_is_stopped_at_its_deadline(engine):
    with pytest.raises(GuestTimeout, match=r"the guest did not end within 0\.2 s"):
        status(engine, "(loop $again (br $again))", limits=Limits(timeout=0.2))


def test_the_memory_of_a_core_module_can_be_limited(engine):
    with pytest.raises(GuestTrap, match=r"begins with 128 KiB, which is more than it may have"):
        status(engine, "", limits=Limits(memory=65536))


def test_tensors_that_a_core_module_leaves_behind_are_dropped(engine):
    body = """(drop (call $load_by_name (i32.const 64) (i32.const 4) (i32.const 0)))
              (drop (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)))
              (i32.store (i32.const 16) (i32.const 128)) (i32.store (i32.const 20) (i32.const 1))
              (i32.store (i32.const 24) (i32.const 1)) (i32.store (i32.const 32) (i32.const 4))
              (i32.store (i32.const 128) (i32.const 1))
              (if (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const 16)) (then unreachable))
              """
    for ending in ("", "unreachable", "(call $exit (i32.const 3))"):
        with engine.session() as session:
            try:
                session.run(command(body + ending, LOAD))
            except GuestTrap:
                assert ending == "unreachable"
            memory = session.stats.memory
            assert (memory.live_tensors, memory.places["host staging"].peak_tensors) == (0, 1)
