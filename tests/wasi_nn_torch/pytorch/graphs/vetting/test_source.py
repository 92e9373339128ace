"""The check of the code in guests' models."""

import re

import pytest
import torch

from tests.wasi_nn_torch.helpers.guest_models import CODE, MODULE, edited, refusal
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.operators import is_refused_operator, tensor_operators
from wasi_nn_torch.pytorch.graphs.vetting.source import check_source

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]


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
    "torch.native_batch_norm",
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
