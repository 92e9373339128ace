"""Models with other methods than `forward`: which of them guests compute."""

import json
import re
import warnings

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.guest_models import scripted
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import Kind, Parameter, load

X = torch.tensor([1.0, 2])


class Coder(nn.Module):
    """Encodes and decodes; and counts how often, as a state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 4]))
        self.register_buffer("count", torch.zeros(1))

    @torch.jit.export
    def encode(self, x: Tensor, bias: float = 0.0) -> Tensor:
        return x * self.weight + bias

    @torch.jit.export
    def decode(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.count += 1
        return y / self.weight, self.count


class WithForward(Coder):
    def forward(self, z: Tensor) -> Tensor:
        return z - 1


class Pixels(nn.Module):
    """What gains by freezing, in a method of another name."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 1)
        self.norm = nn.BatchNorm2d(2)

    @torch.jit.export
    def features(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x)) + torch.arange(2, device="cpu").reshape(1, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).sum()


class Plain(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x

    def encode(self, x: Tensor) -> Tensor:
        return x + 1


def script(module: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(module.eval())


SOURCES = {"TorchScript": scripted, "a module": lambda module: module.eval(), "a script": script}


@pytest.fixture
def compute(memory, tensor, values):
    def run(graph, **inputs):
        outputs = graph.context(memory).compute([(name, tensor(content)) for name, content in inputs.items()])
        return [values(output) for _, output in outputs]

    return run


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE])
@pytest.mark.parametrize("kind", [Coder, WithForward])
@pytest.mark.parametrize("source", SOURCES)
def test_another_method_is_computed_with_its_own_signature(source, kind, optimize, device, compute):
    graph = load(SOURCES[source](kind()), device, "net", ModelOptions(optimize, method="encode"))
    assert graph.signature.parameters == (
        Parameter("x", Kind.TENSOR),
        Parameter("bias", Kind.FLOAT, optional=True),
    )
    assert compute(graph, x=X) == [[2, 8]]
    assert compute(graph, x=X, bias=torch.ones(1)) == [[3, 9]]


@pytest.mark.parametrize("optimize", [None, Optimize.FREEZE])
@pytest.mark.parametrize("source", ["TorchScript", "a module"])
def test_each_context_has_its_own_state_of_another_method(source, optimize, device, memory, tensor, values):
    graph = load(SOURCES[source](WithForward()), device, "net", ModelOptions(optimize, method="decode"))
    one, other = graph.context(memory), graph.context(memory)

    def count(context):
        return values(context.compute([("y", tensor(X))])[1][1])

    assert [count(one), count(one), count(other)] == [[1], [2], [1]]


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE])
def test_another_method_is_optimized_as_forward_is(optimize, device, compute):
    module = Pixels().eval()
    x = torch.rand(1, 1, 3, 3)
    expected = module.features(x).flatten().tolist()
    graph = load(scripted(module), device, "net", ModelOptions(optimize, method="features"))
    assert compute(graph, x=x) == [pytest.approx(expected, rel=1e-4)]
    if optimize is Optimize.FREEZE:
        assert "aten::batch_norm" not in str(graph.instance().graph)


@pytest.mark.parametrize(
    ("source", "method", "text"),
    [
        ("TorchScript", None, "has no method `forward`; it has `decode`, `encode`: choose one"),
        ("a module", None, "has no method `forward`; it has `decode`, `encode`: choose one"),
        ("TorchScript", "embed", "has no method `embed`; it has `decode`, `encode`: choose one"),
        ("a module", "embed", "has no method `embed`; it has `decode`, `encode`: choose one"),
        ("a module", "state_dict", "has no method `state_dict`; it has `decode`, `encode`"),
        ("TorchScript", "__setstate__", "has no method `__setstate__`; it has `decode`, `encode`"),
    ],
)
def test_a_method_that_is_not_there_is_answered_with_those_that_are(source, method, text):
    with pytest.raises(ModelError, match=re.escape(text)) as refused:
        load(SOURCES[source](Coder()), CPU, "net", ModelOptions(method=method))
    assert 'register(…, method="decode") or --graph NAME=PATH,method=decode' in str(refused.value)


def test_a_method_that_torchscript_leaves_out_cannot_be_frozen():
    with pytest.raises(ModelError, match=r"leaves out its method `encode`; decorate the method with @torch.jit.export"):
        load(Plain(), CPU, "net", ModelOptions(Optimize.FREEZE, method="encode"))


def test_a_format_with_one_method_refuses_the_option():
    with pytest.raises(ModelError, match="has one method only; leave out the option that chooses `encode`"):
        load(exported(nn.ReLU(), X), CPU, "net", ModelOptions(method="encode"))


@pytest.mark.parametrize("method", ["", "a b", "1", "a.b", 5])
def test_what_is_not_a_name_is_refused(method):
    with Engine("cpu", cache=False) as engine, pytest.raises(ValueError, match="is not the name of a method"):
        engine.register("net", nn.ReLU(), method=method)


@pytest.mark.cpu
def test_the_command_line_chooses_a_method(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(scripted(Coder()))
    guest = tmp_path / "guest.wat"
    guest.write_text('(module (func (export "_start")))')
    for method, status in (("encode", 0), ("embed", 2), ("a b", 2)):
        result = CliRunner().invoke(app, ["run", "--graph", f"net={path},method={method},device=cpu", str(guest)])
        assert result.exit_code == status, result.output
        if method == "embed":
            assert "net.pt` has no method `embed`; it has `decode`, `encode`" in result.stderr
            assert result.stderr.count("\n") == 1


@pytest.mark.cpu
def test_inspecting_lists_the_methods_and_tells_of_one(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(scripted(WithForward()))

    def inspect(*options):
        result = CliRunner().invoke(app, ["inspect", "--json", *options, str(path)])
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)["contents"]

    assert sorted(inspect()["methods"]) == ["decode", "encode", "forward"]
    assert [each["name"] for each in inspect()["inputs"]] == ["z"]
    assert [each["name"] for each in inspect("--method", "encode")["inputs"]] == ["x", "bias"]
    assert inspect("--method", "encode")["state"] == []
    assert inspect("--method", "decode")["state"] == ["count"]
    lines = CliRunner().invoke(app, ["inspect", str(path)]).stdout.splitlines()
    assert "methods: `forward`, `decode`, `encode`; choose one with --method" in lines
    path.write_bytes(exported(nn.ReLU(), X))
    refused = CliRunner().invoke(app, ["inspect", "--method", "encode", str(path)])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
