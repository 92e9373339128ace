"""Guest-supplied ONNX models: who may supply them, and which are admitted."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.guests.witx import ONNX, playing
from tests.wasi_nn_torch.helpers.versions import VERSIONS, floats, open_guest
from tests.wasi_nn_torch.onnx.attacks import attacks, here
from tests.wasi_nn_torch.onnx.conftest import elements, given
from tests.wasi_nn_torch.onnx.fuzzing import fuzz
from tests.wasi_nn_torch.onnx.models import FLOAT, add, linear, model, node, proto, unary, value
from tests.wasi_nn_torch.onnx.mutating import bases
from wasi_nn_torch import Engine, ModelError
from wasi_nn_torch.contract import BackendOptions, ErrorCode, Ledger, ModelOptions, NnError
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.onnx.backend import OnnxBackend
from wasi_nn_torch.onnx.vetting import vet, wire
from wasi_nn_torch.onnx.vetting.operators import ADMITTED, REASONS
from wasi_nn_torch.onnx.vetting.wire import DEEPEST

pytestmark = pytest.mark.cpu

#: The attacks on optimizations, and how they end here.
COMPUTED = {
    "`LayerNormalization` with an empty last input": "computed",
    "64 GiB that are computed while the model is loaded": "too-large",
}


@pytest.fixture(scope="module")
def trusting():
    """An engine whose operator lets guests supply models for the process of the host."""
    with Engine("cpu", guest_models="any") as engine:
        yield engine


def refused(data):
    with pytest.raises(NnError) as caught:
        vet(data if isinstance(data, bytes) else data.SerializeToString())
    return caught.value


def load(engine, *builders, encoding=Encoding.ONNX, target=ExecutionTarget.CPU, ledger=None):
    serving = engine._runtime.serve(ledger or Ledger())
    return serving, serving.load([memoryview(each) for each in builders], encoding, target)


# --- who may supply one ---


@pytest.mark.parametrize("encoding", [Encoding.ONNX, Encoding.AUTODETECT])
def test_a_guest_supplies_a_model_if_the_operator_allows_it_in_the_process_of_the_host(trusting, encoding):
    serving, graph = load(trusting, linear().SerializeToString(), encoding=encoding)
    [(_, y)] = serving.context(graph).compute([("x", given(serving, torch.ones(1, 4)))])
    assert elements(y).tolist() == [[9, 9, 9, 9]]


@pytest.mark.parametrize("version", VERSIONS)
def test_guests_of_each_version_supply_models(trusting, version):
    with open_guest(trusting, version) as guest:
        types = guest.types("graph")
        with guest.graph.load([add()], types.GraphEncoding.ONNX, types.ExecutionTarget.CPU) as graph:
            context = graph.init_execution_context()
        [output] = guest.compute(context, {"x": guest.floats(1, 2), "y": guest.floats(3, 4)}, "output")
        assert floats(output) == [4, 6]
        output.drop()
        context.drop()


def test_a_core_module_supplies_a_model(trusting):
    with playing(trusting) as guest:
        context = guest.context(guest.load(unary("Neg"), encoding=ONNX))
        guest.set_input(context, 0, 1, 2)
        guest.compute(context)
        assert guest.floats(context) == [-1, -2]


@pytest.mark.parametrize(
    ("builders", "target", "code", "text"),
    [
        ((), "CPU", ErrorCode.INVALID_ARGUMENT, "an ONNX model is one builder, a file's bytes; 0 were given"),
        ((b"a", b"b"), "CPU", ErrorCode.INVALID_ARGUMENT, "an ONNX model is one builder, a file's bytes; 2 were given"),
        (
            (b"nonsense",),
            "CPU",
            ErrorCode.INVALID_ENCODING,
            "the bytes are not an ONNX model, or a damaged one: it does not begin as",
        ),
        ((b"",), "CPU", ErrorCode.INVALID_ENCODING, "the bytes are not an ONNX model, or a damaged one"),
        ((add(),), "TPU", ErrorCode.UNSUPPORTED_OPERATION, "this host has no TPU for ONNX models"),
        ((add(),), "GPU", ErrorCode.UNSUPPORTED_OPERATION, "this host has no GPU for ONNX models"),
    ],
)
def test_what_cannot_be_loaded_is_refused(trusting, builders, target, code, text):
    with pytest.raises(NnError) as caught:
        load(trusting, *builders, target=ExecutionTarget[target])
    assert (caught.value.code, text in caught.value.text) == (code, True), caught.value.text


@pytest.mark.usefixtures("no_gc")
def test_the_memory_of_a_model_counts_for_its_session(trusting):
    ledger = Ledger(device_limit=10_000)
    serving, graph = load(trusting, linear().SerializeToString(), ledger=ledger)
    assert 64 < ledger.snapshot().live_bytes < 10_000
    del graph
    assert ledger.snapshot().live_bytes == 0
    with pytest.raises(NnError, match=r"the model needs \d+ bytes on cpu"):
        serving.load([memoryview(linear(64).SerializeToString())], Encoding.ONNX, ExecutionTarget.CPU)


# --- which are admitted ---


def test_models_of_many_kinds_are_admitted_and_nothing_that_computes_is_changed():
    for base in bases():
        vetted = onnx.load_from_string(vet(base.SerializeToString()))
        assert vetted.graph.node == base.graph.node
        assert vetted.graph.initializer == base.graph.initializer


def test_an_exported_module_is_admitted(trusting, tmp_path):
    path = tmp_path / "model.onnx"
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU(), torch.nn.Flatten())
    module.append(torch.nn.Linear(2 * 6 * 6, 3)).eval()
    x = torch.rand(1, 1, 8, 8)
    torch.onnx.export(module, (x,), path, external_data=False, verbose=False)
    serving, graph = load(trusting, path.read_bytes())
    [(_, y)] = serving.context(graph).compute([("0", given(serving, x))])
    with torch.no_grad():
        torch.testing.assert_close(elements(y), module(x))


def test_weights_in_another_file_are_refused(tmp_path):
    for location in ("weights.bin", "/etc/passwd", "../../secret"):
        made = linear()
        tensor = made.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        assert refused(made).text == "this host does not admit the model: the constant `w` is in another file"
        tensor.data_location = TensorProto.DEFAULT
        assert "is in another file" in refused(made).text


def branch(name, *nodes):
    return helper.make_graph(nodes, name, [], [value(nodes[-1].output[0], None)])


def test_weights_in_another_file_are_found_in_branches_and_attributes():
    external = numpy_helper.from_array(np.ones(2, np.float32), "hidden")
    external.data_location = TensorProto.EXTERNAL
    constant = helper.make_node("Constant", [], ["c"], value=external)
    assert "`hidden` is in another file" in refused(model([constant], [], [value("c", None)])).text
    inner = branch("inner", constant)
    outer = branch("outer", helper.make_node("If", ["is"], ["o"], then_branch=inner, else_branch=inner))
    made = model(
        [helper.make_node("If", ["is"], ["y"], then_branch=outer, else_branch=outer)],
        [value("is", [], TensorProto.BOOL)],
        [value("y", None)],
    )
    assert "`hidden` is in another file" in refused(made).text


@pytest.mark.parametrize("op", sorted(REASONS))
def test_operators_that_are_not_admitted_are_named_with_the_reason(op):
    text = refused(model([node(op, "x", "y")], [value("x", None)], [value("y", None)])).text
    assert text == f"this host does not admit the model: it uses the operator `{op}`: {REASONS[op]}"


def test_every_operator_of_onnx_is_known():
    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    left = {"CausalConvWithState", "LinearAttention", "SwiGLU"}  # newer than the opsets of ONNX Runtime
    assert names - ADMITTED - REASONS.keys() == left


def test_operators_of_other_domains_are_refused():
    custom = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    text = refused(model([custom], [value("x", None)], [value("y", None)])).text
    assert "the operator `com.microsoft.Gelu`, which is not one of ONNX's own" in text


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (helper.make_node("Einsum", ["x", ""], ["y"], equation="a,a->a"), "`Einsum` leaves out the input 1, which it"),
        (helper.make_node("Add", ["x"], ["y"]), "`Add` has 1 inputs; expected 2 to 2"),
        (helper.make_node("DFT", ["x", "", ""], ["y"]), "`DFT` has an empty last input; leave it out"),
        (helper.make_node("Neg", ["x"], [""]), "`Neg` leaves out the output 0, which it needs"),
        (helper.make_node("Upsample", ["x", "x"], ["y"]), "`Upsample`, which the opset 21 does not have"),
        (helper.make_node("Swish", ["x"], ["y"]), "`Swish`, which the opset 21 does not have"),
    ],
)
def test_a_node_without_an_input_or_output_that_it_needs_is_refused(made, reason):
    """ONNX Runtime ends the process when it computes some of them."""
    assert reason in refused(model([made], [value("x", [2])], [value("y", [2])])).text


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"axis": -(2**63)},
            "`axis` of the operator `Split` is -9223372036854775808; expected a number from -64 to 64",
        ),
        ({"num_outputs": 2**40}, "`num_outputs` of the operator `Split` is 1099511627776; expected a number from"),
    ],
)
def test_numbers_that_no_dimension_has_are_refused(attributes, reason):
    """ONNX Runtime ends the process when it loads some of them."""
    split = helper.make_node("Split", ["x"], ["y", "z"], **attributes)
    assert reason in refused(model([split], [value("x", [2])], [value("y", [1]), value("z", [1])])).text


def test_a_split_into_another_number_of_outputs_than_it_has_is_refused():
    """ONNX Runtime ends the process when it loads it."""
    split = helper.make_node("Split", ["x"], ["y", "z"], num_outputs=1)
    made = model([split], [value("x", [2])], [value("y", None), value("z", None)])
    reason = "the operator `Split` has 2 outputs, but the attribute `num_outputs` is 1"
    assert reason in refused(made).text
    with pytest.raises(ModelError, match=f"since ONNX Runtime would crash: {reason}"):
        OnnxBackend(BackendOptions("cpu")).load(made, "cpu", "the model", ModelOptions())


def test_functions_are_refused():
    made = linear()
    made.functions.add(name="f", domain="local")
    assert "it has the part functions; inline functions" in refused(made).text


@pytest.mark.parametrize("versions", [[], [6], [999], [21, 20]])
def test_opsets_that_are_not_known_are_refused(versions):
    made = linear()
    del made.opset_import[:]
    for version in versions:
        made.opset_import.add(domain="", version=version)
    assert f"it uses the opsets {versions}; expected one from 7 to" in refused(made).text


@pytest.mark.parametrize("dims", [[4, 5], [2**40, 2**40], [-1, -16], [0]])
def test_constants_whose_data_does_not_fill_their_dimensions_are_refused(dims):
    made = linear()
    made.graph.initializer[0].dims[:] = dims
    assert "the constant `w` has d" in refused(made).text


def test_constants_with_data_twice_are_refused():
    made = linear()
    made.graph.initializer[0].float_data.append(1)
    assert "has data that does not fill its dimensions" in refused(made).text


@pytest.mark.parametrize("kind", ["string", "sequence", "uint64"])
def test_inputs_that_wasi_nn_cannot_express_are_refused_with_a_reason(kind):
    made = linear()
    if kind == "sequence":
        made.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", FLOAT, None))
    else:
        made.graph.input[0].type.tensor_type.elem_type = getattr(TensorProto, kind.upper())
    error = refused(made)
    assert error.code is ErrorCode.UNSUPPORTED_OPERATION
    assert error.text.startswith("the model has the input `x`, which is not a tensor of float16, float,")


@pytest.mark.parametrize("name", ["x" * 2000, "a\x1b[31m", "a\nb"])
def test_names_that_are_not_printable_or_too_long_are_refused(name):
    made = model([helper.make_node("Neg", [name], ["y"])], [value(name, None)], [value("y", None)])
    assert "the name of the value" in refused(made).text


def test_an_attribute_with_a_graph_is_refused_unless_it_is_a_branch():
    graph = branch("g", node("Neg", "x", "y"))
    hidden = helper.make_node("Neg", ["x"], ["y"], body=graph)
    assert (
        "the attribute `body` of the operator `Neg`"
        in refused(model([hidden], [value("x", None)], [value("y", None)])).text
    )


def test_deeply_nested_branches_are_refused_before_they_are_parsed():
    nested = branch("g", node("Neg", "x", "y"))
    for _ in range(DEEPEST):
        nested = branch(
            "g",
            helper.make_node("If", ["is"], ["y"], then_branch=nested, else_branch=branch("e", node("Neg", "x", "y"))),
        )
    text = refused(proto(list(nested.node), [], [value("y", None)])).text
    assert f"its parts are nested more than {DEEPEST} deep" in text


def test_many_empty_parts_are_refused_before_they_are_parsed(monkeypatch):
    monkeypatch.setattr(wire, "MOST_FIELDS", 1000)
    nodes = b"\x0a\x00" * 1000  # two bytes each
    assert "it has more than 1,000 fields" in refused(b"\x08\x0a\x3a\xd0\x0f" + nodes).text


@pytest.mark.parametrize("text", [b"\xff", b"a\xc3"])
def test_texts_that_are_not_utf8_are_refused(text):
    data = linear().SerializeToString().replace(b"MatMul", (text * 6)[:6])
    assert refused(data).text == "the bytes are not an ONNX model, or a damaged one: a text in it is not UTF-8"


@pytest.mark.parametrize("length", range(0, 157, 11))
def test_a_truncated_model_is_damaged(length):
    assert refused(linear().SerializeToString()[:length]).code in (ErrorCode.INVALID_ENCODING, ErrorCode.SECURITY)


def test_a_huge_result_is_an_error_when_it_is_computed_and_not_when_the_model_is_loaded(trusting):
    size = numpy_helper.from_array(np.array([2**22, 2**24]), "s")
    filled = model(
        [node("ConstantOfShape", "s", "c"), node("Add", "c x", "y")], [value("x", [1])], [value("y", None)], [size]
    )
    serving, graph = load(trusting, filled)
    with pytest.raises(NnError) as caught:
        serving.context(graph).compute([("x", given(serving, torch.ones(1)))])
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_a_layer_normalization_without_bias_does_not_crash_the_host(trusting):
    """ONNX Runtime's optimizations end the process for it."""
    ones = numpy_helper.from_array(np.ones(3, np.float32), "g")
    made = model(
        [helper.make_node("LayerNormalization", ["x", "g", ""], ["y"])],
        [value("x", [2, 3])],
        [value("y", [2, 3])],
        [ones],
    )
    serving, graph = load(trusting, made)
    [(_, y)] = serving.context(graph).compute([("x", given(serving, torch.ones(2, 3)))])
    assert elements(y).tolist() == [[0, 0, 0]] * 2
    with pytest.raises(
        ModelError, match=r"`LayerNormalization` has an empty last input; leave it out, or choose optimize=none"
    ):
        trusting.register("normalized", made)
    trusting.register("normalized", made, optimize="none")


@pytest.mark.parametrize("name", [name for name in attacks() if name not in COMPUTED])
def test_what_harms_a_process_with_onnx_runtime_is_refused(name):
    assert here(name).startswith("refused: ")


@pytest.mark.parametrize(("name", "end"), COMPUTED.items())
def test_what_harms_only_while_a_model_is_optimized_is_computed(name, end):
    assert here(name) == end


def test_mutated_models_crash_nothing_and_leave_nothing():
    outcomes, left = fuzz(1, 300)
    assert (outcomes["crashed"], left) == (0, 0)
    assert outcomes["computed"] > 20


def test_mutated_models_of_the_operator_crash_nothing_and_leave_nothing():
    outcomes, left = fuzz(1, 150, are_registered=True)
    assert (outcomes["crashed"], left) == (0, 0)
    assert outcomes["computed"] > 20
