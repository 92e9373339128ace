"""The check of guests' models. What is refused here is a real archive, most often one that does harm when loaded."""

import io
import pickle
import re
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wasi_nn_torch.errors import ErrorCode, NnError
from wasi_nn_torch.graphs.check import check_torchscript
from wasi_nn_torch.graphs.untrusted.archive import Archive
from wasi_nn_torch.graphs.untrusted.operators import is_refused_operator, tensor_operators
from wasi_nn_torch.graphs.untrusted.pickled import Instance
from wasi_nn_torch.graphs.untrusted.source import check_source
from wasi_nn_torch.graphs.untrusted.state import check_model

CODE = f"code/__torch__/{__name__.replace('.', '/')}.py"
MODULE = f"__torch__.{__name__}"
IMAGE = torch.zeros(1, 3, 16, 16)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")


class Outputs(NamedTuple):
    logits: Tensor
    hidden: Tensor | None


class Block(nn.Module):
    """An inverted residual block with squeeze and excitation, as in EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12), nn.SiLU(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12), nn.SiLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 3, 1), nn.SiLU(), nn.Conv2d(3, 12, 1))
        self.project = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * torch.sigmoid(self.squeeze(y)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 8)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        y, _ = self.lstm(x, state)
        return self.gru(y)


def scaled(x: Tensor, times: int) -> Tensor:
    for i in range(times):
        x = x * 2 + i
    return x


class Everything(nn.Module):
    """Control flow, containers of every kind, state, functions and exceptions."""

    state: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.weights = nn.ParameterList([nn.Parameter(torch.ones(3))])
        self.names = {"a": 1, "b": 2}
        self.tables = {1: ["x", "y"]}
        self.mixed = (1, 2.0, "ü\n", torch.device("cpu"))
        self.tensors = [torch.ones(3)]
        self.state = None
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("view", torch.arange(12.0).view(3, 4).t()[1:, ::2])
        self.register_buffer("nothing", torch.zeros(0))

    def forward(self, x: Tensor, steps: int = 2, key: str = "a", mask: Tensor | None = None) -> dict[str, Tensor]:
        self.count += 1
        state = self.state
        if state is None:
            state = torch.zeros_like(x)
        self.state = state + x
        for layer in self.layers:
            x = F.relu(layer(x))
        if mask is not None:
            x = x.masked_fill(mask, float("-inf"))
        while steps > 0:
            steps -= self.names[key]
            x = scaled(x, steps)
            if x.sum().item() > 100.0:
                break
        if x.dim() != 2:
            raise ValueError(f"expected a matrix, not {x.shape}")
        with torch.no_grad():
            rows = [x[i] for i in range(x.size(0))]
        pieces: list[int] = x[0].long().tolist()
        y = torch.einsum("ij,jk->ik", x, x.t()) / len(pieces)
        x[0, 1:] = 0.5
        return {"x": x * self.weights[0] + self.tensors[0], "y": y, "rows": torch.stack(rows), "state": state}


class Layout(Enum):
    ROWS = "rows"
    COLUMNS = "columns"


class Arranged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layout = Layout.COLUMNS

    def forward(self, x: Tensor) -> Tensor:
        return x.t() if self.layout == Layout.COLUMNS else x


class Named(nn.Module):
    def forward(self, x: Tensor) -> Outputs:
        return Outputs(F.interpolate(x, scale_factor=2.0, mode="bilinear"), None)


class Sized(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.values = [float(i) for i in range(size)]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.size


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Sized(1)
        self.register_buffer("weight", torch.ones(7))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.weight.sum())


class Outer(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Saves(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        torch.ops.aten.save(x, self.path)
        return x


class SavesWhenLoaded(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.ops.aten.save(torch.zeros(1), state[0])


class Reads(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file(self.path, False, 4, dtype=torch.uint8)


class Prints(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("printed by the guest's model", x.dim())
        return x


def saved(module: torch.jit.ScriptModule) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, file)
    return file.getvalue()


def scripted(module: nn.Module) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(torch.jit.script(module.eval()))


def traced(module: nn.Module, *inputs: Tensor) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(torch.jit.trace(module.eval(), inputs, check_trace=False))


def loaded(data: bytes) -> torch.jit.ScriptModule:
    """Load without the check."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(data))


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(content: dict[str, bytes]) -> bytes:
    """An archive as PyTorch itself writes it."""
    file = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(file)
    for name, data in content.items():
        if name not in ("version", ".data/serialization_id"):  # the writer adds these
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return file.getvalue()


def edited(data: bytes, name: str, old: bytes | str, new: bytes | str) -> bytes:
    """Replace a part of one file, and check that it was there."""
    old, new = (part.encode() if isinstance(part, str) else part for part in (old, new))
    content = files(data)
    assert content[name].count(old) >= 1, content[name]
    content[name] = content[name].replace(old, new, 1)
    return written(content)


def refusal(data: bytes) -> str:
    with pytest.raises(NnError) as caught:
        check_torchscript(data)
    assert caught.value.code is ErrorCode.SECURITY
    assert "register the model by name" in caught.value.text
    assert "\n" not in caught.value.text
    return caught.value.text


@pytest.fixture(scope="module")
def small() -> bytes:
    return scripted(Small())


ENCODER = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
CNN = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())

ORDINARY: dict[str, Callable[[], bytes]] = {
    "a scripted CNN": lambda: scripted(CNN),
    "a traced CNN": lambda: traced(CNN, IMAGE),
    "a frozen CNN": lambda: saved(torch.jit.freeze(torch.jit.script(CNN.eval()))),
    "scripted EfficientNet blocks": lambda: scripted(nn.Sequential(Block(), Block())),
    "traced EfficientNet blocks": lambda: traced(nn.Sequential(Block(), Block()), IMAGE),
    "a scripted recurrent net": lambda: scripted(Recurrent()),
    "a traced recurrent net": lambda: traced(nn.LSTM(4, 8), torch.zeros(2, 1, 4)),
    "a scripted transformer layer": lambda: scripted(ENCODER),
    "a traced transformer": lambda: traced(nn.TransformerDecoderLayer(8, 2, 16), *[torch.zeros(2, 1, 8)] * 2),
    "a transformer": lambda: scripted(nn.TransformerEncoder(ENCODER, 2)),
    "control flow and containers": lambda: scripted(Everything()),
    "an enum": lambda: scripted(Arranged()),
    "a NamedTuple": lambda: scripted(Named()),
    "a loss with warnings": lambda: scripted(nn.MSELoss()),
    "embeddings": lambda: scripted(nn.EmbeddingBag(10, 4)),
    "half precision": lambda: scripted(nn.Linear(2, 2).half()),
    "complex numbers": lambda: traced(nn.Identity(), torch.zeros(2, dtype=torch.complex64)),
    "loaded and saved again": lambda: saved(loaded(scripted(Everything()))),
}


@pytest.mark.parametrize("make", ORDINARY.values(), ids=ORDINARY.keys())
def test_ordinary_models_pass(make):
    check_torchscript(make())


def test_a_model_in_any_buffer_passes(small):
    check_torchscript(bytearray(small))
    check_torchscript(memoryview(small))


def test_saving_a_file_is_refused(tmp_path):
    path = tmp_path / "saved"
    data = scripted(Saves(str(path)))
    loaded(data)(torch.zeros(1))
    assert path.exists(), "PyTorch no longer saves: choose another harm"
    assert f"{CODE}:" in refusal(data)
    assert "`torch.save`" in refusal(data)


def test_saving_a_file_while_the_model_is_loaded_is_refused(tmp_path):
    path = tmp_path / "saved"
    data = scripted(SavesWhenLoaded(str(path)))
    path.unlink(missing_ok=True)
    assert "`torch.save`" in refusal(data) or "while the model is loaded" in refusal(data)
    assert not path.exists()
    loaded(data)
    assert path.exists(), "PyTorch no longer runs `__setstate__`: choose another harm"


def test_saving_a_file_deep_inside_is_refused(tmp_path):
    assert "`torch.save`" in refusal(scripted(Outer(Outer(Saves(str(tmp_path / "saved"))))))


def test_reading_a_file_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"abcd")
    data = scripted(Reads(str(path)))
    assert bytes(loaded(data)(torch.zeros(1)).tolist()) == b"abcd"
    assert "`torch.from_file`" in refusal(data)


def test_printing_is_refused(capfd):
    data = scripted(Prints())
    loaded(data)(torch.zeros(1))
    assert "printed by the guest's model" in capfd.readouterr().out
    assert "`print`" in refusal(data)


@pytest.mark.parametrize(
    "statement",
    [
        "_0 = torch\n    _0.save(x, 'p')",
        '_0 = torch.save\n    _1 = _0(x, "p")',
        "_0 = ops.aten.save",
        '_0 = x.save("p")',
        "_0 = (x).set_(x)",
        '_0 = getattr(torch, "save")(x, "p")',
        '_0 = torch.autograd.save(x, "p")',
        '_0 = torch.nn.save(x, "p")',
        "_0 = [torch.save][0](x)",
        '_0 = ops.aten.save(x, "p")',
        "_0 = ops.prim.Print(x)",
        "_0 = ops.image.read_file(x)",
        "_0 = ops.quantized.linear(x)",
        "_0 = torch.ops.image.read_file(x)",
        "_0 = __torch__.torch.classes.quantized.Conv2dPackedParamsBase(x)",
        "_0 = __torch__.torch.nn.functional.relu(x)",
        "_0 = fork(x)",
        "_0 = id(x)",
        "torch = x",
        "if True:\n      ops = x\n    else:\n      pass",
        "for torch in range(3):\n      pass",
        "with x as torch:\n      pass",
        f"_0 = unchecked_cast({MODULE}.Sized, x)",
        f"_0 = isinstance(x, List[{MODULE}.Sized])",
        "_0 : Future[Tensor] = x",
        "_0 = [y for y in x]",
        "_0 = (lambda: x)()",
        "_0 = x if True else x",
        "_0 = x @ x",
        "_0 = {**x}",
        "_0 = torch.relu(*x)",
        "_0 = torch.relu(**x)",
        "import os",
        "global x",
        "del x",
        "raise x",
        "assert x",
        "_0 += x",
        "_0 = _1 = x",
        "def f(x: Tensor) -> Tensor:\n      return x",
    ],
)
def test_a_statement_that_is_not_known_to_be_harmless_is_refused(statement, small):
    parameter = f"self: {MODULE}.Small,\n    x: Tensor) -> Tensor:\n"
    assert "data.pkl" not in refusal(edited(small, CODE, parameter, f"{parameter}    {statement}\n"))


FORBIDDEN = [
    "torch.save",
    "torch.from_file",
    "torch.set_",
    "torch.as_strided",
    "torch.empty",
    "ops.aten.add",
    "ops.x.y",
]
STANDS = [
    "_0 = CALL",
    "CALL",
    "return CALL",
    "_0 = torch.relu(CALL)",
    "_0 = torch.full([1], 0, dtype=CALL)",
    "_0 = [x, CALL]",
    "_0 = (x, CALL)",
    '_0 = {"key": CALL}',
    "_0 = {CALL: x}",
    "_0 = x[CALL]",
    "_0 = x[1:CALL]",
    "_0 = CALL[0]",
    "_0 = -CALL",
    "_0 = x + CALL",
    "_0 = CALL.weight",
    "CALL.weight = x",
    "x.weight = CALL",
    "_0, _1 = CALL",
    "_0 : Tensor = CALL",
    "_0 = (CALL).method()",
    "_0 = (x).method(CALL)",
    "_0 = function(CALL)",
    "_0 = int(CALL)",
    "_0 = annotate(Tensor, CALL)",
    "_0 = unchecked_cast(Tensor, CALL)",
    '_0 = getattr(CALL, "weight")',
    "_0 = isinstance(CALL, Tensor)",
    "ops.prim.RaiseException(CALL)",
    "if CALL:\n      pass",
    "if x:\n      pass\n    else:\n      CALL",
    "while CALL:\n      pass",
    "while x:\n      CALL",
    "for i in range(CALL):\n      pass",
    "for i in range(3):\n      CALL",
    "with CALL:\n      pass",
    "with x:\n      CALL",
]
PROGRAM = """class Model(Module):
  __parameters__ = []
  weight : Tensor
  scale : Final[int] = CONSTANT
  def method(self: __torch__.Model, n: int=DEFAULT) -> Tensor:
    function = __torch__.function
    _9 = __torch__.function
    BODY
    return x
def function(x: Tensor) -> Tensor:
  return x
""".replace("function(CALL", "_9(CALL")


def check_program(body: str = "x = 1", constant: str = "1", default: str = "1") -> None:
    body = body.replace("function(", "_9(")
    text = PROGRAM.replace("BODY", "x = 1\n    " + body).replace("CONSTANT", constant).replace("DEFAULT", default)
    check_source({"code/__torch__.py": text.encode()})


@pytest.mark.parametrize("stand", STANDS)
def test_an_operator_is_noticed_wherever_a_call_can_stand(stand):
    check_program(stand.replace("CALL", "torch.relu(x)"))
    for name in FORBIDDEN:
        with pytest.raises(NnError, match=re.escape(name)):
            check_program(stand.replace("CALL", f"{name}(x)"))


def test_an_operator_is_noticed_outside_of_functions():
    check_program(constant='torch.device("cpu")', default='torch.device("cpu")')
    for name in FORBIDDEN:
        with pytest.raises(NnError):
            check_program(constant=f"{name}(1)")
        with pytest.raises(NnError):
            check_program(default=f"{name}(1)")


def test_every_operator_that_is_not_known_to_be_harmless_is_noticed():
    names = {
        schema.name.removeprefix("aten::") for schema in torch._C._jit_get_all_schemas() if "aten::" in schema.name
    }
    assert len(names) > 1000
    for name in sorted(names - tensor_operators()):
        assert is_refused_operator(name)
        with pytest.raises(NnError, match="it calls"):
            check_program(f"_0 = torch.{name}(x)")


def test_no_operator_that_passes_takes_a_path():
    assert {"save", "from_file", "_print", "set_", "record_stream", "wait", "empty", "resize_"}.isdisjoint(
        tensor_operators()
    )
    assert {"relu", "conv2d", "einsum", "_convolution", "format", "lstm", "softmax"} <= tensor_operators()


@pytest.mark.parametrize("name", ["set_", "resize_", "as_strided"])
def test_a_method_of_the_name_of_a_refused_operator_is_refused(name):
    text = PROGRAM.replace("method", name).replace("BODY", f"x = (self).{name}(1)").replace("CONSTANT", "1")
    with pytest.raises(NnError, match=f"calls the method `{name}`"):
        check_source({"code/__torch__.py": text.replace("DEFAULT", "1").encode()})


@pytest.mark.parametrize(
    "text",
    [
        "# type: (Tensor) -> Tensor\n",
        "def f(x: Tensor) -> Tensor:\n  return 'x'\n",
        'def f(x: Tensor) -> Tensor:\n  return """x"""\n',
        "def f(x: Tensor) -> Tensor:\n  return \\\n    x\n",
        "def f(x: Tensor) -> Tensor:\n\treturn x\n",
        "def f(x: Tensor) -> Tensor:\n  return x; x\n",
        "def f(x: Tensor) -> Tensor:\r  return x\n",
        "def f(x: Tensor) -> Tensor:\n  return é\n",
        'def f(x: Tensor) -> Tensor:\n  return "\\400"\n',
        "def f(x: Tensor) -> Tensor:\n" + "\n" * 100_000 + "  return x\n",
        "def f(x: Tensor) -> Tensor:\n  return " + "-" * 200 + "x\n",
        "def f(x: Tensor) -> Tensor:\n  return " + "-" * 500_000 + "x\n",
        "def f(x: Tensor) -> Tensor:\n  return " + "(" * 5000 + "x" + ")" * 5000 + "\n",
        "def f(x: Tensor) -> Tensor:\n  return " + "[" * 150 + "x" + "]" * 150 + "\n",
        "def f(x: Tensor) -> Tensor:\n  return x" + ".weight" * 100_000 + "\n",
        "def f(x: Tensor) -> Tensor:\n  return x" + " + x" * 100_000 + "\n",
        "def f(x: Tensor) -> Tensor:\n"
        + "".join("  " * i + "if x:\n" for i in range(1, 90))
        + "  " * 90
        + "return x\n",
        "def f(x: Tensor):\n  return x\n",
        "def f(*x: Tensor) -> Tensor:\n  return x\n",
        "@f\ndef f(x: Tensor) -> Tensor:\n  return x\n",
        "def f(x: Tensor) -> Tensor:\n  return x\ndef f(x: Tensor) -> Tensor:\n  return x\n",
        "class C(Interface):\n  pass\n",
        "class C(Module, NamedTuple):\n  pass\n",
        "class C(Module):\n  x : Tensor\n  x : int\n",
        "class C(Module):\n  x : RRef[Tensor]\n",
        "class C(Module):\n  print(1)\n",
        "x = 1\n",
    ],
    ids=range(27),
)
def test_code_that_pytorch_does_not_write_is_refused(text):
    with pytest.raises(NnError):
        check_source({"code/__torch__.py": text.encode()})


def test_pytorch_dies_of_nested_code_that_is_refused(small):
    """The reason why nesting and blank lines are counted: this archive would end the host with a signal."""
    data = edited(small, CODE, "    return", "\n" * 1_000_000 + "    return")
    assert "text that PyTorch does not write" in refusal(data)


def test_code_in_pytorch_s_own_namespace_is_refused():
    with pytest.raises(NnError, match="PyTorch's own"):
        check_source({"code/__torch__/torch/classes.py": b"class C(Module):\n  x : Tensor\n"})


@pytest.mark.parametrize(
    "name", ["posix system", "builtins eval", "torch._utils _rebuild_sparse_tensor", "__torch__ Other"]
)
def test_a_pickle_that_names_something_else_is_refused(name, small):
    data = edited(small, "data.pkl", b"ctorch._utils\n_rebuild_tensor_v2\n", f"c{name}\n".replace(" ", "\n"))
    assert f"data.pkl: it names `{name}`" in refusal(data)


def test_an_object_of_another_class_than_declared_is_refused(small):
    """PyTorch loads such a model and then reads beyond the end of the object."""
    large = scripted(Outer(Small()))
    name = f"c{MODULE}\n".encode()
    data = edited(large, "data.pkl", name + b"Small\n", name + b"Sized\n")
    assert f"is no `{MODULE}.Small`" in refusal(data)


def test_a_member_that_an_enum_has_not_is_refused():
    data = scripted(Arranged())
    assert "data.pkl: " in refusal(edited(data, "data.pkl", "columns", "COLUMNS"))
    assert "data.pkl: " in refusal(edited(data, "data.pkl", b"X\x07\x00\x00\x00columns", b"K\x01"))


def test_a_list_that_is_declared_in_two_ways_is_refused():
    """What is put in as one type would be taken out as the other."""
    program = check_source({"code/__torch__.py": b"class Model(Module):\n  a : List[int]\n  b : List[Tensor]\n"})
    check_model(Instance("__torch__.Model", {"a": [], "b": []}), "data.pkl", program)
    shared: list[object] = []
    with pytest.raises(NnError, match="is no `List"):
        check_model(Instance("__torch__.Model", {"a": shared, "b": shared}), "data.pkl", program)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(K\x07t", b"(K\x08t"),  # a tensor of 8 elements in a storage of 7
        (b"(K\x01t", b"(K\x02t"),  # every second element of it
        (b"K\x00(K\x07t", b"K\x01(K\x07t"),  # from the second element on
        (b"K\x07t", b"K\x08t"),  # a storage of 8 elements in a file of 7
        (b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x009"),  # a file that is not there
        (b"X\x04\x00\x00\x00size", b"X\x04\x00\x00\x00sizy"),  # an attribute that is not declared
        (b"(K\x01t\x89", b"(K\x01tK\x00"),  # a number instead of a truth
        (b"K\x01X", b"NX"),  # nothing instead of a number
        (b"etRub", b"etRNub"),  # a key without a value
        (b")\x81}(", b")\x81}(("),  # a mark too many
        (b")\x81}(", b"))\x81}("),  # a value too many
        (b")\x81}(", b")\x81}"),  # a mark too few
        (b"etRub", b"eRub"),  # a tuple that is not closed
        (b"\x80\x02", b"\x80\x04"),  # another protocol
        (b"\x80\x02", b"\x80\x02N"),  # a value that is left behind
        (b"\x80\x02", b"\x80\x02N0"),  # an instruction that PyTorch never writes
    ],
    ids=repr,
)
def test_a_pickle_in_bad_order_is_refused(old, new, small):
    assert "data.pkl: " in refusal(edited(small, "data.pkl", old, new))


def test_a_pickle_without_an_end_is_refused(small):
    content = files(small)
    content["data.pkl"] = content["data.pkl"][:-1]
    assert "data.pkl: " in refusal(written(content))


def test_deeply_nested_values_are_refused(small):
    content = files(small)
    content["constants.pkl"] = b"\x80\x02)" + b"\x85" * 1_000_000 + b"."
    assert "constants.pkl" in refusal(written(content))


def test_constants_that_are_no_tensors_are_refused(small):
    content = files(small)
    content["constants.pkl"] = b"\x80\x02]\x85."
    assert "constants.pkl" in refusal(written(content))


def test_positions_that_point_nowhere_are_refused(small):
    path = CODE + ".debug_pkl"
    assert path in refusal(edited(small, path, b"K\x01", b"K\xfa"))


def test_a_pickle_with_too_large_a_memo_is_refused(small):
    assert "LONG_BINPUT" in refusal(edited(small, "data.pkl", b"q\x00", b"r\xff\xff\xff\x7f"))


def test_what_is_no_archive_is_refused(small):
    for data in (b"", b"PK\x03\x04", b"\x80\x02}.", pickle.dumps({}), bytes(1000)):
        assert "broken" in refusal(data)


def test_a_truncated_archive_is_refused(small):
    for size in range(0, len(small), 97):
        refusal(small[:size])


def test_an_archive_with_anything_before_or_behind_it_is_refused(small):
    assert "broken" in refusal(b"\0" * 64 + small)
    assert "broken" in refusal(small + b"\0")
    assert "broken" in refusal(small + small)


def test_an_archive_that_pytorch_would_take_for_another_format_is_refused(small):
    data = bytearray(small)
    data[4:8] = b"PTMF"  # a FlatBuffer: PyTorch looks there first
    assert "broken" in refusal(bytes(data))


@pytest.mark.parametrize("name", ["data.pkl", "DATA.PKL", "code/__TORCH__.py"])
def test_duplicate_entries_are_refused(name, small):
    content = files(small)
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for path, data in [*content.items(), (name, content["data.pkl"])]:
            archive.writestr(f"archive/{path}", data)
    refusal(file.getvalue())  # not laid out as PyTorch does, to begin with
    content["code/__torch__/A.py"] = content["code/__torch__/a.py"] = b""
    assert "the same name" in refusal(written(content))


@pytest.mark.parametrize(
    "name", ["model.json", "bytecode.pkl", "../data.pkl", "code/../data.pkl", "code/a.py", "data/x"]
)
def test_entries_that_pytorch_does_not_write_are_refused(name, small):
    assert "PyTorch writes no entry such as" in refusal(written({**files(small), name: b""}))


@pytest.mark.parametrize("name", ["data.pkl", "constants.pkl"])
def test_a_missing_file_is_refused(name, small):
    content = files(small)
    del content[name]
    assert f"{name}: it is missing" in refusal(written(content))


def with_size(data: bytes, name: str, size: int) -> bytes:
    """Let the directory declare another size for an entry."""
    entry = re.search(rb"PK\x01\x02.{42}archive/" + re.escape(name.encode()) + rb"PK", data, re.DOTALL)
    assert entry
    at = entry.start()
    return data[: at + 24] + struct.pack("<L", size) + data[at + 28 :]


@pytest.mark.parametrize("size", [0, 100, 1 << 20, 1 << 21, 0xFFFFFFFE, 0xFFFFFFFF])
def test_a_size_that_is_not_the_declared_one_is_refused(size, small):
    refusal(with_size(small, CODE, size))


def test_code_that_is_too_large_is_refused_before_it_is_unpacked(small):
    bomb = with_size(small, CODE, 1 << 31)
    assert f"{CODE}: it is too large to be checked" in refusal(bomb)


def test_pytorch_reads_what_is_checked(small):
    """Whatever byte is changed, the archive is refused, or both readers see the same files with the same content."""
    accepted = 0
    for at in range(len(small)):
        data = bytearray(small)
        data[at] ^= 0xFF
        try:
            archive = Archive(memoryview(data))
            content = {path: archive.read(path) for path in archive}
        except NnError:
            continue
        if content["version"] != files(small)["version"]:  # which PyTorch reads at once
            continue
        reader = torch._C.PyTorchFileReader(io.BytesIO(bytes(data)))
        accepted += 1
        assert set(reader.get_all_records()) == set(content), at
        assert {path: reader.get_record(path) for path in content} == content, at
    assert accepted > 100


def test_random_damage_never_escapes_as_another_error(small):
    random = torch.Generator().manual_seed(1)
    for _ in range(300):
        data = bytearray(small)
        for at in torch.randint(len(small), (3,), generator=random).tolist():
            data[at] = int(torch.randint(256, (1,), generator=random))
        try:
            check_torchscript(bytes(data))
        except NnError:
            continue


def test_the_check_loads_nothing(small, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_: pytest.fail("it loads the model"))
    monkeypatch.setitem(sys.modules, "pickle", None)
    check_torchscript(small)
