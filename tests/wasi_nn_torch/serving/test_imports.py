"""Models whose operators come from another package: errors if it is missing, and how it is imported."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from tests import warm
from tests.wasi_nn_torch.helpers.exported_models import changed, exported, graph_of
from tests.wasi_nn_torch.helpers.guest_models import edited, scripted
from wasi_nn_torch import Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.imports import import_modules
from wasi_nn_torch.serving.registry import Registry
from wasi_nn_torch.serving.serving import Serving

PACKAGE = """
import torch
print("hello from a package")

@torch.library.custom_op("{name}::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2

@twice.register_fake
def _(x):
    return torch.empty_like(x)
"""
SAVE = """
import sys, torch
module = __import__(sys.argv[1])

class Net(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return getattr(torch.ops, sys.argv[1]).twice(x) + 1

torch.jit.save(torch.jit.trace(Net(), torch.ones(2)), "net.pt")
torch.export.save(torch.export.export(Net(), (torch.ones(2),)), "net.pt2")
"""
CODE = f"code/__torch__/{__name__.replace('.', '/')}.py"
LEAF = {"type": None, "context": None, "children_spec": []}
FORMATS = ["net.pt", "net.pt2"]


class Relu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


def package(directory, name):
    """A package with its own operator, and models that need it, saved by a process that imported it."""
    directory.mkdir()
    (directory / f"{name}.py").write_text(PACKAGE.format(name=name))
    command = [*warm.python(), "-W", "ignore", "-c", SAVE, name]
    subprocess.run(
        command, cwd=directory, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(directory)}
    )
    return directory


@pytest.fixture(scope="module")
def absent(tmp_path_factory):
    """A package that this process never imports."""
    return package(tmp_path_factory.mktemp("packages") / "absent", "absent_operators")


@pytest.fixture(scope="module")
def present(tmp_path_factory):
    """A package that this process imports."""
    return package(tmp_path_factory.mktemp("packages") / "present", "present_operators")


@pytest.mark.parametrize("file", FORMATS)
def test_the_operator_is_told_which_module_to_import(file, absent):
    for model in (absent / file, (absent / file).read_bytes()):
        with Engine("cpu", cache=False) as engine, pytest.raises(ModelError) as refused:
            engine.register("net", model)
        assert str(refused.value).endswith(
            " needs operators of `absent_operators`, such as `absent_operators::twice`; import it: "
            '--import absent_operators, or Engine(imports=["absent_operators"])'
        )


@pytest.mark.cpu
@pytest.mark.parametrize("file", FORMATS)
def test_inspecting_tells_the_same(file, absent):
    result = CliRunner().invoke(app, ["inspect", "--trust", str(absent / file)])
    assert result.exit_code == 2
    assert "import it: --import absent_operators" in result.stderr


@pytest.mark.parametrize("file", FORMATS)
def test_a_guests_model_with_other_operators_is_refused_whatever_is_imported(file, absent):
    backends = Backends(BackendOptions("cpu", GuestModels.CHECKED))
    serving = Serving(backends, Registry(backends), Ledger(), GuestModels.CHECKED)
    with pytest.raises(NnError, match="absent_operators") as caught:
        serving.load([memoryview((absent / file).read_bytes())], Encoding.PYTORCH, ExecutionTarget.CPU)
    assert caught.value.code is ErrorCode.SECURITY


@pytest.mark.parametrize("file", FORMATS)
def test_an_engine_imports_what_models_need(file, present, monkeypatch, device, part, tensor, values, capsys, caplog):
    monkeypatch.syspath_prepend(present)
    caplog.set_level("INFO", "wasi_nn_torch")
    with Engine(str(device), cache=False, imports=["present_operators"]) as engine:
        engine.register("net", present / file)
        for _ in range(2):
            graph = engine._registry.graph("net")
            [(_, output)] = graph.context(part).compute([("x", tensor(torch.tensor([1.0, 3])))])
            assert values(output) == [3, 7]
            engine._registry._entries["net"].loaded.clear()  # as if they had been evicted
    assert capsys.readouterr().out == ""


@pytest.mark.cpu
@pytest.mark.parametrize("file", FORMATS)
def test_the_command_line_imports_what_models_need(file, present, monkeypatch, probe_file):
    monkeypatch.setenv("PYTHONPATH", str(present))
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", "--import", "present_operators"]
    inputs = '[["x", [2], "FP32", "0000803f0000803f"]]'
    command += ["--graph", f"net={present / file}", "--device", "cpu", str(probe_file), "by_name", "net", inputs]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == '[["output", [2], "FP32", "0000404000004040"]]\n', result.stderr


@pytest.mark.cpu
def test_inspecting_imports_too(present, monkeypatch):
    monkeypatch.syspath_prepend(present)
    result = CliRunner().invoke(app, ["inspect", "--trust", "--import", "present_operators", str(present / "net.pt")])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("model: ")


def test_an_operator_that_its_module_does_not_have_is_told_as_such():
    data = edited(scripted(Relu()), CODE, "torch.relu", "ops.json.twice")
    with pytest.raises(NnError, match="operators of `json`, which is imported but does not have `json::twice`"):
        load_from_guest(data, CPU)


def test_an_operator_that_pytorch_does_not_have_is_one_of_another_version():
    def change(document):
        graph_of(document)["nodes"][0]["target"] = "torch.ops.aten.relu_of_tomorrow.default"

    script = edited(scripted(Relu()), CODE, "torch.relu", "ops.aten.gone")
    for data, operator in ((script, "gone"), (changed(exported(nn.ReLU(), torch.ones(2)), change), "relu_of_tomorrow")):
        with pytest.raises(NnError, match=f"needs the operator `aten::{operator}`, which PyTorch .* does not have"):
            load_from_guest(data, CPU)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["torch vision"], "`torch vision` is not the name of a module"),
        (["../torchvision"], "`../torchvision` is not the name of a module"),
        ([".relative"], "`.relative` is not the name of a module"),
        ([""], "`` is not the name of a module"),
        (["surely_not_there"], "the module `surely_not_there` was not found; install its package"),
        (["json.surely_not_there"], "the module `json.surely_not_there` was not found"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_of_one_line(names, text):
    with pytest.raises(ValueError, match=re.escape(text)) as refused:
        import_modules(names)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("names", ["torchvision", [7], None])
def test_modules_are_given_as_several_names(names):
    with pytest.raises(TypeError, match=r"^`imports` takes (several )?texts, such as \[\"torchvision\"\], not "):
        import_modules(names)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import surely_not_there_either", "(ModuleNotFoundError: No module named 'surely_not_there_either')"),
        (
            "raise RuntimeError('a\\nb\\x1b[31m' + 'x' * 100_000)",
            "cannot be imported (RuntimeError: a b\N{REPLACEMENT CHARACTER}[31mx",
        ),
        ("raise SystemExit(3)", "cannot be imported (SystemExit: 3)"),
        ("def", "cannot be imported (SyntaxError: "),
    ],
)
@pytest.mark.cpu
def test_a_module_that_raises_is_a_usage_error_of_one_line(code, text, tmp_path, monkeypatch):
    (tmp_path / "raising_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    guest = tmp_path / "guest.wat"
    guest.write_text("(component)")
    for command in (["run", "--import", "raising_module", str(guest)], ["inspect", "--import", "raising_module", "x"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("error: the module `raising_module` ")
        assert text in result.stderr
        assert len(result.stderr) < 1000
