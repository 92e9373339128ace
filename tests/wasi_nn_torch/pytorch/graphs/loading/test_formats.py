"""What each encoding makes of each format, for guests and for the operator."""

import io
import shutil
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch import nn

from tests import warm
from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.guest_models import scripted, written
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.registry import Registry
from wasi_nn_torch.serving.serving import Serving

PYTORCH = (Encoding.PYTORCH, Encoding.AUTODETECT)


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


WEIGHTS = nn.Linear(2, 2).state_dict()
FORMATS = {
    "TorchScript": cache(lambda: scripted(nn.ReLU())),
    "exported": cache(lambda: exported(nn.ReLU(), torch.ones(2))),
    "AOTInductor": lambda: written({"archive_format": b"pt2", "data/aotinductor/model/model.so": b"\x7fELF"}),
    "state dict": lambda: saved(WEIGHTS),
    "old state dict": lambda: saved(WEIGHTS, _use_new_zipfile_serialization=False),
    "whole module": lambda: saved(nn.ReLU()),
    "ONNX": lambda: b"\x08\x08\x12\x07pytorch",
    "nothing": lambda: b"",
}
OUTCOMES = {
    "TorchScript": None,
    "exported": None,
    "AOTInductor": (ErrorCode.SECURITY, "native code; only the operator may offer that, by name"),
    "state dict": (ErrorCode.INVALID_ENCODING, "weights without the code of a model; build the module"),
    "old state dict": (ErrorCode.INVALID_ENCODING, "Engine.register(name, module)"),
    "whole module": (ErrorCode.INVALID_ENCODING, "Engine.register(name, module)"),
    "ONNX": (ErrorCode.INVALID_ENCODING, "is an ONNX model; load it with the encoding onnx"),
    "nothing": (ErrorCode.INVALID_ENCODING, "is an empty file; copy or download it again"),
}
NAMES = {
    "TorchScript": "TorchScript",
    "exported": "an exported program (torch.export)",
    "AOTInductor": "an AOTInductor package, which is native code",
}


def serving(policy: GuestModels) -> Serving:
    backends = Backends(BackendOptions("cpu", policy))
    return Serving(backends, Registry(backends), Ledger(), policy)


def load(data: bytes, encoding: Encoding, policy: GuestModels = GuestModels.CHECKED):
    return serving(policy).load([memoryview(data)], encoding, ExecutionTarget.CPU)


@pytest.mark.cpu
@pytest.mark.parametrize("policy", [GuestModels.CHECKED, GuestModels.ANY])
@pytest.mark.parametrize("encoding", [each for each in Encoding if each is not Encoding.ONNX])
@pytest.mark.parametrize("name", FORMATS)
def test_an_encoding_and_a_format(name, encoding, policy, part, tensor, values):
    expected = OUTCOMES[name]
    if encoding not in PYTORCH:
        advice = f"the model is {NAMES[name]}: load it as pytorch" if name in NAMES else "supply a model for pytorch"
        expected = (ErrorCode.INVALID_ENCODING, f"no backend for the encoding {encoding.value}; {advice}")
    if expected is None:
        context = load(FORMATS[name](), encoding, policy).context(part)
        [(_, output)] = context.compute([("input", tensor(torch.tensor([-1.0, 2])))])
        assert values(output) == [0, 2]
    else:
        with pytest.raises(NnError) as caught:
            load(FORMATS[name](), encoding, policy)
        assert caught.value.code is expected[0]
        assert expected[1] in caught.value.text


@pytest.mark.cpu
@pytest.mark.parametrize("name", FORMATS)
def test_a_host_that_takes_no_models_says_so_whatever_comes(name):
    with pytest.raises(NnError, match="does not accept models from guests") as caught:
        load(FORMATS[name](), Encoding.AUTODETECT, GuestModels.NONE)
    assert caught.value.code is ErrorCode.SECURITY


def test_a_model_in_several_builders_is_refused():
    with pytest.raises(NnError, match="2 were given") as caught:
        serving(GuestModels.ANY).load([memoryview(b"")] * 2, Encoding.PYTORCH, ExecutionTarget.CPU)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["state dict", "old state dict", "whole module"])
def test_a_pickle_is_told_without_running_it(name, monkeypatch):
    data = FORMATS[name]()
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it unpickles"))
    monkeypatch.setitem(sys.modules, "pickle", None)
    with pytest.raises(ModelError, match=r"offer the module itself: Engine.register\(name, module\)"):
        Registry(Backends(BackendOptions(str(CPU)))).register("net", data)


@pytest.mark.parametrize("name", ["TorchScript", "exported"])
def test_the_operator_registers_any_format(name, part, tensor, values, tmp_path, device):
    registry = Registry(Backends(BackendOptions(str(device))))
    path = tmp_path / "net"
    path.write_bytes(FORMATS[name]())
    registry.register("net", path)
    [(_, output)] = registry.graph("net").context(part).compute([("x", tensor(torch.tensor([-1.0, 2])))])
    assert values(output) == [0, 2]


def test_a_broken_package_of_native_code_is_refused():
    with pytest.raises(ModelError, match="an AOTInductor package that cannot be loaded"):
        Registry(Backends(BackendOptions(str(CPU)))).register("net", FORMATS["AOTInductor"]())


COMPILE = """
import sys, torch
class Counts(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(2))
    def forward(self, x, *, y):
        self.total.add_(x)
        return {"total": self.total + y}
program = torch.export.export(Counts(), (torch.ones(2),), {"y": torch.ones(2)})
torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[1])
"""


@pytest.mark.cpu
@pytest.mark.skipif(shutil.which("g++") is None, reason="a package of native code is built with g++")
def test_the_operator_registers_a_package_of_native_code(part, tensor, values, tmp_path):
    path = tmp_path / "net.pt2"
    subprocess.run([*warm.python(), "-c", COMPILE, path], check=True, capture_output=True)
    package = torch._inductor.aoti_load_package(path)
    once, twice = (package(torch.ones(2), y=torch.ones(2))["total"].tolist() for _ in range(2))
    registry = Registry(Backends(BackendOptions(str(CPU))))
    registry.register("net", path)
    path.unlink()
    one, other = (registry.graph("net").context(part) for _ in range(2))

    def run(context: ExecutionContext, x: torch.Tensor) -> list:
        [(name, output)] = context.compute([("0", tensor(x)), ("y", tensor(torch.ones(2)))])
        assert name == "total"
        return values(output)

    assert once == [2, 2]
    assert twice == [3, 3] or torch.__version__ < "2.10"  # whose native code forgets what it writes to buffers
    assert [run(one, torch.ones(2)), run(one, torch.ones(2)), run(other, torch.ones(2))] == [once, twice, once]
    with pytest.raises(NnError, match=r"unmatched dim value|API call failed"):  # as PyTorch 2.9 says it
        run(one, torch.ones(9))


@pytest.mark.parametrize("name", ["TorchScript", "exported"])
def test_the_format_is_found_once(name, monkeypatch, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(FORMATS[name]())
    asked = []
    module = sys.modules["wasi_nn_torch.pytorch.graphs.recognizing.sniff"]
    look = module._format_of
    monkeypatch.setattr(module, "_format_of", lambda archive: asked.append(archive) or look(archive))
    with Engine("cpu", guest_models="checked") as engine:
        engine.register("net", path)
        assert len(asked) == 1
        asked.clear()
        engine._runtime.serve(Ledger()).load([memoryview(path.read_bytes())], Encoding.PYTORCH, ExecutionTarget.CPU)
        assert len(asked) == 1
