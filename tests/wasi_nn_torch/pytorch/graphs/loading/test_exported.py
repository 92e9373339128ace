import copy
import io
import logging
import re
import warnings
import zipfile

import pytest
import torch
from torch.export import Dim

from tests.wasi_nn_torch.helpers.exported_models import (
    BATCH,
    CONSTANTS,
    IMAGES,
    ORDINARY,
    PROGRAM,
    Arguments,
    Counter,
    Parity,
    Slices,
    changed,
    exported,
    graph_of,
)
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Kind, Parameter, load_from_guest
from wasi_nn_torch.pytorch.graphs.inputs.outputs import flatten

KEYWORDS = {"scale": 2.0, "times": 1, "mask": None}


@pytest.fixture
def context(device, memory):
    """Make a context for a module that was exported and loaded."""
    return lambda *args, **options: ExecutionContext(load_from_guest(exported(*args, **options), device), memory)


@pytest.fixture
def arguments(context):
    return context(
        Arguments(),
        torch.ones(2, 3),
        {"bias": torch.ones(1)},
        kwargs=KEYWORDS,
        dynamic_shapes={"x": {0: BATCH}, "opts": {"bias": None}, **dict.fromkeys(KEYWORDS)},
    )


def failing(context: ExecutionContext, inputs: list) -> NnError:
    with pytest.raises(NnError) as caught:
        context.compute(inputs)
    assert caught.value.text.isprintable()
    return caught.value


def refusal(data: bytes) -> str:
    with pytest.raises(NnError) as caught:
        load_from_guest(data, CPU)
    assert caught.value.code is ErrorCode.INVALID_ENCODING
    assert caught.value.text.isprintable()
    return caught.value.text


def loud(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("make", "inputs", "options"), ORDINARY.values(), ids=ORDINARY.keys())
def test_the_results_are_those_of_the_module(make, inputs, options, context, tensor, values):
    module = make().eval()
    with torch.no_grad():
        expected = flatten(copy.deepcopy(module)(*inputs))
    given = [tensor(item.to(torch.uint8) if item.dtype == torch.bool else item) for item in inputs]
    outputs = context(module, *inputs, **options).compute([(str(at), item) for at, item in enumerate(given)])
    assert [name for name, _ in outputs] == [name for name, _ in expected]
    for (_, output), (_, wanted) in zip(outputs, expected, strict=True):
        assert values(output) == pytest.approx(wanted.flatten().tolist(), rel=1e-3, abs=1e-4)


def test_parameters_have_their_names_kinds_dtypes_and_shapes(arguments):
    assert arguments._graph.signature.parameters == (
        Parameter("x", Kind.TENSOR, dtype=torch.float32, shape=("s77", 3)),
        Parameter("opts.bias", Kind.TENSOR, dtype=torch.float32, shape=(1,)),
        Parameter("scale", Kind.FLOAT, optional=True),
        Parameter("times", Kind.INTEGER, optional=True),
    )


def test_a_part_of_an_input_is_named_by_its_path(arguments, tensor, values):
    inputs = [("opts.bias", tensor(torch.ones(1))), ("x", tensor(torch.ones(1, 3)))]
    assert [values(output) for _, output in arguments.compute(inputs)] == [[3, 3, 3]]


def test_a_number_may_be_given_as_it_was_exported_and_no_other(arguments, tensor, values):
    inputs = {"x": torch.ones(1, 3), "opts.bias": torch.ones(1), "times": torch.tensor([1])}
    assert arguments.compute([(name, tensor(value)) for name, value in inputs.items()])
    inputs["times"] = torch.tensor([2])
    error = failing(arguments, [(name, tensor(value)) for name, value in inputs.items()])
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.text == "the inputs do not match the model: it was exported for `times == 1`"


def test_a_number_that_may_vary_is_a_tensor_of_one_element(context, tensor, values):
    slices = context(Slices(), torch.ones(4, 2), 3, dynamic_shapes={"x": {0: Dim.AUTO}, "n": Dim.AUTO})
    assert slices._graph.signature.parameters[1] == Parameter("n", Kind.INTEGER)
    for wanted in (2, 4):
        inputs = [("x", tensor(torch.ones(5, 2))), ("n", tensor(torch.tensor([wanted])))]
        [(_, output)] = slices.compute(inputs)
        assert output.dimensions == (wanted, 2)


@pytest.mark.parametrize(
    ("x", "given"),
    [
        (torch.ones(2, 4), "[2, 4]; the model was exported for [s77, 3]"),
        (torch.ones(3), "[3]; the model was exported for [s77, 3]"),
        (torch.ones(2, 3, dtype=torch.int32), "I32; the model wants float32: give FP16, BF16, FP32 or FP64"),
    ],
    ids=str,
)
def test_a_tensor_of_another_shape_or_kind_is_refused_by_name(x, given, arguments, tensor):
    error = failing(arguments, [("x", tensor(x)), ("opts.bias", tensor(torch.ones(1)))])
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.text == f"tensor `x` is {given}"


def test_a_size_beyond_its_range_is_refused(arguments, tensor):
    error = failing(arguments, [("x", tensor(torch.ones(65, 3))), ("opts.bias", tensor(torch.ones(1)))])
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "it was exported for `x.size()[0] <= 64`" in error.text


def test_what_was_found_out_about_sizes_while_exporting_is_asked_for(context, tensor):
    parity = context(Parity(), torch.ones(4, 3), dynamic_shapes={"x": {0: Dim.AUTO}})
    assert parity.compute([("x", tensor(torch.ones(6, 3)))])
    error = failing(parity, [("x", tensor(torch.ones(5, 3)))])
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "`x.size()[0] % 2 == 0`" in error.text


@pytest.mark.parametrize("functional", [False, True], ids=["in place", "functional"])
def test_each_context_has_its_own_state(functional, device, tensor, values, memory):
    graph = load_from_guest(exported(Counter(), torch.zeros(2), functional=functional), device)
    assert graph.instance() is not graph.instance()

    def run(context: ExecutionContext, number: float) -> dict[str, list]:
        outputs = context.compute([("x", tensor(torch.full((2,), number)))])
        return {name: values(output) for name, output in outputs}

    apart = [[run(context, number) for number in (1.0, 2.0, 3.0)] for context in [ExecutionContext(graph, memory)]]
    one, other = ExecutionContext(graph, memory), ExecutionContext(graph, memory)
    between = []
    for number in (1.0, 2.0, 3.0):
        between.append(run(one, number))
        run(other, 10 * number)
    assert between == apart[0]
    assert between[-1] == {"total": [6, 6], "mean": [2, 2]}


def test_a_model_without_state_is_shared_by_contexts(device):
    graph = load_from_guest(exported(torch.nn.Linear(3, 2), torch.ones(1, 3)), device)
    assert graph.instance() is graph.instance()


def test_weights_are_on_the_device_and_shared_by_contexts(device):
    graph = load_from_guest(exported(Counter(), torch.zeros(2)), device)
    first, second = graph.instance()._tensors, graph.instance()._tensors
    assert {item.device for item in first if item is not None} == {device}
    shared = [item is other for item, other in zip(first, second, strict=True) if item is not None]
    assert sorted(shared) == [False, False, True]


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("make", [Counter, lambda: torch.nn.Linear(2, 2)], ids=["with state", "without"])
def test_dropping_the_graph_and_its_contexts_frees_all_tensors(make, device, memory, tensor, watch):
    graph = load_from_guest(exported(make(), torch.zeros(2)), device)
    context = ExecutionContext(graph, memory)
    context.compute([("0", tensor(torch.ones(2)))])
    tensors = [*graph.instance()._tensors, *context._model._tensors, *context._model._program.tensors]
    freed = [watch(item) for item in tensors if item is not None]
    del tensors, graph
    assert not all(is_free() for is_free in freed)
    del context
    assert all(is_free() for is_free in freed)


@pytest.mark.usefixtures("no_gc")
def test_a_refused_input_is_freed(arguments, tensor, watch, device):
    given = tensor(torch.ones(65, 3))
    freed = watch(given.on(device, "x"))
    failing(arguments, [("x", given), ("opts.bias", tensor(torch.ones(1)))])
    del given
    assert freed()


def test_loading_warns_of_nothing_and_logs_nothing(caplog):
    data = exported(Counter(), torch.zeros(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_from_guest(data, CPU).instance()
    assert loud(caplog) == []


def test_a_program_is_loaded_from_a_file_whatever_it_is_called(tmp_path, device):
    path = tmp_path / "net.bin"
    path.write_bytes(exported(torch.nn.ReLU(), torch.ones(2)))
    assert graphs.load(path, device, str(path)).device == device


def test_an_operator_that_is_not_there_is_named(caplog):
    def change(document: dict) -> None:
        graph_of(document)["nodes"][0]["target"] = "torch.ops.missing.relu.default"

    text = refusal(changed(exported(torch.nn.ReLU(), torch.ones(2)), change))
    assert text.startswith("the model needs operators of `missing`, such as `missing::relu`; import it: ")
    assert loud(caplog) == []


@pytest.mark.cpu
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_program_with_weights_on_a_device_that_is_not_there_is_refused_with_the_reason():
    data = exported(torch.nn.Linear(2, 2), torch.ones(1, 2))
    elsewhere = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(elsewhere, "w") as copy:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".json"):
                content = re.sub(rb'"type": ?"cpu", ?"index": ?null', b'"type": "cuda", "index": 0', content)
            copy.writestr(name, content)
    text = refusal(elsewhere.getvalue())
    assert "the model was saved on a device that this host does not have" in text
    assert 'move_to_device_pass(program, "cpu")' in text


def test_an_archive_with_parts_missing_is_refused_in_one_line():
    data = exported(torch.nn.Linear(2, 2), torch.ones(2))
    for missing in (CONSTANTS, "data/weights/weight_0"):
        broken = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(broken, "w") as copy:
            for name in source.namelist():
                if not name.endswith(missing):
                    copy.writestr(name, source.read(name))
        assert "an exported program that cannot be loaded" in refusal(broken.getvalue())


def test_the_operator_is_told_which_file_it_is(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(changed(exported(torch.nn.ReLU(), torch.ones(2)), dict.clear, PROGRAM))
    with pytest.raises(ModelError, match=f"{path} is an exported program that cannot be loaded"):
        graphs.load(path, CPU, str(path))


def test_too_little_device_memory_is_too_large(monkeypatch):
    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …")

    data = exported(torch.nn.ReLU(), IMAGES)
    monkeypatch.setattr(torch.export, "load", exhausted)
    with pytest.raises(NnError, match=r"20\.00 MiB more was requested") as caught:
        load_from_guest(data, CPU)
    assert caught.value.code is ErrorCode.TOO_LARGE
