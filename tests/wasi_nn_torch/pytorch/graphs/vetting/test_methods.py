"""Methods of a guest's model may have the names of refused operators if it is certain that they are its own."""

import pytest
import torch
from torch import Tensor, nn

from tests.wasi_nn_torch.helpers.guest_models import files, loaded, refusal, saved, scripted, written
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript
from wasi_nn_torch.pytorch.graphs.vetting.source import check_source

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]

NAMES = """
    resize set set_ save seed hash grad wait empty owner open load cpu cuda to backward from_file as_strided resize_
    manual_seed pin_memory record_stream print id Print local_value to_here new_empty indices
""".split()


class Step(nn.Module):
    """Has two methods of the names of operators; PyTorch prints calls of them in several ways."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(x)

    def resize(self, x: Tensor) -> Tensor:
        return self.seed(x) * self.scale

    def seed(self, x: Tensor) -> Tensor:
        return x + 1


class Steps(nn.Module):
    """Calls methods of parts: by name, in a list, in a dict, of a part of a part."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Step()
        self.listed = nn.ModuleList([Step(), Step()])
        self.named = nn.ModuleDict({"a": Step(), "b": Step()})
        self.outer = nn.ModuleList([nn.ModuleList([Step()])])

    def forward(self, x: Tensor) -> Tensor:
        first = self.first
        if x.sum() > 0:
            x = first.resize(x)
        for step in self.listed:
            x = step.resize(x)
        for step in self.named.values():
            x = step.seed(x)
        for inner in self.outer:
            for step in inner:
                x = step.seed(x)
        return self.save(x)

    def save(self, x: Tensor) -> Tensor:
        return self.first(x)


@torch.jit.script
class Point:
    """A class of TorchScript's own, which its code makes objects of."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def owner(self) -> Tensor:
        return self.x * 3


class MakesPoints(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Point(x).owner()


@pytest.mark.parametrize("make", [Step, Steps, MakesPoints])
def test_own_methods_with_names_of_operators_pass_and_compute_the_same(make):
    data = scripted(make())
    check_torchscript(data)
    x = torch.rand(3)
    torch.testing.assert_close(loaded(data)(x), make()(x))
    check_torchscript(saved(loaded(data)))


PART = """class Part(Module):
  __parameters__ = []
  weight : Tensor
  def NAME(self: __torch__.Part,
    x: Tensor) -> Tensor:
    return x
"""
TUPLE = """class Pair(NamedTuple):
  weight : Tensor
  def NAME(self: __torch__.Pair,
    x: Tensor) -> Tensor:
    return x
"""
MODEL = """class Model(Module):
  __parameters__ = []
  part : __torch__.Part
  other : Optional[__torch__.Part]
  parts : List[__torch__.Part]
  pair : __torch__.Pair
  plain : __torch__.Plain
  anything : Any
  tensor : Tensor
  def forward(self: __torch__.Model,
    x: Tensor) -> Tensor:
    BODY
    return x
"""
PLAIN = """class Plain(Module):
  __parameters__ = []
  weight : Tensor
"""


def check(body: str, name: str = "save", head: str = "") -> None:
    model = MODEL.replace("BODY", body.replace("NAME", name))
    if head:
        model = model.replace("self: __torch__.Model,\n    x: Tensor", head)
    text = PART.replace("NAME", name) + TUPLE.replace("NAME", name) + PLAIN + model
    check_source({"code/__torch__.py": text.encode()})


CERTAIN = [
    "_0 = (self.part).NAME(x, )",
    "part = self.part\n    _0 = (part).NAME(x, )",
    '_0 = (getattr(self, "part")).NAME(x, )',
    'part = getattr(self, "part")\n    also = part\n    _0 = (also).NAME(x, )',
    "if True:\n      part = self.part\n    else:\n      part = self.part\n    _0 = (part).NAME(x, )",
    "part = __torch__.Part.__new__(__torch__.Part)\n    _0 = (part).NAME(x, )",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", CERTAIN)
def test_a_method_of_what_is_certainly_a_part_may_have_any_name(body, name):
    check(body, name)


UNCERTAIN = {
    "a tensor": '(x).NAME("p", )',
    "an attribute that is a tensor": '(self.tensor).NAME("p", )',
    "an attribute that may be anything": '(self.anything).NAME("p", )',
    "an attribute that may be nothing": '(self.other).NAME("p", )',
    "an item of a list": '(self.parts[0]).NAME("p", )',
    "a NamedTuple, which is a tuple": '(self.pair).NAME("p", )',
    "an object of a class that has no such method": '(self.plain).NAME("p", )',
    "an attribute of an attribute that is a tensor": '(self.tensor.part).NAME("p", )',
    "what a function returns": '(torch.relu(x)).NAME("p", )',
    "what a method returns": '((self.part).NAME(x, )).NAME("p", )',
    "a number": '(1).NAME("p", )',
    "a text": '("p").NAME(x, )',
    "a list": '([x]).NAME("p", )',
    "what is cast": '(annotate(Any, x)).NAME("p", )',
    "self, assigned anew": 'self = x\n    _0 = (self).NAME("p", )',
    "self, assigned anew in a branch": 'if True:\n      self = x\n    else:\n      pass\n    _0 = (self).NAME("p", )',
    "self, bound by a tuple": 'self, y = x, x\n    _0 = (self).NAME("p", )',
    "self, bound by a loop": 'for self in range(3):\n      _0 = (self).NAME("p", )',
    "self, bound by a context": 'with x as self:\n      _0 = (self).NAME("p", )',
    "self, declared anew": 'self : Tensor = x\n    _0 = (self).NAME("p", )',
    "a variable that is a part first and a tensor then": 'v = self.part\n    v = x\n    _0 = (v).NAME("p", )',
    "a variable that is a part in one branch": "if True:\n      v = self.part\n    else:\n      v = x\n    (v).NAME(x)",
    "a variable that a tuple binds as well": 'v = self.part\n    v, y = x, x\n    _0 = (v).NAME("p", )',
    "a variable that a loop binds as well": 'v = self.part\n    for v in range(3):\n      _0 = (v).NAME("p", )',
    "a variable that a declaration binds as well": 'v = self.part\n    v : Tensor = x\n    _0 = (v).NAME("p", )',
    "a variable that is assigned to itself": 'v = v\n    _0 = (v).NAME("p", )',
    "variables that are assigned to each other": 'v = w\n    w = v\n    _0 = (v).NAME("p", )',
    "a class that is made as another": '_0 = (__torch__.Part.__new__(__torch__.Pair)).NAME("p", )',
}


@pytest.mark.parametrize("name", ["save", "set_", "resize_", "from_file"])
@pytest.mark.parametrize("body", UNCERTAIN.values(), ids=UNCERTAIN.keys())
def test_a_method_of_what_may_be_something_else_is_refused(body, name):
    with pytest.raises(NnError):
        check(body, name)


HEADS = {
    "self is the second parameter": "x: __torch__.Model,\n    self: Tensor",
    "self is declared as a tensor": "self: Tensor,\n    x: Tensor",
    "self is declared as another class": "self: __torch__.Part,\n    x: Tensor",
    "self is not declared": "self,\n    x: Tensor",
    "self is declared twice": "self: __torch__.Model,\n    x: Tensor,\n    self: Tensor",
    "self is declared as anything": "self: Any,\n    x: Tensor",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_method_of_what_is_only_called_self_is_refused(head):
    with pytest.raises(NnError, match="calls the method `save`"):
        check('_0 = (self).save("p", )\n    return x', head=head)


def test_self_in_a_function_is_what_it_is_declared_as():
    function = "def f(self: TYPE, x: Tensor) -> Tensor:\n  return (self).save(x, )\n"
    for kind, passes in (("__torch__.Part", True), ("Tensor", False), ("Optional[__torch__.Part]", False)):
        text = PART.replace("NAME", "save") + function.replace("TYPE", kind)
        if passes:
            check_source({"code/__torch__.py": text.encode()})
        else:
            with pytest.raises(NnError, match="calls the method `save`"):
                check_source({"code/__torch__.py": text.encode()})


class ResizesBesideAMethod(nn.Module):
    """Makes a tensor larger, whose new elements are what was in memory before, and has a method of that name."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Resizer()

    def forward(self, x: Tensor) -> Tensor:
        return self.part.resize_(torch.ops.aten.resize_(x.clone(), [1000]), 1)


class Resizer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.resize_(x, 1)

    def resize_(self, x: Tensor, times: int) -> Tensor:
        return x * times


def test_pytorch_calls_an_operator_as_the_method_of_a_tensor():
    """The reason why it must be certain what a method is called on."""
    data = scripted(ResizesBesideAMethod())
    assert len(loaded(data)(torch.zeros(1))) == 1000
    assert "`torch.resize_`" in refusal(data)
    hidden = rewritten(data, b"torch.resize_(torch.clone(x), ", b"(torch.clone(x)).resize_(")
    assert len(loaded(hidden)(torch.zeros(1))) == 1000, "PyTorch calls the archive's method now: choose another harm"
    assert "it calls the method `resize_`" in refusal(hidden)


def rewritten(data: bytes, old: bytes, new: bytes) -> bytes:
    content = files(data)
    changed = {path: text.replace(old, new) for path, text in content.items()}
    assert changed != content, [text for path, text in content.items() if path.endswith(".py")]
    return written(changed)


def test_long_chains_of_variables_are_followed_no_further():
    chain = "\n    ".join(f"v{n} = v{n + 1}" for n in range(500))
    with pytest.raises(NnError):
        check(f"{chain}\n    v500 = self.part\n    _0 = (v0).NAME(x, )")
