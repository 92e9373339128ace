"""The check of the pickles in guests' models."""

import pytest

from tests.wasi_nn_torch.helpers.guest_models import (
    CODE,
    MODULE,
    Arranged,
    Outer,
    Small,
    edited,
    files,
    refusal,
    scripted,
    written,
)
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.pickled import Instance
from wasi_nn_torch.pytorch.graphs.vetting.source import check_source
from wasi_nn_torch.pytorch.graphs.vetting.state import check_model

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]


@pytest.mark.parametrize(
    "name", ["posix system", "builtins eval", "torch._utils _rebuild_sparse_tensor", "__torch__ Other"]
)
def test_a_pickle_that_names_something_else_is_refused(name, small):
    data = edited(small, "data.pkl", b"ctorch._utils\n_rebuild_tensor_v2\n", f"c{name}\n".replace(" ", "\n"))
    assert f"data.pkl: it refers to `{name}`" in refusal(data)


def test_an_object_of_another_class_than_declared_is_refused(small):
    """PyTorch loads such a model and then reads beyond the end of the object."""
    large = scripted(Outer(Small()))
    name = f"c{MODULE}\n".encode()
    data = edited(large, "data.pkl", name + b"Small\n", name + b"Sized\n")
    assert f"does not have the declared type `{MODULE}.Small`" in refusal(data)


def test_a_member_that_an_enum_has_not_is_refused():
    data = scripted(Arranged())
    assert "data.pkl: " in refusal(edited(data, "data.pkl", "columns", "COLUMNS"))
    assert "data.pkl: " in refusal(edited(data, "data.pkl", b"X\x07\x00\x00\x00columns", b"K\x01"))


def test_a_list_that_is_declared_in_two_ways_is_refused():
    """What is put in as one type would be taken out as the other."""
    program = check_source({"code/__torch__.py": b"class Model(Module):\n  a : List[int]\n  b : List[Tensor]\n"})
    check_model(Instance("__torch__.Model", {"a": [], "b": []}), "data.pkl", program)
    shared: list[object] = []
    with pytest.raises(NnError, match="does not have the declared type `List"):
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
