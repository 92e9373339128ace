import logging
import sys
import threading

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph, Signature
from wasi_nn_torch.pytorch.tensors import DeviceTensor


class Subtract(torch.nn.Module):
    def forward(self, minuend: torch.Tensor, subtrahend: torch.Tensor) -> torch.Tensor:
        return minuend - subtrahend


class Arguments(torch.nn.Module):
    """Takes every kind of argument that a guest can give; nothing but `x` is needed."""

    def forward(
        self,
        x: torch.Tensor,
        factor: float = 2.0,
        times: int = 1,
        negate: bool = False,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        y = x * factor * times
        if bias is not None:
            y = y + bias
        return -y if negate else y


class Linear(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.linear(x))


class Raising(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.numel() > 0:
            raise ValueError("x must be empty; see /home/operator/secret/model.py")
        return x


class Hungry(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones([1 << 50], device=x.device)


class Counter(torch.nn.Module):
    """Remembers what it was given, in a buffer, an attribute and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.register_buffer("total", torch.zeros(1))
        self.last = torch.zeros(1)
        self.history = [torch.zeros(1)]

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.total.add_(x * self.weight)
        last = self.last
        self.last = x
        self.history.append(x)
        return {"total": self.total, "last": last, "count": torch.tensor([len(self.history) - 1])}


def run(context: ExecutionContext, **inputs: DeviceTensor) -> dict[str, DeviceTensor]:
    return dict(context.compute(list(inputs.items())))


def failing(context: ExecutionContext, **inputs: DeviceTensor) -> NnError:
    with pytest.raises(NnError) as caught:
        run(context, **inputs)
    return caught.value


def test_inputs_are_matched_by_name_in_any_order(context, tensor, values):
    inputs = [("subtrahend", tensor(torch.tensor([1.0]))), ("minuend", tensor(torch.tensor([3.0])))]
    [(name, output)] = context(Subtract()).compute(inputs)
    assert (name, values(output)) == ("output", [2])


def test_names_that_do_not_fit_are_refused(context, tensor):
    error = failing(context(Subtract()), minuend=tensor(torch.ones(1)))
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "missing: `subtrahend`" in error.text


def test_names_may_change_from_one_computation_to_the_next(context, tensor, values):
    subtract = context(Subtract())
    one, three = torch.ones(1), torch.full((1,), 3.0)
    for _ in range(2):
        assert values(run(subtract, minuend=tensor(three), subtrahend=tensor(one))["output"]) == [2]
        assert values(run(subtract, subtrahend=tensor(three), minuend=tensor(one))["output"]) == [-2]
        assert "unknown: `nope`" in failing(subtract, minuend=tensor(one), nope=tensor(one)).text


def test_long_names_of_inputs_are_not_kept(context, tensor):
    linear, name = context(Linear()), "x" * 100_000
    references = sys.getrefcount(name)
    run(linear, **{name: tensor(torch.ones(3))})
    assert sys.getrefcount(name) == references


def test_optional_arguments_may_be_left_out(context, tensor, values):
    assert values(run(context(Arguments()), x=tensor(torch.ones(2)))["output"]) == [2, 2]


def test_numbers_are_given_as_tensors_of_one_element(context, tensor, values):
    outputs = run(
        context(Arguments()),
        x=tensor(torch.ones(2)),
        factor=tensor(torch.tensor([1.5])),
        times=tensor(torch.tensor([3], dtype=torch.int32)),
        negate=tensor(torch.tensor([1], dtype=torch.uint8)),
        bias=tensor(torch.tensor([0.5, 1.5])),
    )
    assert values(outputs["output"]) == [-5, -6]


def test_an_integer_will_do_for_a_float(context, tensor, values):
    outputs = run(context(Arguments()), x=tensor(torch.ones(1)), factor=tensor(torch.tensor([3])))
    assert values(outputs["output"]) == [3]


def test_a_float_will_not_do_for_an_integer(context, tensor):
    error = failing(context(Arguments()), x=tensor(torch.ones(1)), times=tensor(torch.tensor([1.5])))
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.text == "tensor `times` is FP32; the model wants an integer: U8, I32 or I64"


@pytest.mark.parametrize("number", [0.0, 1.0, float("nan")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_float_will_not_do_for_a_boolean(number, dtype, context, tensor):
    error = failing(context(Arguments()), x=tensor(torch.ones(1)), negate=tensor(torch.tensor([number], dtype=dtype)))
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "the model wants a boolean: U8, I32 or I64, where 0 is false" in error.text


def test_every_integer_but_zero_is_true(context, tensor, values):
    for number, expected in ((0, 2), (1, -2), (255, -2), (-1, -2)):
        outputs = run(context(Arguments()), x=tensor(torch.ones(1)), negate=tensor(torch.tensor([number])))
        assert values(outputs["output"]) == [expected]


def test_an_integer_between_two_floats_is_refused(context, tensor):
    for number in (2**53, -(2**63)):
        run(context(Arguments()), x=tensor(torch.ones(1)), factor=tensor(torch.tensor([number])))
    error = failing(context(Arguments()), x=tensor(torch.ones(1)), factor=tensor(torch.tensor([2**53 + 1])))
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert error.text == "tensor `factor` is 9007199254740993, which FP64 cannot hold; give it as FP64"


def test_several_elements_will_not_do_for_a_number(context, tensor):
    error = failing(context(Arguments()), x=tensor(torch.ones(1)), times=tensor(torch.tensor([1, 2])))
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "`times` is [2]; expected one element" in error.text


def test_data_that_does_not_fill_its_dimensions_is_refused_by_name(context, memory):
    short = DeviceTensor.from_guest([2, 3], ElementType.FP32, memoryview(bytes(8)), memory)
    error = failing(context(Linear()), x=short)
    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "tensor `x` has the dimensions [2, 3] of FP32, which need 24 bytes, but 8 were given" in error.text


def test_nothing_is_uploaded_if_any_input_is_misshapen(context, ledger, tensor, accelerator, memory):
    short = DeviceTensor.from_guest([2], ElementType.FP32, memoryview(b""), memory)
    failing(context(Subtract()), minuend=tensor(torch.ones(2)), subtrahend=short)
    assert str(accelerator) not in ledger.snapshot().places


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (torch.ones(1, 4), "mat1 and mat2 shapes cannot be multiplied (1x4 and 3x2)"),
        (torch.ones(1, 3, dtype=torch.float64), "Double"),
    ],
)
def test_a_model_that_fails_is_explained_in_one_line(context, tensor, given, reason):
    error = failing(context(Linear()), x=tensor(given))
    assert error.code is ErrorCode.RUNTIME_ERROR
    assert error.text.startswith("the model failed")
    assert reason in error.text
    assert error.text.isprintable()


def test_a_failure_names_the_inputs_that_came(context, tensor):
    error = failing(context(Linear()), x=tensor(torch.ones(2, 5, dtype=torch.float64)))
    assert error.text.startswith("the model failed while computing `x` FP64 [2, 5]: ")


def test_what_a_model_raises_reaches_the_guest_without_paths(context, tensor):
    error = failing(context(Raising()), x=tensor(torch.ones(1)))
    assert error.text == "the model failed while computing `x` FP32 [1]: ValueError: x must be empty; see <path>"


def test_the_whole_failure_is_in_the_log(context, tensor, caplog):
    caplog.set_level(logging.DEBUG, "wasi_nn_torch")
    failing(context(Raising()), x=tensor(torch.ones(1)))
    assert "/home/operator/secret/model.py" in caplog.text
    assert "Traceback" in caplog.text


def test_running_out_of_memory_says_how_much_was_asked_for(context, tensor, device):
    error = failing(context(Hungry()), x=tensor(torch.ones(1)))
    assert error.code is ErrorCode.TOO_LARGE
    assert f"out of memory on {device} while computing `x` FP32 [1]: " in error.text
    assert str(4 << 50) in error.text or "PiB" in error.text or "GiB" in error.text


def test_the_model_runs_in_evaluation_mode(context, tensor, values):
    model = Linear().train()
    x = torch.ones(1, 3)
    expected = model.linear(x).flatten().tolist()
    assert values(run(context(model), x=tensor(x))["output"]) == pytest.approx(expected)


def test_the_model_runs_in_inference_mode(memory, tensor):
    modes = []
    graph = Graph(lambda: lambda: modes.append(torch.is_inference_mode_enabled()), CPU, Signature(()))
    ExecutionContext(graph, memory).compute([])
    assert modes == [True]


def test_no_autograd_graph_is_kept(context, tensor, device):
    output = run(context(Linear()), x=tensor(torch.ones(1, 3)))["output"].on(device, "x")
    assert (output.requires_grad, output.grad_fn) == (False, None)


def test_an_output_can_be_the_input_of_another_graph(context, tensor, values, device):
    first = run(context(Arguments()), x=tensor(torch.ones(2)))["output"]
    second = run(context(Arguments()), x=first)["output"]
    assert values(second) == [4, 4]
    assert str(device) == second.place


def test_nothing_is_copied_between_graphs_on_one_accelerator(context, ledger, tensor, accelerator):
    chained = context(Arguments())
    if chained._graph.device != accelerator:
        pytest.skip("this is about the accelerator")
    first = run(chained, x=tensor(torch.ones(2)))["output"]
    before = ledger.snapshot().transfers
    run(chained, x=first)
    assert ledger.snapshot().transfers == before


def test_each_context_has_its_own_state(load, tensor, values, memory):
    graph = load(Counter())
    first, second = ExecutionContext(graph, memory), ExecutionContext(graph, memory)
    for number in (1.0, 2.0):
        run(first, x=tensor(torch.tensor([number])))
    outputs = run(second, x=tensor(torch.tensor([10.0])))
    assert {name: values(output) for name, output in outputs.items()} == {"total": [10], "last": [0], "count": [1]}
    outputs = run(first, x=tensor(torch.tensor([4.0])))
    assert {name: values(output) for name, output in outputs.items()} == {"total": [7], "last": [2], "count": [3]}


class Normalized(torch.nn.Module):
    """Updates its statistics in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("variance", torch.ones(1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normal = torch.nn.functional.batch_norm(x, self.mean, self.variance, training=True, momentum=1.0)
        return normal, self.mean


def test_statistics_that_a_model_updates_are_state(load, tensor, memory):
    graph = load(Normalized())
    first, second = ExecutionContext(graph, memory), ExecutionContext(graph, memory)
    run(first, x=tensor(torch.ones(2, 1)))
    assert first._model is not second._model
    assert next(second._model.buffers()).tolist() == [0]


def test_outputs_do_not_change_when_the_state_does(context, tensor, values):
    counter = context(Counter())
    first = run(counter, x=tensor(torch.ones(1)))
    run(counter, x=tensor(torch.ones(1)))
    assert values(first["total"]) == [1]


def test_old_results_do_not_come_back(context, tensor, values):
    repeated = context(Arguments())
    run(repeated, x=tensor(torch.ones(1)))
    assert len(repeated.compute([("x", tensor(torch.zeros(1)))])) == 1


def test_one_graph_computes_in_several_threads(load, memory, tensor, values):
    graph = load(Arguments())
    results: dict[int, list] = {}

    def compute(number: int) -> None:
        context = ExecutionContext(graph, memory)
        for _ in range(20):
            results[number] = values(run(context, x=tensor(torch.full((100,), float(number))))["output"])

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [2.0 * number] * 100 for number in range(4)}


def test_many_inputs_and_outputs(context, tensor, values):
    class Swap(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return b + c, a

    outputs = run(context(Swap()), **{name: tensor(torch.tensor([ord(name)])) for name in "cab"})
    assert {name: values(output) for name, output in outputs.items()} == {"0": [98 + 99], "1": [97]}
