"""Shares of a tensor, and the contexts that give them out, on tensors that nothing but `drop` frees."""

from __future__ import annotations

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.hosts.stepwise import StepwiseContext
from wasi_nn_torch.pytorch.tensors import adopt, is_lent


class Plain:
    """A tensor that counts how often it is dropped."""

    dtype = ElementType.U8

    def __init__(self, content=b"abc", misfit=""):
        self.dimensions = (len(content),)
        self.content = content
        self.misfit = misfit
        self.drops = 0

    def require_fit(self, name):
        if self.misfit:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"{name} {self.misfit}")

    def data(self):
        return memoryview(self.content)

    def drop(self):
        self.drops += 1


class Passing:
    """A context whose outputs are made beforehand; it drops its inputs, as every context does."""

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
def test_a_share_that_is_gone_cannot_be_used(use):
    share = Share.of(Plain())
    share.drop()
    with pytest.raises(RuntimeError, match="this share of a tensor was dropped"):
        use(share)


def test_a_graph_that_only_reads_is_lent_what_others_hold(tensor, ledger):
    given = tensor(torch.ones(3))
    share = Share.of(given)
    adopted = adopt(share, "x", ledger, None)
    assert adopted is given
    assert is_lent(share, adopted)
    assert not is_lent(given, adopted), "what it was given itself is its own"
    assert ledger.snapshot().live_tensors == 1


def test_a_graph_that_may_write_gets_a_copy_on_its_device(tensor, values, ledger, device):
    given = tensor(torch.arange(3.0))
    share = Share.of(given)
    adopted = adopt(share, "x", ledger, device)
    assert (adopted.dimensions, adopted.place, values(adopted)) == ((3,), str(device), [0, 1, 2])
    assert not is_lent(share, adopted)
    assert given.place == STAGING, "what is kept stays where it is"
    adopted.drop()
    assert ledger.snapshot().live_tensors == 1, "the one that is kept"
    share.drop()
    assert ledger.snapshot().live_tensors == 0


def test_a_graph_is_not_given_a_copy_of_what_is_its_own(tensor, ledger, device):
    given = tensor(torch.ones(3))
    assert adopt(given, "x", ledger, device) is given


def test_a_graph_copies_what_another_engine_made(values, ledger):
    given, kept = Plain(b"\1\2\3"), Plain(b"\4\5")
    assert values(adopt(given, "x", ledger, None)) == [1, 2, 3]
    assert given.drops == 1
    share = Share.of(kept)
    adopted = adopt(share, "x", ledger, None)
    assert values(adopted) == [4, 5]
    assert (kept.drops, is_lent(share, adopted)) == (0, False)


# --- contexts ---


def test_what_is_replaced_or_refused_is_dropped_at_once():
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
