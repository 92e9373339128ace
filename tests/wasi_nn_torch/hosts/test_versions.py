"""Every WIT version of wasi-nn: each function, enum value and error, called by a guest that holds the handles."""

from __future__ import annotations

import pytest

from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Fails, scripted
from tests.wasi_nn_torch.helpers.versions import (
    SIZES,
    STEPWISE,
    VERSIONS,
    command,
    floats,
    guest_of,
    open_guest,
    open_guests,
)
from wasi_nn_torch import Engine, GuestLimit, GuestTimeout, GuestTrap, Limits
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ElementType, Encoding, ExecutionTarget
from wasi_nn_torch.hosts import BUFFERS
from wasi_nn_torch.serving.refusals import Refusals
from wit_host import ResultError
from wit_host.crossing.memory import unsupported


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device)) as engine:
        engine.register("add", scripted(Add()))
        engine.register("fails", scripted(Fails()))
        yield engine


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def guest(engine, version):
    with open_guest(engine, version) as guest:
        yield guest


class Refusing:
    """Answers every call with one error, after it has returned as many graphs as `graphs` says."""

    def __init__(self, code, text="", graphs=0):
        self.error = NnError(code, text)
        self.graphs = graphs
        self.refusals = Refusals()

    def load(self, builders, encoding, target):
        raise self.error

    def load_by_name(self, name):
        if self.graphs:
            self.graphs -= 1
            return object()
        raise self.error

    def context(self, graph):
        raise self.error

    def tensor(self, dimensions, dtype, data):
        raise self.error


def told(guest, call, *arguments):
    """The code and the text of the error with which a call is answered; the guest drops it."""
    with pytest.raises(ResultError) as caught:
        call(*arguments)
    assert isinstance(caught.value, guest.refusal)
    with caught.value.value as error:
        return error.code().name, error.data()


# --- enums and codes, value by value ---


@pytest.mark.parametrize(
    ("interface", "name", "neutral"),
    [
        ("tensor", "TensorType", {case.name: case.spelling for case in ElementType}),
        ("graph", "GraphEncoding", {case.name: case.value for case in Encoding}),
        ("graph", "ExecutionTarget", {case.name: case.value for case in ExecutionTarget}),
        ("errors", "ErrorCode", {case.name: case.value for case in ErrorCode}),
    ],
)
def test_an_enum_has_the_values_of_the_vocabulary(version, interface, name, neutral):
    types = getattr(guest_of(version).bindings, interface)
    assert {case.name: case.value for case in getattr(types, name)} == neutral


@pytest.mark.parametrize("name", SIZES)
def test_a_tensor_of_every_type_comes_back_bit_for_bit(guest, name):
    ty = guest.types("tensor").TensorType[name]
    content = bytes(range(0x70, 0x70 + 6 * SIZES[name]))
    with guest.tensor.new_tensor([2, 3], ty, content) as made:
        assert (made.dimensions(), made.ty(), made.data()) == ([2, 3], ty, content)
        assert guest.live == 1
    assert guest.live == 0


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_arrives_with_its_text(engine, version, code):
    with open_guest(engine, version, serving=Refusing(code, "why: ü\n")) as guest:
        assert told(guest, guest.graph.load_by_name, "x") == (code.name, "why: ü\n")


@pytest.mark.parametrize("encoding", Encoding)
def test_each_encoding_arrives(guest, encoding):
    types = guest.types("graph")
    load = (guest.graph.load, [b"no model"], types.GraphEncoding[encoding.name], types.ExecutionTarget.CPU)
    code, text = told(guest, *load)
    assert code == "INVALID_ENCODING"
    if encoding is Encoding.ONNX:
        assert "not an ONNX model" in text
    elif encoding not in (Encoding.PYTORCH, Encoding.AUTODETECT):
        assert f"no backend for the encoding {encoding.value};" in text


@pytest.mark.parametrize("target", ExecutionTarget)
@pytest.mark.parametrize("encoding", [Encoding.PYTORCH, Encoding.AUTODETECT])
def test_a_model_is_loaded_for_each_available_target(guest, device, target, encoding):
    types = guest.types("graph")
    model = scripted(Add())
    load = (guest.graph.load, [model], types.GraphEncoding[encoding.name], types.ExecutionTarget[target.name])
    if target is ExecutionTarget.CPU or (target is ExecutionTarget.GPU and device.type != "cpu"):
        with load[0](*load[1:]) as graph, graph.init_execution_context() as context:
            [made] = guest.compute(context, {"x": guest.floats(1, 2)}, "output")
            assert floats(made) == [2, 3]
    else:
        code, text = told(guest, *load)
        assert code == "UNSUPPORTED_OPERATION"
        assert target.value in text.lower()


# --- the functions ---


def test_a_graph_is_computed_by_name(guest):
    context = guest.context("add")
    x, y = guest.floats(1, 2), guest.floats(10, 20)
    [made] = guest.compute(context, {"x": x, "y": y}, "output")
    assert (made.dimensions(), made.ty().name, floats(made)) == ([2], "FP32", [11, 22])
    for tensor in (x, y):
        with pytest.raises(ValueError, match="dropped or passed"):
            tensor.data()


def test_a_context_computes_again_and_again(guest):
    context = guest.context("add")
    for number in (1, 2, 3):
        [made] = guest.compute(context, {"x": guest.floats(number)}, "output")
        assert floats(made) == [number + 1]
        made.drop()


def test_contexts_outlive_their_graph_and_are_independent(guest):
    first, second = guest.context("add"), guest.context("add")
    [one] = guest.compute(first, {"x": guest.floats(1)}, "output")
    [two] = guest.compute(second, {"x": guest.floats(2)}, "output")
    first.drop()
    assert (floats(one), floats(two)) == ([2], [3])


def test_an_unknown_graph_is_not_found(guest):
    code, text = told(guest, guest.graph.load_by_name, "/etc/passwd")
    assert code == "NOT_FOUND"
    assert text.startswith("there is no graph `/etc/passwd`; this host offers `add`, `fails`")


@pytest.mark.parametrize("builders", [[], [b"one", b"two"]])
def test_the_wrong_number_of_builders_is_an_invalid_argument(guest, builders):
    types = guest.types("graph")
    load = (guest.graph.load, builders, types.GraphEncoding.PYTORCH, types.ExecutionTarget.CPU)
    assert told(guest, *load)[0] == "INVALID_ARGUMENT"


def test_a_context_that_cannot_be_made_is_an_error(engine, version):
    with open_guest(engine, version, serving=Refusing(ErrorCode.TOO_LARGE, "no room", graphs=1)) as guest:
        graph = guest.graph.load_by_name("x")
        assert told(guest, graph.init_execution_context) == ("TOO_LARGE", "no room")


@pytest.mark.parametrize(
    ("inputs", "code", "text"),
    [
        ({}, "INVALID_ARGUMENT", "missing: `x`; the model wants `x`; given: none"),
        ({"x": [1], "z": [1]}, "INVALID_ARGUMENT", "unknown: `z`"),
        ({"x": [1, 2]}, "RUNTIME_ERROR", "on purpose"),
    ],
)
def test_a_wrong_computation_is_told_and_only_the_inputs_that_were_set_stay(guest, inputs, code, text):
    context = guest.context("fails")
    found = told(guest, guest.compute, context, {name: guest.floats(*data) for name, data in inputs.items()})
    assert found[0] == code
    assert text in found[1]
    assert guest.live == (len(inputs) if guest.version in STEPWISE else 0)
    context.drop()
    assert guest.live == 0


@pytest.mark.parametrize("shape", [[3], [0], [2**32 - 1] * 4])
def test_dimensions_that_do_not_fit_are_told_with_the_numbers(guest, shape):
    context = guest.context("add")
    code, text = told(guest, guest.compute, context, {"x": guest.floats(1, 2, shape=shape)})
    assert code == "INVALID_ARGUMENT"
    assert text.startswith("tensor `x` has the dimensions [")
    assert "but 8 were given" in text
    assert guest.live == 0, "an input that does not fit is not kept"


def test_a_long_name_is_not_looked_up(guest):
    code, text = told(guest, guest.graph.load_by_name, "a" * 70_000)
    assert (code, text) == ("NOT_FOUND", "the name of a graph has 70000 characters (limit 65536)")
    assert "did you mean" not in told(guest, guest.graph.load_by_name, "ad" * 200)[1]


def test_a_tensor_with_too_many_dimensions_traps(engine, version):
    with (
        open_guest(engine, version) as guest,
        pytest.raises(GuestTrap, match=r"too many dimensions: 1025 \(limit 1024\)"),
    ):
        guest.floats(shape=[0] * 1025)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("host_bytes", r"in the constructor of a tensor.* needs 8 bytes .*\(limit 4\)"),
        ("tensors", r"in the constructor of a tensor.* one tensor too many: this guest already has 4 \(limit 4\)"),
    ],
)
def test_a_tensor_beyond_a_limit_ends_the_guest_with_the_name_of_the_limit(engine, version, limit, text):
    with open_guest(engine, version, limits=Limits(**{limit: 4})) as guest:
        held = [guest.floats(shape=[0]) for _ in range(4 if limit == "tensors" else 0)]
        with pytest.raises(GuestLimit, match=text) as caught:
            guest.floats(1, 2)
        assert caught.value.limit == limit
        del held


def test_bytes_cross_by_address(engine, version):
    interfaces = {f"wasi:nn/{interface}@0.2.0-rc-{version}" for interface in ("graph", "tensor")}
    assert interfaces < set(BUFFERS)
    if not unsupported():
        assert engine.compile(guest_of(version).wasm).compiled.transport == "pointer"


# --- the end ---


@pytest.mark.parametrize("ending", ["close", "trap"])
def test_the_resources_of_a_guest_are_dropped_when_it_ends(engine, version, ending):
    live = 5 if version in STEPWISE else 3  # contexts keep their inputs
    with open_guest(engine, version, limits=Limits(tensors=live)) as guest:
        contexts = [guest.context("add") for _ in range(2)]
        held = [guest.compute(context, {"x": guest.floats(1)}, "output") for context in contexts]
        held += [guest.floats(1), guest.graph.load_by_name("add")]
        with pytest.raises(guest.refusal) as caught:
            guest.graph.load_by_name("nothing")
        held.append(caught.value.value)
        assert guest.live == live
        if ending == "trap":
            with pytest.raises(GuestTrap, match="one tensor too many"):
                guest.floats(1)
            assert guest.live == 0, "while the store is open"
    assert guest.live == 0


# --- several versions at once ---


def test_a_guest_uses_every_version_at_once(engine):
    with open_guests(engine, *VERSIONS) as guests:
        contexts = [guest.context("add") for guest in guests]
        made = [
            guest.compute(context, {"x": guest.floats(number)}, "output")[0]
            for number, (guest, context) in enumerate(zip(guests, contexts, strict=True))
        ]
        assert [floats(tensor) for tensor in made] == [[1], [2], [3]]
        assert [guest.live for guest in guests] == [5, 5, 5], "one ledger counts the tensors of all"
        for guest in guests:
            assert told(guest, guest.graph.load_by_name, "ad")[0] == "NOT_FOUND"


def test_the_versions_share_the_limits_of_their_guest(engine):
    with open_guests(engine, *VERSIONS, limits=Limits(tensors=2)) as [old, *_, new]:
        held = [old.floats(1), new.floats(2)]
        assert [floats(tensor) for tensor in held] == [[1], [2]]
        with pytest.raises(GuestTrap, match=r"one tensor too many: this guest already has 2 \(limit 2\)"):
            new.floats(3)


@pytest.mark.parametrize("versions", [VERSIONS[:2], VERSIONS[1:], VERSIONS[::2]])
def test_bytes_of_several_versions_cross_by_address(engine, versions):
    if not unsupported():
        assert engine.compile(guest_of(*versions).wasm).compiled.transport == "pointer"


# --- programs ---


@pytest.mark.parametrize("version", STEPWISE)
def test_a_program_runs_in_a_session(engine, version):
    with engine.session() as session:
        assert session.run(command(version)) == 0
        stats = session.stats
    assert stats.calls[f"wasi:nn/inference@0.2.0-rc-{version}#[method]graph-execution-context.set-input"] == 2
    assert stats.calls[f"wasi:nn/tensor@0.2.0-rc-{version}#[method]tensor.data"] == 1
    assert stats.transport.startswith("latin-1" if unsupported() else "pointer")
    assert (stats.memory.live_tensors, stats.memory.computes) == (0, 1)


@pytest.mark.parametrize(
    ("ending", "raised", "limits"),
    [("unreachable", GuestTrap, Limits()), ("(loop (br 0))", GuestTimeout, Limits(timeout=0.5))],
    ids=["trap", "timeout"],
)
@pytest.mark.parametrize("version", STEPWISE)
def test_a_program_that_does_not_end_leaves_nothing(engine, version, ending, raised, limits):
    with engine.session(limits=limits) as session:
        with pytest.raises(raised):
            session.run(command(version, ending))
        assert session.stats.memory.live_tensors == 0, "before the session is closed"
    assert max(place.peak_tensors for place in session.stats.memory.places.values()) > 0
