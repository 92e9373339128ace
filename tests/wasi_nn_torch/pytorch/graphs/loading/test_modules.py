import copy
import threading

import pytest
import torch
from torch import Tensor, nn

from tests.wasi_nn_torch.helpers.models import Add
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Kind, Parameter
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.registry import Registry


class Net(nn.Module):
    """Has weights, statistics, and parts that only training has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.dropout = nn.Dropout(0.9)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.norm(self.linear(x)))


class Counter(nn.Module):
    """Remembers in a buffer, a list and an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("total", torch.zeros(1))
        self.history: list[Tensor] = []
        self.calls = 0

    def forward(self, x: Tensor) -> dict[str, object]:
        self.total += x * self.weight
        self.history.append(x)
        self.calls += 1
        return {"total": self.total, "first": self.history[0], "calls": self.calls}


class Arguments(nn.Module):
    def forward(self, x, y: Tensor | None, n: int, *rest, f=1.5, flag: "bool" = True, tag: str = "", **more):
        return x


class TakesNames(nn.Module):
    def forward(self, x: Tensor, names: list[str]) -> Tensor:
        return x * len(names)


class Gathers(nn.Module):
    def forward(self, *images):
        return images[0]


class Unknowable(nn.Module):
    def forward(self, x: "Nowhere", y: "Tensor" = None):  # noqa: F821
        return x if y is None else x + y


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture
def registry(device):
    return Registry(Backends(BackendOptions(str(device))))


@pytest.fixture
def graph(registry):
    """Offer a module, and return the graph that a guest gets."""

    def offer(module: nn.Module):
        registry.register("net", module)
        return registry.graph("net").graph

    return offer


def test_the_results_are_those_of_the_module(graph, memory, tensor, values):
    module = Net().eval()
    x = torch.rand(4, 3)
    [(name, output)] = graph(module).context(memory).compute([("x", tensor(x))])
    assert name == "output"
    assert values(output) == pytest.approx(module(x).flatten().tolist(), rel=1e-4)


def test_guests_compute_in_evaluation_mode_and_the_operators_object_stays_as_it_was(graph, memory, tensor):
    module = Net().train()
    before = copy.deepcopy(module.state_dict())
    offered = graph(module)
    one, other = (offered.context(memory).compute([("x", tensor(torch.ones(4, 3)))])[0][1].data() for _ in range(2))
    assert one.nbytes == other.nbytes
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert {parameter.device for parameter in module.parameters()} == {CPU}
    for name, content in module.state_dict().items():
        assert torch.equal(content, before[name])
    module(torch.ones(4, 3)).sum().backward()
    assert module.linear.weight.grad is not None


def test_no_model_of_a_guest_trains(graph):
    model = graph(Net()).instance()
    assert not any(part.training for part in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_twenty_contexts_hold_the_weights_once(graph, device):
    offered = graph(Net())
    models = [offered.instance() for _ in range(20)]
    assert len({parameter.data_ptr() for model in models for parameter in model.parameters()}) == 4
    assert {parameter.device for model in models for parameter in model.parameters()} == {device}
    assert {buffer.device for model in models for buffer in model.buffers()} == {device}


def test_on_its_own_device_the_weights_are_the_operators(registry):
    module = Net()
    registry.register("net", module, device="cpu")
    model = registry.graph("net").graph.instance()
    assert model.linear.weight.data_ptr() == module.linear.weight.data_ptr()


class Keeps(nn.Module):
    """Keeps devices and tensors where `Module.to` does not look for them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.device = torch.device("cpu")
        self.offset = torch.ones(2)
        self.parts = [torch.ones(2), {"more": (torch.ones(2), torch.device("cpu"))}]

    def forward(self, x: Tensor) -> Tensor:
        tensor, device = self.parts[1]["more"]
        return x * self.weight + torch.ones(2, device=self.device) + self.offset + self.parts[0] + tensor.to(device)


def test_devices_and_tensors_that_a_module_keeps_are_moved_with_it(graph, memory, tensor, values):
    module = Keeps()
    [(_, output)] = graph(module).context(memory).compute([("x", tensor(torch.ones(2)))])
    assert values(output) == [5, 5]
    assert (module.device, module.offset.device, module.parts[0].device) == (CPU, CPU, CPU)


def test_tied_weights_stay_tied(graph):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    model = graph(module).instance()
    assert model[1].weight is model[0].weight


def test_each_context_has_its_own_state(graph, memory, tensor, values):
    module = Counter()
    offered = graph(module)
    one, other = offered.context(memory), offered.context(memory)

    def run(context: ExecutionContext, number: float) -> dict[str, list]:
        return {name: values(item) for name, item in context.compute([("x", tensor(torch.tensor([number])))])}

    run(one, 1.0)
    assert run(other, 10.0) == {"total": [10], "first": [10], "calls": [1]}
    assert run(one, 2.0) == {"total": [3], "first": [1], "calls": [2]}
    assert (module.calls, module.history, module.total.item()) == (0, [], 0)


@pytest.mark.usefixtures("no_gc")
def test_dropping_a_context_frees_its_state(graph, memory, tensor, watch):
    context = graph(Counter()).context(memory)
    context.compute([("x", tensor(torch.ones(1)))])
    freed = [watch(context._model.total), watch(context._model.history[0])]
    del context
    assert all(is_free() for is_free in freed)


@pytest.mark.usefixtures("no_gc")
def test_closing_leaves_the_weights_to_the_operator(registry, watch):
    module = Net()
    registry.register("net", module, device="cpu")
    freed = watch(module.linear.weight)
    registry.close()
    assert not freed()
    del module
    assert freed()


def test_parameters_are_those_of_forward(graph):
    assert graph(Arguments()).signature.parameters == (
        Parameter("x", Kind.TENSOR),
        Parameter("y", Kind.TENSOR, optional=True, none_if_absent=True),
        Parameter("n", Kind.INTEGER),
        Parameter("f", Kind.FLOAT, optional=True),
        Parameter("flag", Kind.BOOLEAN, optional=True),
    )


def test_annotations_that_cannot_be_evaluated_are_tensors(graph):
    assert graph(Unknowable()).signature.parameters == (
        Parameter("x", Kind.TENSOR),
        Parameter("y", Kind.TENSOR, optional=True),
    )


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (TakesNames(), r"its parameter `names` is list\[str\], but wasi-nn has only tensors"),
        (Gathers(), "does not name its parameters"),
        (nn.Module(), "has no method `forward`, and no other method to compute"),
        (Locked(), "a module that cannot be copied .*export it instead"),
    ],
    ids=["names", "args", "no forward", "lock"],
)
def test_a_module_that_no_guest_can_use_is_refused(module, reason, registry):
    with pytest.raises(ModelError, match=f"the model `net` .*{reason}"):
        registry.register("net", module)
    assert registry.names == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_offered_as_torchscript(graph, memory, tensor, values):
    context = graph(torch.jit.script(Add())).context(memory)
    assert [values(item) for _, item in context.compute([("x", tensor(torch.ones(2)))])] == [[2, 2]]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_module_is_a_module_too(graph, memory, tensor, values):
    module = torch.export.export(nn.ReLU(), (torch.ones(2),)).module()
    context = graph(module).context(memory)
    assert [values(item) for _, item in context.compute([("input", tensor(torch.tensor([-1.0, 1])))])] == [[0, 1]]
