"""TorchScript that names devices, prints or warns: it computes where it is offered, and says nothing."""

import logging
import threading
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tests.wasi_nn_torch.helpers.exported_models import exported
from tests.wasi_nn_torch.helpers.guest_models import scripted, traced
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import Graph, load, load_from_guest
from wasi_nn_torch.pytorch.graphs.loading.rewriting import prepare

X = torch.tensor([1.0, 2, 3, 4])
OFFSETS = [1, 3, 5, 7]


class Offsets(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(4, device=x.device)


class Constants(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tensor([0.0, 1, 2, 3])


class Moves(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(x.device) + torch.zeros_like(x, device=x.device) + torch.arange(4, device=x.device).to(x.device)


def added(x: Tensor) -> Tensor:
    return x + torch.arange(4, device=torch.device("cpu"))


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self.many = (1, torch.device("cpu"))
        self.offsets = torch.zeros(4)
        self.weight = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x + torch.arange(4, device=self.device) + self.offsets
        return torch.ones(4, device=self.many[1]) + x


class Nested(nn.Module):
    """Names devices in functions, in blocks, in methods of submodules, in attributes and by texts."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def helper(self, x: Tensor) -> Tensor:
        return x - torch.arange(4, device="cpu")

    def forward(self, x: Tensor) -> Tensor:
        y = torch.jit.fork(self.inner, x)
        for _ in range(2):
            x = added(self.helper(x))
        name = "cpu" if x.dim() > 0 else "cuda:0"
        return torch.jit.wait(y) + torch.zeros(4, device=torch.device(name)) * x


class ForCuda(nn.Module):
    """As a model is that was traced on a GPU, and scripted parts of it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.cuda() + torch.arange(4, device=torch.device("cuda:0")) + x.to("cuda") * 0


class Lengths(nn.Module):
    """A recurrent network with lengths, which must be on the CPU wherever the rest is."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(1, 2)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.to("cpu"), enforce_sorted=False)
        return pad_packed_sequence(self.rnn(packed)[0])[0] + torch.zeros(1, device=x.device)


class OnBoth(nn.Module):
    """What names an accelerator besides the CPU computes a part on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        order = torch.arange(3, -1, -1, device=torch.device("cuda:0"))
        return x.to("cpu")[order.to("cpu")].to(torch.device("cuda:0")) + torch.zeros(4, device="cuda:0")


class Compares(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.device == torch.device("meta"):
            return x
        return x + torch.arange(4, device=x.device)


@torch.jit.interface
class Step(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        pass


class ThroughAnInterface(nn.Module):
    step: Step

    def __init__(self) -> None:
        super().__init__()
        self.step = Inner()

    def forward(self, x: Tensor) -> Tensor:
        return self.step.forward(x)


def on_accelerator(module: nn.Module, accelerator: torch.device) -> bytes:
    return traced(module.to(accelerator), X.to(accelerator))


@pytest.fixture
def compute(memory, tensor, values):
    def run(graph: Graph, *inputs: Tensor) -> list:
        given = [(str(position), tensor(content)) for position, content in enumerate(inputs)]
        [(_, output)] = graph.context(memory).compute(given)
        return values(output)

    return run


MODELS = {
    "a trace": lambda: traced(Offsets(), X),
    "constants of a trace": lambda: traced(Constants(), X),
    "moves of a trace": lambda: traced(Moves(), X),
    "nested": lambda: scripted(Nested()),
    "for CUDA": lambda: scripted(ForCuda()),
    "an interface": lambda: scripted(ThroughAnInterface()),
    "a comparison": lambda: scripted(Compares()),
}


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_computes_on_another_device_than_it_names(model, optimize, device, compute):
    assert compute(load(MODELS[model](), device, "net", ModelOptions(optimize)), X) == OFFSETS


@pytest.mark.parametrize("model", ["a trace", "constants of a trace", "nested"])
def test_a_guests_model_does_too(model, device, compute):
    assert compute(load_from_guest(MODELS[model](), device), X) == OFFSETS


@pytest.mark.parametrize("module", [Offsets, Moves])
def test_a_model_that_was_traced_on_an_accelerator_computes_elsewhere(module, accelerator, neighbour, compute):
    data = on_accelerator(module(), accelerator)
    for device in (CPU, accelerator, neighbour):
        assert compute(load(data, device, "net"), X) == OFFSETS


def test_lengths_stay_on_the_cpu(device, compute):
    module = Lengths().eval()
    x, lengths = torch.rand(3, 2, 1), torch.tensor([3, 2])
    expected = module(x, lengths).flatten().tolist()
    for data in (scripted(module), traced(module, x, lengths)):
        assert compute(load(data, device, "net"), x, lengths) == pytest.approx(expected, rel=1e-5)


def test_what_names_the_cpu_besides_an_accelerator_means_it(device, compute):
    assert compute(load(scripted(OnBoth()), device, "net"), X) == [4, 3, 2, 1]


def test_a_model_without_devices_is_left_as_it_is():
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval())
    before = str(module.graph)
    prepare(module, "forward", torch.device("cpu"), "net")
    assert str(module.graph) == before


# --- what it prints ---


def shout(x: Tensor) -> Tensor:
    print("from a function", x)
    return x


class Prints(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.jit.fork(shout, x)
        if x.dim() > 0:
            print("from a block")
            warnings.warn("\x1b[31m a warning", stacklevel=2)
        return torch.jit.wait(y)


class PrintsWhenExported(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        torch.ops.aten._print("from C++")
        if torch.__version__ >= "2.10":
            torch._higher_order_ops.print("from an operator {}", 1)
        return torch.cond(x.sum() > 0, self.louder, self.louder, (x,))

    def louder(self, x: Tensor) -> Tensor:
        torch.ops.aten._print("from a branch")
        return x + 1


class PrintsWhenLoaded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = 2

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return (self.factor, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        for _ in range(1000):
            print("\x1b[31m and more")
        self.factor = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE])
def test_what_a_model_prints_and_warns_is_left_out(optimize, device, compute, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute(load(scripted(Prints()), device, "net", ModelOptions(optimize)), X) == X.tolist()
    assert capfd.readouterr() == ("", "")


def test_what_an_exported_program_prints_is_left_out(device, compute, capfd, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch")
    data = exported(PrintsWhenExported(), X)
    capfd.readouterr()  # exporting computes it
    assert compute(load(data, device, "the model `net`"), X) == [2, 3, 4, 5]
    assert capfd.readouterr() == ("", "")
    statements = 4 if torch.__version__ >= "2.10" else 1  # whose export drops the others
    assert f"removed {statements} print statements from the model `net`" in caplog.messages


def test_what_is_left_out_is_told_in_the_log(caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch")
    load(scripted(Prints()), CPU, "the model `net`")
    assert "removed 3 print and warning statements from the model `net`" in caplog.messages


def test_what_is_printed_while_a_model_is_loaded_goes_to_the_log_quoted_and_bounded(compute, capfd, caplog):
    caplog.set_level(logging.INFO, "wasi_nn_torch")
    assert compute(load(scripted(PrintsWhenLoaded()), CPU, "the model `net`"), X) == [2, 4, 6, 8]
    assert capfd.readouterr() == ("", "")
    [said] = [message for message in caplog.messages if "printed" in message]
    assert said.startswith("the model `net` printed: ")
    assert said.isprintable()
    assert len(said) < 400


def test_other_threads_print_while_a_model_is_loaded(capsys):
    from wasi_nn_torch.contract.muting import muted

    with muted("a test"):
        print("kept back")
        other = threading.Thread(target=print, args=["let through"])
        other.start()
        other.join()
    print("afterwards")
    assert capsys.readouterr().out == "let through\nafterwards\n"
