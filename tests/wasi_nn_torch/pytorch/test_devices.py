import pytest
import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
from wasi_nn_torch.pytorch.devices import CPU, Devices, find_device


def test_the_cpu_target_is_the_cpu_whatever_was_chosen(device):
    assert Devices(device).for_target(ExecutionTarget.CPU) == CPU


def test_the_chosen_device_is_the_default(device):
    assert Devices(str(device)).default == device


def test_a_torch_device_can_be_chosen(device):
    assert Devices(device).default == device


def test_without_a_choice_the_accelerator_is_the_default(accelerator):
    assert Devices().default.type == accelerator.type


def test_without_a_choice_and_an_accelerator_the_cpu_is_the_default(monkeypatch):
    _hide_accelerators(monkeypatch)
    assert Devices().default == CPU


def test_an_accelerator_has_its_index(accelerator):
    assert Devices(accelerator.type).default.index is not None


def test_the_gpu_target_is_the_accelerator_of_the_host(accelerator):
    assert Devices(accelerator).for_target(ExecutionTarget.GPU) == accelerator


def test_the_gpu_target_is_refused_where_the_operator_chose_the_cpu():
    with pytest.raises(NnError, match="the operator of this host chose the CPU") as caught:
        Devices("cpu").for_target(ExecutionTarget.GPU)
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION


def test_the_gpu_target_is_refused_where_there_is_none(monkeypatch):
    _hide_accelerators(monkeypatch)
    with pytest.raises(NnError, match="this host has no GPU") as caught:
        Devices().for_target(ExecutionTarget.GPU)
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION


def test_the_tpu_target_is_refused(device):
    with pytest.raises(NnError, match="this host has no TPU") as caught:
        Devices(device).for_target(ExecutionTarget.TPU)
    assert caught.value.code is ErrorCode.UNSUPPORTED_OPERATION


@pytest.mark.parametrize("name", ["", "gpu", "teapot", "cuda:-1", "cpu:x"])
def test_what_is_no_device_name_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` is not the name of a device; choose cpu"):
        Devices(name)


@pytest.mark.parametrize("name", ["cpu:1", "meta", "vulkan"])
def test_a_device_that_this_machine_lacks_is_refused(name):
    with pytest.raises(ValueError, match=f"this machine has no device `{name}`; choose cpu"):
        Devices(name)


@pytest.mark.parametrize("index", [64, 999])
def test_an_index_that_does_not_exist_is_refused(accelerator, index):
    with pytest.raises(ValueError, match="this machine has no device"):
        Devices(f"{accelerator.type}:{index}")


def test_the_first_cpu_is_the_cpu():
    assert find_device("cpu:0") == CPU


def _hide_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available=False: None)
