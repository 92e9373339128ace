"""Graphs that the host computes itself: `Engine.graph`."""

import asyncio

import pytest
import torch

from tests.wasi_nn_torch.helpers.models import Add, Counts, Fails, slow
from wasi_nn_torch import Elements, Engine, ErrorCode, GuestTimeout, Limits, NnError


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
