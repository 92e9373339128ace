"""Shares of a tensor, and the contexts that hold them, on tensors that count how often they are dropped."""

from __future__ import annotations

import pytest

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.hosts.stepwise import StepwiseContext

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


class Plain(Tensor):
    """A tensor that counts how often it is dropped."""

    dtype = ElementType.U8
    dimensions = ()

    def __init__(self, content=b"abc", misfit=""):
        self.dimensions = (len(content),)
        self.bytes = content
        self.misfit = misfit
        self.drops = 0

    def require_fit(self, name):
        if self.misfit:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"{name} {self.misfit}")

    def data(self):
        return memoryview(self.bytes)

    def drop(self):
        self.drops += 1


class Passing:
    """A context with prepared outputs; it drops its inputs, as every context does."""

    def __init__(self, *outputs):
        self.outputs = list(outputs)

    def compute(self, inputs):
        for _, tensor in inputs:
            tensor.drop()
        return self.outputs.pop(0)


# --- shares ---


def test_a_share_shows_the_tensor():
    share = Share.of(Plain(b"xyz"))
    assert (share.dimensions, share.dtype, bytes(share.data())) == ((3,), ElementType.U8, b"xyz")
    share.require_fit("x")
    with pytest.raises(NnError, match="x does not fit"):
        Share.of(Plain(misfit="does not fit")).require_fit("x")


def test_the_last_share_frees_the_tensor_once():
    tensor = Plain()
    shares = [Share.of(tensor)]
    shares += [shares[0].another(), shares[0].another()]
    for share in shares:
        assert tensor.drops == 0
        share.drop()
        share.drop()
    assert tensor.drops == 1


def test_a_share_of_a_share_is_that_share():
    share = Share.of(Plain())
    assert Share.of(share) is share


@pytest.mark.parametrize("use", [Share.data, Share.another, lambda share: share.content])
def test_a_dropped_share_cannot_be_used(use):
    share = Share.of(Plain())
    share.drop()
    with pytest.raises(RuntimeError, match="this share of a tensor was dropped"):
        use(share)


@pytest.mark.parametrize("drops_the_other", [True, False])
def test_the_last_holder_can_take_the_tensor(drops_the_other):
    tensor = Plain()
    share = Share.of(tensor)
    other = share.another()
    assert share.take_if_last() is None
    if drops_the_other:
        other.drop()
        assert share.take_if_last() is tensor
    share.drop()
    assert tensor.drops == 0, "it belongs to the taker, or has another holder"


def test_a_tensor_with_an_owner_outside_of_its_shares_is_not_taken():
    class Lent(Plain):
        def take_if_last(self):
            return None

    tensor = Lent()
    share = Share.of(tensor)
    assert share.take_if_last() is None
    assert share.content is tensor
    share.drop()
    assert tensor.drops == 1


# --- contexts ---


def test_an_input_that_is_replaced_or_refused_is_dropped_at_once():
    context = StepwiseContext(Passing())
    first, second, wrong = Plain(), Plain(), Plain(misfit="does not fit")
    context.set_input("x", first)
    context.set_input("x", second)
    with pytest.raises(NnError, match="x does not fit"):
        context.set_input("x", wrong)
    assert (first.drops, second.drops, wrong.drops) == (1, 0, 1)
    context.drop()
    assert second.drops == 1


def test_an_input_stays_for_every_compute():
    context, given = StepwiseContext(Passing([], [])), Plain()
    context.set_input("x", given)
    context.compute()
    context.compute()
    assert given.drops == 0
    context.drop()
    assert given.drops == 1


def test_outputs_of_the_same_name_are_all_dropped():
    same = [Plain(b"1"), Plain(b"2")]
    context = StepwiseContext(Passing([("x", same[0]), ("x", same[1])], []))
    context.compute()
    got = [context.output(name) for name in ("x", "0", "1")]
    assert [bytes(share.data()) for share in got] == [b"2", b"1", b"2"]
    context.compute()
    assert [tensor.drops for tensor in same] == [0, 0], "the guest still holds them"
    for share in got:
        share.drop()
    assert [tensor.drops for tensor in same] == [1, 1]


def test_dropping_a_context_drops_its_inputs_and_outputs_once():
    tensors = [Plain(), Plain(), Plain()]
    context = StepwiseContext(Passing([("a", tensors[0]), ("b", tensors[1])]))
    context.compute()
    context.set_input("x", tensors[2])
    context.drop()
    context.drop()
    assert [tensor.drops for tensor in tensors] == [1, 1, 1]
