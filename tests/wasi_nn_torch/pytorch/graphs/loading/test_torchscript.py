import io
import warnings
import zipfile

import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Kind, Parameter, load_from_guest
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Many


class Arguments(torch.nn.Module):
    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None,
        rate: int,
        scale: float = 1.0,
        flag: bool = True,
        count: int | None = None,
        extras: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        return x


class TakesNames(torch.nn.Module):
    def forward(self, x: torch.Tensor, names: list[str]) -> torch.Tensor:
        return x * len(names)


class WithoutForward(torch.nn.Module):
    @torch.jit.export
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x


def refusal(data: bytes) -> NnError:
    with pytest.raises(NnError) as caught:
        load_from_guest(data, CPU)
    return caught.value


def traced(module: torch.nn.Module, *inputs: torch.Tensor, freeze: bool = False) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        result = torch.jit.trace(module.eval(), inputs)
        file = io.BytesIO()
        torch.jit.save(torch.jit.freeze(result) if freeze else result, file)
    return file.getvalue()


def test_parameters_have_the_names_kinds_and_defaults_of_forward(load):
    assert load(Arguments()).signature.parameters == (
        Parameter("x", Kind.TENSOR),
        Parameter("mask", Kind.TENSOR, optional=True, none_if_absent=True),
        Parameter("rate", Kind.INTEGER),
        Parameter("scale", Kind.FLOAT, optional=True),
        Parameter("flag", Kind.BOOLEAN, optional=True),
        Parameter("count", Kind.INTEGER, optional=True),
        Many("extras", Parameter("*", Kind.TENSOR), dict, str, optional=True),
    )


def test_an_optional_argument_without_a_default_may_be_left_out(context, tensor, values):
    outputs = context(Arguments()).compute([("x", tensor(torch.ones(1))), ("rate", tensor(torch.tensor([1])))])
    assert [values(output) for _, output in outputs] == [[1]]


def test_an_argument_that_no_guest_can_give_is_refused_when_loading(script):
    error = refusal(script(TakesNames()))
    assert error.code is ErrorCode.INVALID_ENCODING
    assert "its parameter `names` is List[str]" in error.text


def test_a_module_without_forward_is_refused(script):
    assert "no method `forward`; it has `encode`: choose one" in refusal(script(WithoutForward())).text


@pytest.mark.parametrize("freeze", [False, True])
def test_a_traced_module_is_computed(freeze, device, memory, tensor, values):
    linear = torch.nn.Linear(3, 2)
    context = ExecutionContext(load_from_guest(traced(linear, torch.ones(1, 3), freeze=freeze), device), memory)
    [(name, output)] = context.compute([("anything", tensor(torch.ones(1, 3)))])
    assert name == "output"
    assert values(output) == pytest.approx(linear(torch.ones(1, 3)).flatten().tolist(), rel=1e-5)


def test_weights_are_loaded_on_the_device(load, device, memory):
    model = ExecutionContext(load(torch.nn.Linear(3, 2)), memory)._model
    assert {parameter.device for parameter in model.parameters()} == {device}


def test_no_weight_wants_a_gradient(load, memory):
    model = ExecutionContext(load(torch.nn.Linear(3, 2)), memory)._model
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_loading_warns_of_nothing(script):
    data = script(torch.nn.ReLU())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_from_guest(data, CPU)


def test_a_view_of_a_guests_memory_is_loaded_and_not_kept(script):
    data = bytearray(script(torch.nn.ReLU()))
    graph = load_from_guest(memoryview(data), CPU)
    data.clear()  # raises BufferError while anyone still holds the buffer
    assert graph.device == CPU


def test_garbage_is_refused_with_advice():
    error = refusal(b"hello")
    assert error.code is ErrorCode.INVALID_ENCODING
    assert error.text.startswith("the model is not a PyTorch model; export the whole model")


def test_a_state_dict_is_called_by_its_name():
    file = io.BytesIO()
    torch.save(torch.nn.Linear(3, 2).state_dict(), file)
    assert "a state dict or another pickle: weights without the code of a model" in refusal(file.getvalue()).text


def test_a_broken_archive_is_refused_in_one_line(script):
    broken = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(script(torch.nn.Linear(3, 2)))) as source, zipfile.ZipFile(broken, "w") as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry).replace(b"def forward", b"def ?"))
    error = refusal(broken.getvalue())
    assert error.code is ErrorCode.INVALID_ENCODING
    assert "the model is a broken TorchScript archive" in error.text
    assert error.text.isprintable()


def test_the_operator_is_told_which_file_it_is(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(b"hello")
    with pytest.raises(ModelError, match=f"{path} is not a PyTorch model"):
        graphs.load(path, CPU, str(path))


def test_too_little_device_memory_is_too_large(monkeypatch, script):
    def exhausted(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has …")

    monkeypatch.setattr(torch.jit, "load", exhausted)
    error = refusal(script(torch.nn.ReLU()))
    assert error.code is ErrorCode.TOO_LARGE
    assert error.text == (
        "out of memory on cpu while loading the model: 20.00 MiB more was requested; "
        "use a smaller model or another device"
    )
