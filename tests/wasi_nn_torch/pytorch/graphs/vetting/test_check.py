"""The check of guests' models. What is refused here is a real archive that does harm when loaded."""

import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.wasi_nn_torch.helpers.guest_models import (
    CODE,
    IMAGE,
    Arranged,
    Block,
    Everything,
    Named,
    Outer,
    Prints,
    Reads,
    Recurrent,
    Saves,
    SavesWhenLoaded,
    loaded,
    refusal,
    saved,
    scripted,
    traced,
)
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript

# These are told from bytes, on whatever device.
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"),
]


ENCODER = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
CNN = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())

ORDINARY: dict[str, Callable[[], bytes]] = {
    "a scripted CNN": lambda: scripted(CNN),
    "a traced CNN": lambda: traced(CNN, IMAGE),
    "a frozen CNN": lambda: saved(torch.jit.freeze(torch.jit.script(CNN.eval()))),
    "scripted EfficientNet blocks": lambda: scripted(nn.Sequential(Block(), Block())),
    "traced EfficientNet blocks": lambda: traced(nn.Sequential(Block(), Block()), IMAGE),
    "a scripted recurrent net": lambda: scripted(Recurrent()),
    "a traced recurrent net": lambda: traced(nn.LSTM(4, 8), torch.zeros(2, 1, 4)),
    "a scripted transformer layer": lambda: scripted(ENCODER),
    "a traced transformer": lambda: traced(nn.TransformerDecoderLayer(8, 2, 16), *[torch.zeros(2, 1, 8)] * 2),
    "a transformer": lambda: scripted(nn.TransformerEncoder(ENCODER, 2)),
    "control flow and containers": lambda: scripted(Everything()),
    "an enum": lambda: scripted(Arranged()),
    "a NamedTuple": lambda: scripted(Named()),
    "a loss with warnings": lambda: scripted(nn.MSELoss()),
    "embeddings": lambda: scripted(nn.EmbeddingBag(10, 4)),
    "half precision": lambda: scripted(nn.Linear(2, 2).half()),
    "complex numbers": lambda: traced(nn.Identity(), torch.zeros(2, dtype=torch.complex64)),
    "loaded and saved again": lambda: saved(loaded(scripted(Everything()))),
}


@pytest.mark.parametrize("make", ORDINARY.values(), ids=ORDINARY.keys())
def test_ordinary_models_pass(make):
    check_torchscript(make())


def test_a_model_in_any_buffer_passes(small):
    check_torchscript(bytearray(small))
    check_torchscript(memoryview(small))


def test_saving_a_file_is_refused(tmp_path):
    path = tmp_path / "saved"
    data = scripted(Saves(str(path)))
    loaded(data)(torch.zeros(1))
    assert path.exists(), "PyTorch no longer saves: choose another harm"
    assert f"{CODE}:" in refusal(data)
    assert "`torch.save`" in refusal(data)


def test_saving_a_file_while_the_model_is_loaded_is_refused(tmp_path):
    path = tmp_path / "saved"
    data = scripted(SavesWhenLoaded(str(path)))
    path.unlink(missing_ok=True)
    assert "`torch.save`" in refusal(data) or "when the model is loaded" in refusal(data)
    assert not path.exists()
    loaded(data)
    assert path.exists(), "PyTorch no longer runs `__setstate__`: choose another harm"


def test_saving_a_file_deep_inside_is_refused(tmp_path):
    assert "`torch.save`" in refusal(scripted(Outer(Outer(Saves(str(tmp_path / "saved"))))))


def test_reading_a_file_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"abcd")
    data = scripted(Reads(str(path)))
    assert bytes(loaded(data)(torch.zeros(1)).tolist()) == b"abcd"
    assert "`torch.from_file`" in refusal(data)


def test_printing_is_refused(capfd):
    data = scripted(Prints())
    loaded(data)(torch.zeros(1))
    assert "printed by the guest's model" in capfd.readouterr().out
    assert "`print`" in refusal(data)


def test_random_damage_never_escapes_as_another_error(small):
    random = torch.Generator().manual_seed(1)
    for _ in range(300):
        data = bytearray(small)
        for at in torch.randint(len(small), (3,), generator=random).tolist():
            data[at] = int(torch.randint(256, (1,), generator=random))
        try:
            check_torchscript(bytes(data))
        except NnError:
            continue


def test_the_check_loads_nothing(small, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_: pytest.fail("it loads the model"))
    monkeypatch.setitem(sys.modules, "pickle", None)
    check_torchscript(small)
