"""What is known of inputs from the operator and from a trace."""

import io
import warnings

import pytest
import torch
import typer
from torch import Tensor, nn
from typer.testing import CliRunner

from tests.wasi_nn_torch.helpers.exported_models import exported
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.graph_option import parse_graph
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

X = torch.tensor([1.0, 2, 3, 4])
MASK = torch.tensor([1, 0, 1, 0], dtype=torch.uint8)


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * ~mask


class Nested(nn.Module):
    def forward(self, x: Tensor, masks: tuple[Tensor, Tensor], named: dict[str, Tensor]) -> Tensor:
        return x * ~masks[0] * masks[1] * ~named["a"]


class Numbered(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x * n


def traced(module, *inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO()
        torch.jit.save(torch.jit.trace(module, inputs), file)
    return file.getvalue()


@pytest.fixture
def compute(device, memory, tensor, values):
    def run(graph, **inputs):
        given = [(name, tensor(value)) for name, value in inputs.items()]
        return [values(output) for _, output in ExecutionContext(graph, memory).compute(given)]

    return run


def with_dtypes(model, device, **dtypes):
    return graphs.load(model, device, "the model `net`", ModelOptions(dtypes=tuple(dtypes.items())))


@pytest.mark.parametrize("mask", [MASK, MASK.long(), MASK.int() * 255], ids=["U8", "I64", "255"])
def test_the_operator_says_what_a_script_does_not(mask, device, script, compute):
    assert compute(with_dtypes(script(Masked()), device, mask="bool"), x=X, mask=mask) == [[0, 2, 0, 4]]


def test_a_trace_says_which_inputs_are_boolean(device, compute):
    data = traced(Masked(), X, MASK.bool())
    for graph in (graphs.load(data, device, "net"), graphs.load_from_guest(data, device, checks=True)):
        assert compute(graph, x=X, mask=MASK) == [[0, 2, 0, 4]]
        assert [each.dtype for each in graph.signature.inputs] == [None, torch.bool]


def test_a_mask_of_integers_stays_one(device, script, compute):
    graph = graphs.load(traced(Masked(), X, MASK.long()), device, "net")
    assert compute(graph, x=X, mask=MASK.long()) == [[-2, -2, -6, -4]]


def test_a_trace_tells_of_parts_too(device, compute):
    example = (X, (MASK.bool(), MASK), {"a": MASK.bool()})
    graph = graphs.load(traced(Nested(), *example), device, "net")
    assert {each.name: each.dtype for each in graph.signature.inputs} == {
        "x": None,
        "masks.0": torch.bool,
        "masks.1": None,
        "named.a": torch.bool,
        "named.*": None,
    }
    inputs = {"x": X, "masks.0": MASK, "masks.1": torch.ones_like(MASK), "named.a": torch.zeros_like(MASK)}
    assert compute(graph, **inputs) == [[0, 2, 0, 4]]


def test_a_part_is_declared_by_its_name(device, script, compute):
    inputs = {"x": X, "masks.0": MASK, "masks.1": torch.ones_like(MASK), "named.a": torch.zeros_like(MASK)}
    for at in ("named.a", "named.*"):
        graph = with_dtypes(script(Nested()), device, **{"masks.0": "bool", at: "bool"})
        assert compute(graph, **inputs) == [[0, 2, 0, 4]]


def test_a_live_module_and_an_object_of_pytorch(script, compute):
    with Engine("cpu", cache=False) as engine:
        engine.register("module", Masked(), dtypes={"mask": torch.bool})
        engine.register("file", script(Masked()), dtypes={"mask": "bool", "x": "FP32"})
        for name in ("module", "file"):
            assert compute(engine._registry.graph(name).graph, x=X, mask=MASK) == [[0, 2, 0, 4]]


@pytest.mark.parametrize(
    ("make", "dtypes", "text"),
    [
        (Masked, {"msk": "bool"}, "the model `net` has no input `msk`, for which a dtype is given; it has `x`, `mask`"),
        (
            Masked,
            {"mask": "bol"},
            "the model `net`: the input `mask` cannot have the dtype `bol`; choose one of bfl",
        ),
        (Masked, {"mask": "qint8"}, "cannot have the dtype `qint8`; choose one of"),
        (Masked, {"mask": "nn"}, "cannot have the dtype `nn`; choose one of"),
        (Numbered, {"n": "int8"}, "the model `net` takes the input `n` as integer; leave out its dtype"),
        (Nested, {"masks": "bool"}, "has no input `masks`"),
        (Nested, {"masks.2": "bool"}, "it has `x`, `masks.0`, `masks.1`, `named.*`"),
    ],
)
def test_what_is_declared_wrong_is_refused_in_one_line(make, dtypes, text, script):
    with pytest.raises(ModelError) as caught:
        with_dtypes(script(make()), CPU, **dtypes)
    assert text in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_exported_program_knows_better():
    data = exported(Masked(), X, MASK.bool())
    with_dtypes(data, CPU, mask="bool")
    with pytest.raises(ModelError, match="the model `net` was exported with another dtype for `mask` than int8"):
        with_dtypes(data, CPU, mask="int8")


# --- the command line ---


def test_the_command_line_names_dtypes_in_any_order():
    offered = parse_graph("net=a,b.pt,dtype.xs.0=bool,device=cpu,dtype.mask=int8")
    assert (offered.path, offered.device) == ("a,b.pt", "cpu")
    assert offered.options.dtypes == (("xs.0", "bool"), ("mask", "int8"))


@pytest.mark.parametrize(
    "text", ["net=m.pt,dtype.=bool", "net=m.pt,dtype.mask=", "net=m.pt,dtype.mask=bool,dtype.mask=int8"]
)
def test_a_dtype_that_is_not_spelled_out_is_refused(text):
    with pytest.raises(typer.BadParameter, match=r"net=m\.pt"):
        parse_graph(text)


def test_inspecting_tells_the_dtype_or_that_it_is_not_known(tmp_path, script):
    (tmp_path / "scripted.pt").write_bytes(script(Masked()))
    (tmp_path / "traced.pt").write_bytes(traced(Masked(), X, MASK.bool()))
    said = [CliRunner().invoke(app, ["inspect", str(tmp_path / name)]).stdout for name in ("scripted.pt", "traced.pt")]
    assert "input: `mask` tensor, given as it comes\n" in said[0]
    assert "input: `x` tensor, given as it comes, made with FP32 [4]\n" in said[1]
    assert "input: `mask` tensor bool, made with bool [4]\n" in said[1]


def test_inspecting_tells_what_keeps_its_default(tmp_path, script):
    class Tagged(nn.Module):
        def forward(self, x: Tensor, tag: str = "") -> Tensor:
            return x

    (tmp_path / "model.pt").write_bytes(script(Tagged()))
    said = CliRunner().invoke(app, ["inspect", str(tmp_path / "model.pt")]).stdout
    assert "left at its default: `tag` str, which a guest cannot pass\n" in said
