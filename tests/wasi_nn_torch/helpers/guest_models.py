"""Models as guests bring them: ordinary ones, ones that do harm, and ways to take archives apart and mend them."""

import io
import warnings
import zipfile
from enum import Enum
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.pytorch.graphs.vetting.check_torchscript import check_torchscript

CODE = f"code/__torch__/{__name__.replace('.', '/')}.py"
MODULE = f"__torch__.{__name__}"
IMAGE = torch.zeros(1, 3, 16, 16)


class Outputs(NamedTuple):
    logits: Tensor
    hidden: Tensor | None


class Block(nn.Module):
    """An inverted residual block with squeeze and excitation, as in EfficientNet."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 12, 1, bias=False), nn.BatchNorm2d(12), nn.SiLU(inplace=True))
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.BatchNorm2d(12), nn.SiLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 3, 1), nn.SiLU(), nn.Conv2d(3, 12, 1))
        self.project = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * torch.sigmoid(self.squeeze(y)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 8)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        y, _ = self.lstm(x, state)
        return self.gru(y)


def scaled(x: Tensor, times: int) -> Tensor:
    for i in range(times):
        x = x * 2 + i
    return x


class Everything(nn.Module):
    """Control flow, containers of every kind, state, functions and exceptions."""

    state: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.weights = nn.ParameterList([nn.Parameter(torch.ones(3))])
        self.names = {"a": 1, "b": 2}
        self.tables = {1: ["x", "y"]}
        self.mixed = (1, 2.0, "ü\n", torch.device("cpu"))
        self.tensors = [torch.ones(3)]
        self.state = None
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("view", torch.arange(12.0).view(3, 4).t()[1:, ::2])
        self.register_buffer("nothing", torch.zeros(0))

    def forward(self, x: Tensor, steps: int = 2, key: str = "a", mask: Tensor | None = None) -> dict[str, Tensor]:
        self.count += 1
        state = self.state
        if state is None:
            state = torch.zeros_like(x)
        self.state = state + x
        for layer in self.layers:
            x = F.relu(layer(x))
        if mask is not None:
            x = x.masked_fill(mask, float("-inf"))
        while steps > 0:
            steps -= self.names[key]
            x = scaled(x, steps)
            if x.sum().item() > 100.0:
                break
        if x.dim() != 2:
            raise ValueError(f"expected a matrix, not {x.shape}")
        with torch.no_grad():
            rows = [x[i] for i in range(x.size(0))]
        pieces: list[int] = x[0].long().tolist()
        y = torch.einsum("ij,jk->ik", x, x.t()) / len(pieces)
        x[0, 1:] = 0.5
        return {"x": x * self.weights[0] + self.tensors[0], "y": y, "rows": torch.stack(rows), "state": state}


class Layout(Enum):
    ROWS = "rows"
    COLUMNS = "columns"


class Arranged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layout = Layout.COLUMNS

    def forward(self, x: Tensor) -> Tensor:
        return x.t() if self.layout == Layout.COLUMNS else x


class Named(nn.Module):
    def forward(self, x: Tensor) -> Outputs:
        return Outputs(F.interpolate(x, scale_factor=2.0, mode="bilinear"), None)


class Sized(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.values = [float(i) for i in range(size)]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.size


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Sized(1)
        self.register_buffer("weight", torch.ones(7))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.weight.sum())


class Outer(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Saves(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        torch.ops.aten.save(x, self.path)
        return x


class SavesWhenLoaded(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.ops.aten.save(torch.zeros(1), state[0])


class Reads(nn.Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_file(self.path, False, 4, dtype=torch.uint8)


class Prints(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("printed by the guest's model", x.dim())
        return x


def saved(module: torch.jit.ScriptModule) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(module, file)
    return file.getvalue()


def scripted(module: nn.Module) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(torch.jit.script(module.eval()))


def traced(module: nn.Module, *inputs: Tensor) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(torch.jit.trace(module.eval(), inputs, check_trace=False))


def loaded(data: bytes) -> torch.jit.ScriptModule:
    """Load without the check."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load(io.BytesIO(data))


def files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def written(content: dict[str, bytes]) -> bytes:
    """An archive as PyTorch itself writes it."""
    file = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(file)
    for name, data in content.items():
        if name not in ("version", ".data/serialization_id"):  # the writer adds these
            writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return file.getvalue()


def edited(data: bytes, name: str, old: bytes | str, new: bytes | str) -> bytes:
    """Replace a part of one file, and check that it was there."""
    old, new = (part.encode() if isinstance(part, str) else part for part in (old, new))
    content = files(data)
    assert content[name].count(old) >= 1, content[name]
    content[name] = content[name].replace(old, new, 1)
    return written(content)


def refusal(data: bytes) -> str:
    with pytest.raises(NnError) as caught:
        check_torchscript(data)
    assert caught.value.code is ErrorCode.SECURITY
    assert "register the model by name" in caught.value.text
    assert "\n" not in caught.value.text
    return caught.value.text
