"""Graphs that the host computes itself: `Engine.graph`."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from tests.wasi_nn_torch.helpers.models import Add, Counts, Fails, slow
from wasi_nn_torch import Batch, Elements, Engine, ErrorCode, GuestTimeout, Limits, ModelError, NnError


class Kinds(torch.nn.Module):
    """Returns whether its input is positive, and its input as whole numbers of 16 bits."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"positive": x > 0, "whole": x.to(torch.int16)}


@pytest.fixture
def engine():
    with Engine("cpu", guest_models="none") as engine:
        engine.register("add", Add())
        yield engine


def elements(dtype: str, dimensions: tuple[int, ...], data: bytes) -> Elements:
    return Elements(memoryview(bytearray(data)), dimensions, dtype)


def test_a_graph_is_computed_without_a_guest(engine):
    with engine.graph("add") as graph:
        outputs = graph.compute({"x": torch.tensor([1.0, 2.0]), "y": torch.tensor([10.0, 20.0])})
    assert {name: output.tolist() for name, output in outputs.items()} == {"output": [11, 22]}


def test_nothing_of_a_computation_is_left_in_the_session(engine):
    with engine.graph("add") as graph:
        outputs = graph.compute({"x": torch.ones(1000)})
        assert (graph.memory.live_bytes, graph.memory.live_tensors) == (0, 0)
        assert graph.memory.computes == 1
    assert outputs["output"].sum() == 2000
    assert engine.stats.computes == 1
    assert engine.stats.running == 0


def test_elements_share_the_memory_of_the_caller_and_keep_that_of_the_graph(engine):
    data = bytearray(torch.tensor([1.0, 2.0]).numpy().tobytes())
    with engine.graph("add") as graph:
        output = graph.compute_elements({"x": Elements(memoryview(data), (2,), "float32")})["output"]
        copies = graph.memory.transfers
    assert not any(each.copies for each in copies.values())
    assert (output.dtype, output.dimensions) == ("float32", (2,))
    assert torch.frombuffer(output.data, dtype=torch.float32).tolist() == [2, 3]


def test_large_elements_stay_after_their_tensor_was_dropped(engine):
    """The pages of a large tensor are returned to the system when it is dropped, unless something uses them."""
    count = 65 << 18  # 65 MiB
    with engine.graph("add") as graph:
        output = graph.compute_elements({"x": torch.ones(count), "y": torch.ones(count)})["output"]
        assert graph.memory.live_bytes == 0
    values = torch.frombuffer(output.data, dtype=torch.float32)
    assert (int(values.min()), int(values.max())) == (2, 2)


class Keeps(torch.nn.Module):
    """Returns a tensor that it keeps, a part of one, and one with gaps."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.arange(6.0).view(2, 3))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"whole": self.kept, "row": self.kept[0], "transposed": (self.kept + x).t()}


def test_elements_of_tensors_that_the_model_keeps_are_copies(engine):
    engine.register("keeps", Keeps())
    for _ in range(2):
        with engine.graph("keeps") as graph:
            outputs = graph.compute_elements({"x": torch.zeros(1)})
        found = {name: torch.frombuffer(each.data, dtype=torch.float32) for name, each in outputs.items()}
        assert {name: each.tolist() for name, each in found.items()} == {
            "whole": [0, 1, 2, 3, 4, 5],
            "row": [0, 1, 2],
            "transposed": [0, 3, 1, 4, 2, 5],
        }
        for each in found.values():
            each.fill_(-1)


def test_elements_have_the_dtypes_of_the_model_also_if_wasi_nn_lacks_them(engine):
    engine.register("kinds", Kinds())
    with engine.graph("kinds") as graph:
        outputs = graph.compute_elements({"x": elements("int8", (3,), b"\x01\xff\x00")})
    assert (outputs["positive"].dtype, bytes(outputs["positive"].data)) == ("bool", b"\1\0\0")
    assert (outputs["whole"].dtype, bytes(outputs["whole"].data)) == ("int16", b"\1\0\xff\xff\0\0")


def test_elements_that_do_not_fit_are_refused(engine):
    with engine.graph("add") as graph:
        with pytest.raises(ValueError, match=r"dimensions \[3\] of float32, which need 12 bytes, but 8 were given"):
            graph.compute({"x": elements("float32", (3,), bytes(8))})
        with pytest.raises(ValueError, match="uint64 is above 9223372036854775807"):
            graph.compute({"x": elements("uint64", (1,), b"\xff" * 8)})
        assert graph.memory.live_tensors == 0


class Inverted(torch.nn.Module):
    """Returns its whole numbers with all bits inverted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(torch.int64).bitwise_not().view(torch.uint64)


def test_an_output_of_64_bits_without_a_sign_keeps_its_dtype_unless_a_value_is_too_large(engine):
    engine.register("inverted", Inverted(), dtypes={"x": torch.int64})
    with engine.graph("inverted") as graph:
        small = graph.compute_elements({"x": torch.tensor([-1, -(2**63)])})["output"]
        assert (small.dtype, bytes(small.data)) == (
            "uint64",
            (0).to_bytes(8, "little") + (2**63 - 1).to_bytes(8, "little"),
        )
        assert graph.compute({"x": torch.tensor([-6])})["output"].tolist() == [5]
        with pytest.raises(NnError, match="output `output` has a value of uint64 above 9223372036854775807"):
            graph.compute_elements({"x": torch.tensor([0])})


def test_the_limits_of_a_session_apply(engine):
    with (
        engine.graph("add", Limits(device_bytes=1000)) as graph,
        pytest.raises(NnError, match="limit 1000") as caught,
    ):
        graph.compute({"x": torch.ones(1000)})
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert graph.memory.live_tensors == 0


def test_an_error_of_the_graph_is_raised_and_counted(engine):
    engine.register("fails", Fails())
    with engine.graph("fails") as graph, pytest.raises(NnError, match="fails on purpose"):
        graph.compute({"x": torch.ones(1)})
    assert engine.stats.errors == {"runtime-error": 1}


def test_an_unknown_graph_is_named(engine):
    with pytest.raises(NnError, match="there is no graph `ad`; this host offers `add`; did you mean `add`"):
        engine.graph("ad")


def test_each_session_has_a_state_of_its_own(engine):
    engine.register("counts", Counts())
    with engine.graph("counts") as one, engine.graph("counts") as other:
        zero = torch.zeros(1)
        counts = [each.compute({"x": zero})["output"].item() for each in (one, one, other)]
    assert counts == [1, 2, 1]


def test_a_closed_session_computes_nothing(engine):
    with engine.graph("add") as graph:
        pass
    with pytest.raises(RuntimeError, match="is closed"):
        graph.compute({"x": torch.ones(1)})


def test_an_exported_program_tells_its_outputs_and_that_it_has_no_state(engine, tmp_path):
    program = torch.export.export(
        torch.nn.Linear(3, 2), (torch.ones(4, 3),), dynamic_shapes={"input": {0: torch.export.Dim("n")}}
    )
    torch.export.save(program, tmp_path / "net.pt2")
    engine.register("net", tmp_path / "net.pt2")
    with engine.graph("net") as graph:
        [given], [made] = graph.description.inputs, graph.description.outputs
        assert (given.name, given.dtype, given.shape[1]) == ("input", "FP32", 3)
        assert (made.name, made.dtype, made.shape[1]) == ("output", "FP32", 2)
        assert isinstance(made.shape[0], str)
        assert graph.description.remembers is False


def test_a_deadline_is_kept_in_asyncio_while_the_graph_computes(engine):
    engine.register("slow", slow(1.0))

    async def late() -> None:
        graph = engine.graph("slow", Limits(timeout=0.05))
        with pytest.raises(GuestTimeout, match="not computed in time"):
            await graph.compute_elements_async({"x": torch.ones(1)})
        graph.close()
        while engine.stats.running:
            await asyncio.sleep(0.01)
        assert graph.memory.live_tensors == 0

    asyncio.run(asyncio.wait_for(late(), 30))


def test_elements_go_to_the_device_and_come_back_with_one_copy_each(device):
    with Engine(str(device), guest_models="none") as engine:
        engine.register("add", Add())
        with engine.graph("add") as graph:
            output = graph.compute_elements({"x": elements("float32", (2,), bytes(8))})["output"]
            copies = {way.name: made.copies for way, made in graph.memory.transfers.items() if made.copies}
            assert (graph.memory.live_bytes, graph.memory.live_tensors) == (0, 0)
    assert torch.frombuffer(output.data, dtype=torch.float32).tolist() == [1, 1]
    assert copies == ({} if device.type == "cpu" else {"HOST_TO_DEVICE": 1, "DEVICE_TO_HOST": 1})


# --- computed together, for an event loop ---


class Held:
    """The rows of the batches that have begun, and whether they may go on; all copies are the same."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.is_let_go = threading.Event()
        self.is_let_go.set()

    def __deepcopy__(self, memo: object) -> Held:
        return self


class Waits(torch.nn.Module):
    """Doubles its input, once it is let go."""

    def __init__(self, held: Held) -> None:
        super().__init__()
        self.held = held

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.held.sizes.append(x.shape[0])
        assert self.held.is_let_go.wait(30)
        return x * 2


@pytest.fixture
def waiting(engine):
    """What holds the batches, of up to 8 rows, of a module that is registered as `waits`."""
    held = Held()
    engine.register("waits", Waits(held), batch=Batch(8, max_delay=0.0, max_queue=8, trial=False))
    return held


async def doubled(engine: Engine, value: float) -> float:
    with engine.graph("waits") as graph:
        made = await graph.compute_elements_async({"x": torch.tensor([[value]])})
        assert graph.memory.live_tensors == 0
    return torch.frombuffer(made["output"].data, dtype=torch.float32).item()


async def begun(module: Held, engine: Engine) -> list[asyncio.Task[float]]:
    """As many tasks whose requests are being computed as can be at a time."""
    tasks: list[asyncio.Task[float]] = []
    module.is_let_go.clear()
    while True:
        tasks.append(asyncio.create_task(doubled(engine, 100.0 + len(tasks))))
        before = len(module.sizes)
        for _ in range(50):
            await asyncio.sleep(0.01)
            if len(module.sizes) > before:
                break
        else:
            return tasks


def test_requests_of_one_event_loop_are_computed_together(engine, waiting):
    async def ask() -> None:
        first = await begun(waiting, engine)
        others = [asyncio.create_task(doubled(engine, float(value))) for value in range(5)]
        await asyncio.sleep(0.05)
        waiting.is_let_go.set()
        assert await asyncio.gather(*others) == [0.0, 2.0, 4.0, 6.0, 8.0]
        assert await asyncio.gather(*first) == [200.0 + 2 * number for number in range(len(first))]

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert sum(waiting.sizes) >= 6
    assert max(waiting.sizes) >= 5
    assert engine.stats.running == 0


def test_a_request_that_is_cancelled_in_the_queue_is_not_computed(engine, waiting):
    async def ask() -> None:
        first = await begun(waiting, engine)
        others = [asyncio.create_task(doubled(engine, float(value))) for value in range(3)]
        await asyncio.sleep(0.05)
        others[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await others[1]
        waiting.is_let_go.set()
        assert [await others[0], await others[2]] == [0.0, 4.0]
        await asyncio.gather(*first)

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert engine.stats.running == 0


def test_a_request_that_is_cancelled_while_it_is_computed_ends_when_that_does(engine, waiting):
    async def ask() -> None:
        first = await begun(waiting, engine)
        first[0].cancel()
        await asyncio.sleep(0.05)
        assert not first[0].done()
        waiting.is_let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await first[0]
        assert await doubled(engine, 3.0) == 6.0

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert engine.stats.running == 0


def test_a_full_queue_refuses_requests_of_an_event_loop(engine, waiting):
    async def ask() -> None:
        first = await begun(waiting, engine)
        others: list[asyncio.Task[float]] = []
        while not any(task.done() for task in others):  # refused; full batches may begin before
            others.append(asyncio.create_task(doubled(engine, float(len(others)))))
            await asyncio.sleep(0.001)
        waiting.is_let_go.set()
        answers = await asyncio.gather(*others, *first, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, NnError)]
        assert {"the queue of the graph `waits` is full" in error.text for error in refused} == {True}
        assert sum(isinstance(answer, float) for answer in answers) == len(answers) - len(refused)

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert engine.stats.running == 0


# --- arguments of wrong types ---


def test_inputs_are_a_dict_whose_names_are_texts(engine):
    with engine.graph("add") as graph:
        for inputs in (None, "x", [1], 3):
            with pytest.raises(TypeError, match=r"^`inputs` takes a dict, such as {\"x\": x}, not "):
                graph.compute(inputs)
        with pytest.raises(TypeError, match=r"^the name of an input takes a str, not int$"):
            graph.compute({1: torch.ones(1)})


@pytest.mark.parametrize(
    ("field", "values"),
    [("data", [b"1234", None, "1234"]), ("dimensions", [None, 1, "1", (1.0,), {1: 2}]), ("dtype", [None, 1, []])],
)
def test_elements_of_other_types_are_refused_by_name(engine, field, values):
    for value in values:
        given = {"data": memoryview(b"1234"), "dimensions": (1,), "dtype": "float32", field: value}
        with engine.graph("add") as graph, pytest.raises(TypeError, match=f"^`{field}`[a-zA-Z ]* takes "):
            graph.compute({"x": Elements(**given)})


def test_tensors_are_refused_with_dimensions_that_are_not_whole_numbers(engine):
    with engine.session() as session:
        for dimensions in (1, "1", b"1", [1.5], [None], {1: 2}):
            with pytest.raises(TypeError, match=r"^`dimensions` takes whole numbers, such as \[2, 3\], not "):
                session.tensor(b"1234", dimensions=dimensions, dtype="FP32")
        with pytest.raises(TypeError, match=r"^`version` takes a str, not list$"):
            session.tensor(b"1234", dimensions=[1], dtype="FP32", version=[])


@pytest.mark.parametrize("warm_up", [float("nan"), float("inf"), {"x": float("nan")}])
def test_models_are_not_warmed_up_on_numbers_that_are_not_finite(engine, warm_up):
    with pytest.raises(ValueError, match=r"^warm_up( of `x`)? is (nan|inf); give a number that is finite$"):
        engine.register("late", Add(), warm_up=warm_up)


@pytest.mark.parametrize("warm_up", [1.5, -1, (-1,), {"x": -1}])
def test_tensors_are_not_warmed_up_on_what_is_not_their_sizes(engine, warm_up):
    with pytest.raises(ModelError, match=r"cannot be warmed up, because .* is not the sizes of `x`; give the sizes"):
        engine.register("late", Add(), warm_up=warm_up)
