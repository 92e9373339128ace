"""`set-input`, `compute` and `get-output`: the tensors that these functions keep, share, refuse and free."""

from __future__ import annotations

import pytest
import torch

from tests.simulated import Copies, Counters
from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.isolation import isolated
from tests.wasi_nn_torch.helpers.models import Add, Scale, Split, scripted
from tests.wasi_nn_torch.helpers.versions import STEPWISE, floats, open_guest, open_guests
from wasi_nn_torch import Engine, GuestTrap, Limits
from wasi_nn_torch.contract.ledger import STAGING, Transfer

pytestmark = pytest.mark.usefixtures("no_gc")

#: Elements and bytes of a vector that fills whole blocks of the allocator of a simulated device.
N, SIZE = 1024, 4096


class Overwrites(torch.nn.Module):
    """Writes to its input, and returns that and another tensor."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        before = x.clone()
        return {"written": x.add_(100), "before": before}


class Numbered(torch.nn.Module):
    """Names its outputs so that the name of one is the position of another."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"1": x + 1, "last": x + 2}


class Same(torch.nn.Module):
    """Returns its input itself, twice, and the sum."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"same": x, "view": x[1:], "sum": x.sum()}


class AddsInPlace(torch.nn.Module):
    """Adds its second input to the first one, in place."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x += y
        return x


class Nothing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs: list[torch.Tensor] = []
        return outputs


@pytest.fixture(scope="module")
def engine(device):
    with Engine(device, **isolated(device)) as engine:
        models = {"add": Add(), "double": Scale(2.0), "triple": Scale(3.0), "split": Split()}
        models |= {"overwrites": Overwrites(), "numbered": Numbered(), "nothing": Nothing(), "same": Same()}
        for name, model in models.items():
            engine.register(name, scripted(model))
        engine.register("module", AddsInPlace())
        engine.register("exported", exported(Overwrites(), torch.zeros(2)))
        yield engine


@pytest.fixture(params=STEPWISE)
def version(request):
    return request.param


@pytest.fixture
def guest(engine, version):
    with open_guest(engine, version) as guest:
        yield guest


@pytest.fixture
def context(guest):
    return guest.context("add")


def output(context, name="output"):
    """The elements of an output, which the guest drops again."""
    with context.get_output(name) as tensor:
        return floats(tensor)


def told(guest, call, *arguments):
    with pytest.raises(guest.refusal) as caught:
        call(*arguments)
    with caught.value.value as error:
        return error.code().name, error.data()


# --- inputs ---


def test_inputs_are_kept_while_they_are_set(guest, context):
    context.set_input("y", guest.floats(10))
    context.set_input("x", guest.floats(1))
    assert guest.live == 2
    context.compute()
    assert guest.live == 3, "and the output"
    assert output(context) == [11]


def test_an_input_that_is_set_again_is_replaced_at_once(guest, context):
    for number in (1, 2, 3):
        context.set_input("x", guest.floats(number))
        assert guest.live == 1
    context.compute()
    assert output(context) == [4]


def test_a_tensor_that_does_not_fit_is_refused_and_the_earlier_input_stays(guest, context):
    context.set_input("x", guest.floats(1))
    code, text = told(guest, context.set_input, "x", guest.floats(1, 2, shape=[3]))
    assert code == "INVALID_ARGUMENT"
    assert "tensor `x` has the dimensions [3] of FP32, which need 12 bytes, but 8 were given" in text
    assert guest.live == 1
    context.compute()
    assert output(context) == [2]


def test_too_long_a_name_is_refused(guest, context):
    code, text = told(guest, context.set_input, "x" * 65_537, guest.floats(1))
    assert code == "INVALID_ARGUMENT"
    assert "the name of an input is too long: 65537 characters (limit 65536)" in text
    assert guest.live == 0


def test_an_input_stays_until_it_is_replaced(guest, context):
    context.set_input("x", guest.floats(1))
    context.set_input("y", guest.floats(10))
    for x in (1, 2, 3):
        context.set_input("x", guest.floats(x))
        context.compute()
        assert output(context) == [10 + x]
        assert guest.live == 3
    context.compute()
    assert output(context) == [13], "no input was set again"
    assert guest.ledger.snapshot().transfers[Transfer.GUEST_TO_HOST].copies == 5


def test_a_compute_without_inputs_is_told_what_is_missing(guest, context):
    code, text = told(guest, context.compute)
    assert code == "INVALID_ARGUMENT"
    assert "missing: `x`; the model wants `x`, `y` (optional); given: none" in text


@pytest.mark.parametrize("inputs", [["y"], ["z", "x"], ["0", "x"]])
def test_a_compute_that_is_refused_leaves_its_inputs(guest, context, inputs):
    for name in inputs:
        context.set_input(name, guest.floats(1))
    for _ in range(2):
        assert told(guest, context.compute)[0] == "INVALID_ARGUMENT"
        assert guest.live == len(inputs)


def test_a_compute_that_fails_leaves_its_inputs_for_the_next_one(guest, context):
    context.set_input("x", guest.floats(1, 2))
    context.set_input("y", guest.floats(1, 2, 3))
    assert told(guest, context.compute)[0] == "RUNTIME_ERROR"
    assert guest.live == 2
    context.set_input("y", guest.floats(10, 20))
    context.compute()
    assert output(context) == [11, 22]


def test_each_context_keeps_its_own_inputs(guest):
    contexts = [guest.context("add") for _ in range(2)]
    for number, each in enumerate(contexts):
        each.set_input("x", guest.floats(number))
    for _ in range(2):
        for each in contexts:
            each.compute()
    assert [output(each) for each in contexts] == [[1], [2]]


@pytest.mark.parametrize("graph", ["overwrites", "exported"])
def test_a_model_that_writes_to_an_input_does_not_change_the_kept_one(guest, graph):
    context = guest.context(graph)
    context.set_input("x", guest.floats(1, 2))
    for _ in range(3):
        context.compute()
        assert (output(context, "written"), output(context, "before")) == ([101, 102], [1, 2])
    assert guest.live == 3


def test_a_module_in_python_that_writes_to_an_input_does_not_change_the_kept_one(guest):
    context = guest.context("module")
    context.set_input("x", guest.floats(1, 2))
    context.set_input("y", guest.floats(10, 20))
    for _ in range(3):
        context.compute()
        assert output(context) == [11, 22]


def test_an_output_on_the_memory_of_an_input_is_apart_from_it(guest):
    context, overwrites = guest.context("same"), guest.context("overwrites")
    context.set_input("x", guest.floats(1, 2))
    context.compute()
    overwrites.set_input("x", context.get_output("same"))
    overwrites.compute()
    assert output(overwrites, "written") == [101, 102]
    assert (output(context, "same"), output(context, "view"), output(context, "sum")) == ([1, 2], [2], [3])
    context.compute()
    assert (output(context, "same"), output(context, "view"), output(context, "sum")) == ([1, 2], [2], [3])
    context.set_input("x", guest.floats(5, 6))
    assert output(context, "same") == [1, 2], "it has its own memory"


# --- outputs ---


def test_there_is_no_output_before_compute(guest, context):
    context.set_input("x", guest.floats(1))
    answer = ("INVALID_ARGUMENT", "there is no output `output`; call `compute` first, and check that it succeeds")
    assert told(guest, context.get_output, "output") == answer


def test_the_error_for_an_unknown_output_lists_the_known_ones(guest):
    context = guest.context("overwrites")
    context.set_input("x", guest.floats(1))
    context.compute()
    for name in ("x", "", "2", "-1", "00", "before ", "output"):
        answer = ("INVALID_ARGUMENT", f"there is no output `{name}`; expected one of `written`, `before`")
        assert told(guest, context.get_output, name) == answer


def test_an_output_has_its_name_and_its_position(guest):
    context = guest.context("numbered")
    context.set_input("x", guest.floats(0))
    context.compute()
    assert [output(context, name) for name in ("0", "1", "last")] == [[1], [1], [2]]


@pytest.mark.parametrize("name", ["output", "0", "1", "", "softmax", "\N{SNOWMAN}", "x" * 70_000])
def test_the_only_output_may_have_any_name(guest, context, name):
    context.set_input("x", guest.floats(1))
    context.compute()
    assert output(context, name) == [2]


def test_a_model_may_have_no_outputs(guest):
    context = guest.context("nothing")
    context.set_input("x", guest.floats(1))
    context.compute()
    assert guest.live == 1, "the input"
    assert told(guest, context.get_output, "0")[0] == "INVALID_ARGUMENT"


def test_nothing_of_an_earlier_compute_remains(guest):
    context = guest.context("split")
    context.set_input("x", guest.floats(1, 2, 3))
    context.compute()
    kept = context.get_output("2")
    context.set_input("x", guest.floats(4, 5))
    context.compute()
    assert [output(context, name) for name in ("0", "1")] == [[4], [5]]
    assert told(guest, context.get_output, "2")[0] == "INVALID_ARGUMENT"
    assert floats(kept) == [3], "the guest keeps what it got"
    assert guest.live == 4


def test_nothing_of_an_earlier_compute_remains_after_one_that_fails(guest, context):
    context.set_input("x", guest.floats(1))
    context.compute()
    context.set_input("x", guest.floats(1, 2))
    context.set_input("y", guest.floats(1, 2, 3))
    assert told(guest, context.compute)[0] == "RUNTIME_ERROR"
    assert told(guest, context.get_output, "output")[0] == "INVALID_ARGUMENT"
    assert guest.live == 2, "the inputs"


def test_outputs_are_freed_before_the_next_ones_are_made(engine, version):
    with open_guest(engine, version, limits=Limits(tensors=4)) as guest:
        context = guest.context("split")
        for _ in range(3):
            context.set_input("x", guest.floats(1, 2))
            context.compute()
            assert guest.live == 3


# --- sharing ---


def test_an_output_is_got_twice_on_the_same_memory(guest, context):
    context.set_input("x", guest.floats(1, 2))
    context.compute()
    first, second = context.get_output("output"), context.get_output("output")
    assert guest.live == 2
    assert floats(first) == floats(second) == [2, 3]
    first.drop()
    assert floats(second) == [2, 3]
    second.drop()
    assert output(context) == [2, 3], "the context still has it"
    assert guest.live == 2


@pytest.mark.parametrize("order", ["context first", "context between", "context last"])
def test_the_memory_is_freed_when_the_last_holder_releases_it(guest, context, order):
    context.set_input("x", guest.floats(1))
    context.compute()
    holders = [context.get_output("output"), context.get_output("output")]
    holders.insert(["context first", "context between", "context last"].index(order), context)
    for holder in holders[:-1]:
        holder.drop()
        assert guest.live == 1 + (context in holders[holders.index(holder) + 1 :]), "the input goes with the context"
    holders[-1].drop()
    assert guest.live == 0


def test_an_output_is_kept_beyond_the_next_compute_and_its_context(guest, context):
    context.set_input("x", guest.floats(1))
    context.compute()
    kept = context.get_output("output")
    context.set_input("x", guest.floats(5))
    context.compute()
    context.drop()
    assert floats(kept) == [2]
    assert guest.live == 1


def test_dropping_a_context_frees_its_inputs_and_the_outputs_that_were_not_got(guest):
    context = guest.context("split")
    context.set_input("x", guest.floats(1, 2, 3))
    context.compute()
    context.set_input("x", guest.floats(1, 2))
    assert guest.live == 4, "with the input that replaced the one before"
    context.drop()
    assert guest.live == 0


def test_a_model_that_writes_to_its_input_changes_no_output_that_is_shared(guest):
    first, second = guest.context("double"), guest.context("overwrites")
    first.set_input("x", guest.floats(1, 2))
    first.compute()
    held = first.get_output("output")
    second.set_input("x", first.get_output("output"))
    second.compute()
    assert output(second, "written") == [102, 104]
    assert output(second, "before") == [2, 4]
    assert floats(held) == output(first) == [2, 4]
    second.set_input("x", held)
    first.drop()
    second.compute()
    assert output(second, "before") == [2, 4]
    assert guest.live == 3


def test_one_output_is_several_inputs_of_the_same_compute(guest, context):
    first = guest.context("double")
    first.set_input("x", guest.floats(1))
    first.compute()
    context.set_input("x", first.get_output("output"))
    context.set_input("y", first.get_output("output"))
    first.drop()
    assert guest.live == 1
    context.compute()
    assert output(context) == [4]
    assert guest.live == 2


def test_an_output_goes_back_into_its_own_graph_without_a_copy(guest, context):
    context.set_input("x", guest.floats(0))
    for _ in range(5):
        context.compute()
        context.set_input("x", context.get_output("output"))
    context.compute()
    assert output(context) == [6]
    figures = guest.ledger.snapshot()
    assert figures.transfers[Transfer.GUEST_TO_HOST].copies == 1
    assert figures.live_tensors == 2, "the input of the last compute and its output"
    assert sum(place.peak_tensors for name, place in figures.places.items() if name != STAGING) == 2


def test_the_copy_of_a_kept_input_is_subject_to_the_limits(engine, version):
    with open_guest(engine, version, limits=Limits(tensors=3)) as guest:
        context = guest.context("overwrites")
        context.set_input("x", guest.floats(1))
        held = [guest.floats(5), guest.floats(6)]
        code, text = told(guest, context.compute)
        assert code == "TOO_LARGE"
        assert "the copy of a tensor that is still in use `x` is one tensor too many: this guest already has 3" in text
        held.pop().drop()
        assert told(guest, context.compute)[0] == "TOO_LARGE", "for the second output"
        held.pop().drop()
        context.compute()
        assert output(context, "written") == [101]
        assert guest.live == 3


def test_the_copy_of_a_kept_input_is_freed_after_compute(guest):
    context = guest.context("module")
    context.set_input("x", guest.floats(1))
    context.set_input("y", guest.floats(1, 2, 3))
    for _ in range(2):
        assert told(guest, context.compute)[0] == "RUNTIME_ERROR"
        assert guest.live == 2


# --- the device ---


def test_outputs_stay_on_the_device(engine, version, simulator):
    with open_guest(engine, version) as guest:
        contexts = [guest.context(name) for name in ("double", "triple", "add")]
        simulator.reset()
        tensor = guest.floats(*[1.0] * N)
        for context in contexts:
            context.set_input("x", tensor)
            context.compute()
            tensor = context.get_output("output")
            context.drop()
        assert simulator.counters().d2h == simulator.counters().within == Copies()
        assert floats(tensor) == [7.0] * N
        one = Copies(1, SIZE)
        counted = simulator.counters()
        assert Counters(counted.h2d, counted.d2h, counted.d2d, counted.within) == Counters(h2d=one, d2h=one)


def test_an_input_is_uploaded_once_for_many_computes(engine, version, simulator):
    with open_guest(engine, version) as guest:
        context = guest.context("add")
        context.set_input("x", guest.floats(*[1.0] * N))
        context.set_input("y", guest.floats(*[2.0] * N))
        simulator.reset()
        for _ in range(3):
            context.compute()
        assert simulator.counters().h2d == Copies(2, 2 * SIZE)
        assert simulator.counters().within == Copies()


def test_an_input_takes_its_memory_once(engine, version, allocated, device):
    before = allocated()
    with open_guest(engine, version) as guest:
        context = guest.context("double")
        context.set_input("x", guest.floats(*[1.0] * N))
        for _ in range(2):
            context.compute()
            assert allocated() == before + 2 * SIZE, "the input and the output"
        places = guest.ledger.snapshot().places
        assert (places[STAGING].bytes, places[STAGING].peak_bytes) == (0, SIZE)
        assert (places[str(device)].bytes, places[str(device)].peak_bytes) == (2 * SIZE, 2 * SIZE)
        context.set_input("x", guest.floats(*[2.0] * N))
        assert allocated() == before + SIZE, "the replaced input is freed"
        context.drop()
        assert allocated() == before


def test_an_input_that_a_model_writes_to_stays_with_the_host(engine, version, simulator, allocated, device):
    before = allocated()
    with open_guest(engine, version) as guest:
        context = guest.context("overwrites")
        context.set_input("x", guest.floats(*[1.0] * N))
        for number in (1, 2):
            simulator.reset()
            context.compute()
            assert allocated() == before + 2 * SIZE, f"the outputs of compute {number}"
            assert simulator.counters().h2d == Copies(1, SIZE)
        places = guest.ledger.snapshot().places
        assert (places[STAGING].bytes, places[STAGING].peak_bytes) == (SIZE, SIZE)
        assert (places[str(device)].bytes, places[str(device)].peak_bytes) == (2 * SIZE, 2 * SIZE)
        assert guest.ledger.snapshot().transfers[Transfer.HOST_TO_DEVICE].copies == 2


def test_a_shared_tensor_is_copied_within_the_device_for_a_model_that_writes_to_it(engine, version, simulator):
    with open_guest(engine, version) as guest:
        first, reads, writes = guest.context("double"), guest.context("triple"), guest.context("overwrites")
        first.set_input("x", guest.floats(*[1.0] * N))
        first.compute()
        reads.set_input("x", first.get_output("output"))
        writes.set_input("x", first.get_output("output"))
        simulator.reset()
        reads.compute()
        assert simulator.counters().within == Copies()
        writes.compute()
        counted = simulator.counters()
        assert (counted.h2d, counted.d2h, counted.d2d) == (Copies(), Copies(), Copies())
        assert counted.within == Copies(2, 2 * SIZE), "the copy, and the one that the model makes itself"


def test_device_memory_is_freed_at_once(engine, version, allocated):
    before = allocated()
    with open_guest(engine, version) as guest:
        context = guest.context("double")
        context.set_input("x", guest.floats(*[1.0] * N))
        context.compute()
        first, second = context.get_output("output"), context.get_output("output")
        assert allocated() == before + 2 * SIZE
        first.drop()
        context.drop()
        assert allocated() == before + SIZE
        second.drop()
        assert allocated() == before


def test_running_out_of_memory_for_a_copy_is_too_large(engine, version, simulator, accelerator, allocated):
    before = allocated()
    with open_guest(engine, version) as guest:
        first, second = guest.context("double"), guest.context("overwrites")
        first.set_input("x", guest.floats(*[1.0] * N))
        first.compute()
        with simulator.room_for(accelerator, SIZE // 2):
            second.set_input("x", first.get_output("output"))
            code, text = told(guest, second.compute)
        assert code == "TOO_LARGE"
        assert f"out of memory on {accelerator} while computing `x` FP32 [{N}]: {SIZE} bytes more" in text
        assert allocated() == before + 2 * SIZE, "the first input and output"
        second.compute()
        assert output(second, "before") == [2.0] * N, "the input is still there"
    assert allocated() == before


# --- the constructor of an error, which one version has ---


def test_a_guest_makes_errors_itself(engine):
    with open_guest(engine, "2024-06-25") as guest:
        for code in guest.types("errors").ErrorCode:
            with guest.errors.new_error(code, f"of the guest: {code.value} ü") as error:
                assert (error.code(), error.data()) == (code, f"of the guest: {code.value} ü")


def test_an_error_with_too_long_a_text_traps(engine):
    with open_guest(engine, "2024-06-25") as guest:
        unknown = guest.types("errors").ErrorCode.UNKNOWN
        guest.errors.new_error(unknown, "x" * 65_536)
        with pytest.raises(GuestTrap, match=r"constructor of an error.* its text is too long: 65537 characters"):
            guest.errors.new_error(unknown, "x" * 65_537)


# --- several versions at once ---


def test_contexts_of_several_versions_are_apart(engine):
    with open_guests(engine, *STEPWISE) as [one, other]:
        first, second = one.context("add"), other.context("add")
        first.set_input("x", one.floats(1))
        second.set_input("x", other.floats(2))
        first.compute()
        second.compute()
        assert output(first) == [2]
        assert output(second) == [3]
