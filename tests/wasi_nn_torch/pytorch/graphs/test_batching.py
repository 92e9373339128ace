"""Models whose computations can be joined, and those that are refused, with the reason."""

from __future__ import annotations

import dataclasses
import io
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from tests.wasi_nn_torch.helpers.architectures import ARCHITECTURES, SCRIPTED
from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.ledger import STAGING, Ledger
from wasi_nn_torch.contract.policy import ModelOptions
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES
from wasi_nn_torch.pytorch.graphs import load
from wasi_nn_torch.pytorch.graphs.computing.batched import BatchedGraph
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

ROW = torch.arange(8.0).view(1, 8)


def exported(module: nn.Module, *inputs: Tensor, is_open: bool = True) -> bytes:
    """A module as an exported program, with dimension 0 of all inputs open or not."""
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in inputs) if is_open else None
    if is_open:
        inputs = tuple(torch.cat([each, each]) for each in inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO()
        torch.export.save(torch.export.export(module.eval(), inputs, dynamic_shapes=shapes), file)
    return file.getvalue()


def scripted(module: nn.Module) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(module.eval()), file)
    return file.getvalue()


BATCH = Batch()


def joinable(model, device, batch: Batch = BATCH, sizes: tuple[int, ...] | None = None, dtypes=()) -> BatchedGraph:
    """Load a model for batches."""
    warm_up = None if sizes is None else WarmUp(((None, sizes),))
    graph = load(model, device, "the model", ModelOptions(batch=batch, warm_up=warm_up, dtypes=dtypes))
    assert isinstance(graph, BatchedGraph)
    return graph


class Session:
    """The memory of one session, and its requests to a graph."""

    def __init__(self, graph: BatchedGraph, device_bytes: int | None = None) -> None:
        self.ledger = Ledger(device_bytes)
        self._memory = SessionMemory.of(self.ledger)
        self._context = graph.context(self._memory)

    def request(self, **inputs: Tensor):
        return self._context.request([(name, self.tensor(content)) for name, content in inputs.items()])

    def alone(self, **inputs: Tensor) -> list[Tensor]:
        return self._read(self._context.compute([(name, self.tensor(each)) for name, each in inputs.items()]))

    def answers(self, request) -> list[Tensor]:
        try:
            return self._read(request.outputs())
        finally:
            request.drop()

    def tensor(self, content: Tensor) -> DeviceTensor:
        data = memoryview(bytearray(content.contiguous().flatten().view(torch.uint8).numpy().tobytes()))
        return DeviceTensor.from_guest(list(content.shape), ELEMENT_TYPES[content.dtype], data, self._memory)

    @staticmethod
    def _read(outputs) -> list[Tensor]:
        found = []
        for _, output in outputs:
            source = output.data()
            content = bytearray(source.nbytes)
            source.write_into(memoryview(content))
            found.append(torch.frombuffer(content, dtype=DTYPES[output.dtype]).view(output.dimensions))
            output.drop()
        return found


def rows_like(example: Tensor, number: int) -> list[Tensor]:
    """Different rows for an input of an architecture."""
    random = torch.Generator().manual_seed(1)
    shape = (1, *example.shape[1:])
    if example.is_floating_point():
        return [torch.randn(shape, generator=random) for _ in range(number)]
    return [torch.randint(int(example.max()), shape, generator=random) for _ in range(number)]


# --- the same as alone ---


#: Their modules make tensors on the CPU, also if they are on another device; exported, they do not.
ON_CPU = ("Llama", "a detector")
FORMS = [
    *(("exported", name) for name in (*ON_CPU, "BERT", "GPT-2", "ViT", "ResNet, DenseNet, MobileNet")),
    *(("module", name) for name in ARCHITECTURES if name not in ON_CPU),
    *(("scripted", name) for name in SCRIPTED),
]


@pytest.mark.parametrize(("form", "name"), FORMS)
def test_each_session_gets_what_it_would_get_alone(name, form, device):
    make, example = ARCHITECTURES[name]
    torch.manual_seed(0)
    module = make().eval()
    one = example[:1]
    if form == "exported":
        graph = joinable(exported(module, one), device)
    else:
        dtypes = () if one.is_floating_point() else ((_only_input(module), "int64"),)
        model = module if form == "module" else scripted(module)
        graph = joinable(model, device, sizes=tuple(one.shape), dtypes=dtypes)
    rows = rows_like(example, 5)
    contents = [rows[0], torch.cat(rows[1:3]), *rows[3:]]  # the second asks for two rows
    sessions = [Session(graph) for _ in contents]
    wanted = [session.alone(**{"0": content}) for session, content in zip(sessions, contents, strict=True)]
    requests = [session.request(**{"0": content}) for session, content in zip(sessions, contents, strict=True)]
    assert len({request.kind for request in requests}) == 1
    assert graph.compute_together(requests)
    for session, request, alone in zip(sessions, requests, wanted, strict=True):
        for found, expected in zip(session.answers(request), alone, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        assert session.ledger.snapshot().live_bytes == 0


def _only_input(module: nn.Module) -> str:
    return next(iter(type(module).forward.__annotations__))


# --- apart ---


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids)


def test_an_index_out_of_range_fails_alone(device):
    if device.type == "cuda":
        pytest.skip("an index out of range ends the use of CUDA in this process, batches or not")
    graph = joinable(exported(Lookup(), torch.tensor([[1, 2]])), device)
    sessions = [Session(graph) for _ in range(3)]
    contents = [torch.tensor([[1, 2]]), torch.tensor([[3, 99]]), torch.tensor([[5, 6]])]
    requests = [session.request(ids=content) for session, content in zip(sessions, contents, strict=True)]
    assert not graph.compute_together(requests)
    assert not any(request.has_failed for request in requests)
    for request in requests:
        assert graph.compute_together([request])
    assert [request.has_failed for request in requests] == [False, True, False]
    with pytest.raises(Exception, match=r"computing `ids` I64 \[1, 2\].*out of range"):
        sessions[1].answers(requests[1])
    for index in (0, 2):
        [found] = sessions[index].answers(requests[index])
        [alone] = sessions[index].alone(ids=contents[index])
        assert torch.equal(found, alone)
    assert all(session.ledger.snapshot().live_bytes == 0 for session in sessions)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinities_do_not_reach_others(poison, device):
    graph = joinable(exported(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Softmax(-1)), ROW), device)
    sessions = [Session(graph) for _ in range(3)]
    contents = [ROW, torch.full((1, 8), poison), 2 * ROW]
    requests = [session.request(input=content) for session, content in zip(sessions, contents, strict=True)]
    assert graph.compute_together(requests)
    found = [session.answers(request)[0] for session, request in zip(sessions, requests, strict=True)]
    assert torch.isfinite(found[0]).all()
    assert torch.isfinite(found[2]).all()
    assert torch.isnan(found[1]).any()


@pytest.mark.parametrize("module", [nn.Identity(), nn.Linear(8, 8)], ids=["identity", "linear"])
def test_no_output_shares_memory_with_another(module, device):
    graph = joinable(exported(module, ROW), device)
    sessions = [Session(graph) for _ in range(4)]
    requests = [session.request(**{"0": ROW}) for session in sessions]
    graph.compute_together(requests)
    outputs = [request.outputs()[0][1] for request in requests]
    tensors = [output._tensor for output in outputs]
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 4
    assert {tensor.untyped_storage().nbytes() for tensor in tensors} == {32}
    for request in requests:
        request.drop()
    assert {session.ledger.snapshot().live_bytes for session in sessions} == {32}


def test_an_output_is_freed_when_its_session_drops_it(device, watch, no_gc):
    graph = joinable(exported(nn.Linear(8, 8), ROW), device)
    sessions = [Session(graph) for _ in range(2)]
    requests = [session.request(**{"0": ROW}) for session in sessions]
    graph.compute_together(requests)
    outputs = [request.outputs()[0][1] for request in requests]
    is_free = watch(outputs[0]._tensor)
    outputs[0].drop()
    assert is_free()
    assert requests[1] is not None
    for request in requests:
        request.drop()


def test_an_interruption_keeps_no_memory_of_others(device, no_gc):
    class Interrupted(nn.Module):
        def forward(self, input: Tensor) -> Tensor:
            y = input + 1
            made.append(StorageWeakRef(y.untyped_storage()))
            raise KeyboardInterrupt

    made: list[StorageWeakRef] = []
    graph = joinable(nn.Identity(), device, sizes=(1, 8))
    graph._idle.clear()
    graph = dataclasses.replace(graph, instance=lambda: Interrupted().forward)
    sessions = [Session(graph) for _ in range(2)]
    requests = [session.request(input=ROW) for session in sessions]
    with pytest.raises(KeyboardInterrupt) as kept:
        graph.compute_together(requests)
    assert kept.value is not None
    assert [each.expired() for each in made] == [True]
    for request in requests:
        request.drop()


# --- limits ---


def test_the_copy_of_joined_inputs_counts_until_the_request_is_dropped(device):
    session = Session(joinable(exported(nn.Linear(8, 8), ROW), device))
    request = session.request(**{"0": ROW})
    assert session.ledger.snapshot().places[place_of(device)].bytes == 2 * 32
    request.drop()
    assert session.ledger.snapshot().live_bytes == 0
    assert STAGING in session.ledger.snapshot().places


def test_without_room_for_that_copy_a_request_is_computed_alone(device):
    session = Session(joinable(exported(nn.Linear(8, 8), ROW), device), device_bytes=40)
    request = session.request(**{"0": ROW})
    assert request.kind is None
    request.drop()


def test_an_output_beyond_a_limit_is_refused_to_its_session_alone(device):
    graph = joinable(exported(nn.Linear(8, 800), ROW), device)
    small, large = Session(graph, device_bytes=100), Session(graph)
    requests = [small.request(**{"0": ROW}), large.request(**{"0": ROW})]
    assert graph.compute_together(requests)
    with pytest.raises(Exception, match="output `output` needs 3200 bytes"):
        small.answers(requests[0])
    assert large.answers(requests[1])[0].shape == (1, 800)
    assert small.ledger.snapshot().live_bytes == 0


def test_a_batch_for_which_there_is_no_memory_changes_nothing(device, simulator):
    graph = joinable(exported(nn.Linear(8, 8), ROW), device)
    sessions = [Session(graph) for _ in range(4)]
    requests = [session.request(**{"0": ROW}) for session in sessions]
    with simulator.room_for(device, 2 * 512):  # blocks of 512 bytes: enough for one request, not for four
        assert not graph.compute_together(requests)
        for session, request in zip(sessions, requests, strict=True):
            assert graph.compute_together([request])
            assert session.answers(request)[0].shape == (1, 8)


# --- kinds ---


def test_only_equal_sizes_dtypes_and_names_can_be_joined(device):
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return x + 1 if y is None else x + y

    session = Session(joinable(Two(), device, sizes=(1, 8)))
    kinds = {
        name: session.request(**inputs).kind
        for name, inputs in {
            "one row": {"x": ROW},
            "two rows": {"x": torch.cat([ROW, ROW])},
            "by position": {"0": ROW},
            "shorter": {"x": ROW[:, :4]},
            "another dtype": {"x": ROW.double()},
            "two inputs": {"x": ROW, "y": ROW},
            "no rows": {"x": ROW[:0]},
            "unequal rows": {"x": torch.cat([ROW, ROW]), "y": ROW},
        }.items()
    }
    assert kinds["one row"] == kinds["two rows"] == kinds["by position"]
    assert len({kinds[name] for name in ("one row", "shorter", "another dtype", "two inputs")}) == 4
    assert kinds["no rows"] is None
    assert kinds["unequal rows"] is None


def test_numbers_are_joined_if_they_are_the_same(device):
    class Scaled(nn.Module):
        def forward(self, x: Tensor, factor: int) -> Tensor:
            return x * factor

    warm_up = WarmUp((("x", (1, 8)), ("factor", 2.0)))
    graph = load(scripted(Scaled()), device, "the model", ModelOptions(batch=Batch(), warm_up=warm_up))
    session = Session(graph)
    two, three = torch.tensor([2]), torch.tensor([3])
    requests = [session.request(x=ROW, factor=factor) for factor in (two, two, three)]
    assert requests[0].kind == requests[1].kind != requests[2].kind
    assert graph.compute_together(requests[:2])
    assert torch.equal(session.answers(requests[0])[0], 2 * ROW)


def test_a_model_that_writes_to_its_inputs_does_not_change_those_of_others(device):
    class Writes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.add_(1)

    graph = joinable(Writes(), device, sizes=(1, 8))
    sessions = [Session(graph) for _ in range(2)]
    for _ in range(2):
        requests = [session.request(x=ROW) for session in sessions]
        graph.compute_together(requests)
        for session, request in zip(sessions, requests, strict=True):
            assert torch.equal(session.answers(request)[0], ROW + 1)


# --- refused ---


class MixesByMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class MixesBySoftmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(0)


class MixesByStatistics(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, None, None, training=True)


class MixesByScale(nn.Module):
    """Rounds to steps of the largest number, as dynamic quantization does."""

    def forward(self, x: Tensor) -> Tensor:
        step = x.abs().max() / 127
        return (x / step).round() * step


class MixesNaN(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0 * x.sum()


class MixesIfHuge(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.abs().max() > 1000, torch.zeros_like(x), x)


class CountsRows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.shape[0]


class Flips(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(0)


@pytest.mark.parametrize(
    "kind",
    [MixesByMean, MixesBySoftmax, MixesByStatistics, MixesByScale, MixesNaN, MixesIfHuge, CountsRows, Flips],
)
def test_a_model_that_mixes_rows_is_refused(kind, device):
    with pytest.raises(ModelError, match="cannot be batched: it mixes rows: its output `output` for one row depends"):
        joinable(kind(), device, sizes=(1, 4, 6))


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x + self.count


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand(x.shape, device=x.device)


@pytest.mark.parametrize("kind", [Counter, Noise])
def test_a_model_with_state_or_randomness_is_refused(kind, device):
    with pytest.raises(ModelError, match="it keeps a state, or draws random numbers"):
        joinable(kind(), device, sizes=(1, 8))


def test_statistics_that_do_not_change_are_not_a_state(device):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).eval()
    assert joinable(module, device, sizes=(1, 3, 8, 8)).lanes >= 1


class Total(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


class Columns(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.t()


@pytest.mark.parametrize("kind", [Total, Columns])
def test_outputs_without_rows_are_refused(kind, device):
    with pytest.raises(
        ModelError, match=r"its output `output` is \[.*\] for 1 rows of the inputs, which must be in dimension 0"
    ):
        joinable(kind(), device, sizes=(1, 8))


def test_a_program_exported_for_one_row_says_how_to_export_it(device):
    with pytest.raises(ModelError) as refusal:
        joinable(exported(nn.Linear(8, 8), ROW, is_open=False), device)
    assert str(refusal.value) == (
        "the model cannot be batched, because it was exported for the fixed size [1, 8] of `input`; leave dimension 0 "
        'open and export it with two rows: batch = torch.export.Dim("batch"); torch.export.export(model, inputs, '
        'dynamic_shapes={"input": {0: batch}})'
    )


def test_the_advice_for_a_program_works(device):
    batch = torch.export.Dim("batch")
    program = torch.export.export(nn.Linear(8, 8), (torch.cat([ROW, ROW]),), dynamic_shapes={"input": {0: batch}})
    file = io.BytesIO()
    torch.export.save(program, file)
    assert joinable(file.getvalue(), device)


def test_a_program_for_fewer_rows_than_a_batch_has_is_refused(device):
    batch = torch.export.Dim("batch", max=8)
    program = torch.export.export(nn.Linear(8, 8), (torch.cat([ROW, ROW]),), dynamic_shapes={"input": {0: batch}})
    file = io.BytesIO()
    torch.export.save(program, file)
    with pytest.raises(ModelError, match=r"it cannot compute 16 rows .*; give a smaller max_size"):
        joinable(file.getvalue(), device)
    assert joinable(file.getvalue(), device, Batch(max_size=8))


def test_without_sizes_a_model_cannot_be_tried(device):
    with pytest.raises(ModelError, match=r"does not tell the sizes of `x`; .*warm_up=.*or vouch for the model"):
        joinable(scripted(Flips()), device)


def test_a_model_that_the_operator_vouches_for_is_not_tried(device):
    assert joinable(scripted(Flips()), device, Batch(trial=False))


def test_a_model_that_fails_on_the_inputs_of_the_trial_says_so(device):
    with pytest.raises(ModelError, match="it failed when that was tried"):
        joinable(nn.Embedding(1, 4), device, sizes=(1, 8), dtypes=(("input", "int64"),))
    assert joinable(nn.Embedding(2, 4), device, sizes=(1, 8), dtypes=(("input", "int64"),))


def test_outputs_that_are_not_split_by_rows_are_never_given_out(device):
    graph = joinable(scripted(Total()), device, Batch(trial=False))
    session = Session(graph)
    requests = [session.request(x=ROW) for _ in range(2)]
    assert not graph.compute_together(requests)
    for request in requests:
        assert graph.compute_together([request])
        assert session.answers(request)[0].item() == ROW.sum()
