"""Models as `torch.export.save` writes them: ordinary ones, and ways to change what is in the archive."""

import io
import json
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tests.wasi_nn_torch.helpers.guest_models import Block, files, written
from wasi_nn_torch.pytorch.graphs import Graph
from wasi_nn_torch.pytorch.graphs.inputs.outputs import flatten

PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLES = "data/sample_inputs/model.pt"
BATCH = Dim("batch", min=1, max=64)

CNN = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
IMAGES = torch.rand(2, 3, 8, 8)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.lstm(x)
        return self.gru(y)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(10, 8)
        self.places = nn.Parameter(torch.rand(6, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Any]:
        x = self.words(ids) + self.places[: ids.shape[1]]
        x = self.norm(self.encoder(x, src_key_padding_mask=mask))
        return {"logits": x @ self.words.weight.t(), "aux": (x.mean(), x.argmax(-1))}


class Attention(nn.Module):
    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)


class Arguments(nn.Module):
    def forward(
        self, x: Tensor, opts: dict[str, Tensor], *, scale: float = 2.0, times: int = 1, mask: Tensor | None = None
    ) -> Tensor:
        return x * scale * times + opts["bias"]


class Slices(nn.Module):
    def forward(self, x: Tensor, n: int) -> Tensor:
        return x[:n]


class Parity(nn.Module):
    """Does something else with an odd number of rows: only one of both is exported."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] % 2 == 0 else x * 3


class Constants(nn.Module):
    """Has constants, a part without gradients, and masks."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad():
            y = self.linear(x)
        return y.masked_fill(mask, 0.0) + torch.tensor([1.0, 2, 3]) + torch.arange(3, device=x.device)


class Counter(nn.Module):
    """Remembers what it was given, in two buffers, one of which is a view of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("total", torch.zeros(2))
        self.register_buffer("ring", torch.zeros(3, 2), persistent=False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.total.add_(x * self.weight)
        self.ring.copy_(torch.roll(self.ring, 1, 0))
        self.ring[0] = x
        return {"total": self.total, "mean": self.ring.mean(0)}


class Small(nn.Module):
    """A linear layer and a constant; where the batch may vary."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("offset", torch.ones(2))
        self.scale = torch.tensor([2.0, 3.0])

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.scale + self.offset


def exported(
    module: nn.Module, *inputs: Any, functional: bool = False, decomposed: bool = False, **options: Any
) -> bytes:
    """A module as the bytes of a `.pt2` file: functional, or decomposed into the core of PyTorch's operators."""
    return packed(program(module, *inputs, **options), functional=functional, decomposed=decomposed)


def program(module: nn.Module, *inputs: Any, **options: Any) -> ExportedProgram:
    """A module as the program that `packed` writes, which takes most of the time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module.eval(), inputs, **options)


def packed(program: ExportedProgram, *, functional: bool = False, decomposed: bool = False) -> bytes:
    """The bytes of the file of a program, which stays as it is."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if functional or decomposed:
            program = program.run_decompositions(None if decomposed else {})
        torch.export.save(program, file)
    return file.getvalue()


def small() -> bytes:
    return exported(Small(), torch.ones(3, 2), dynamic_shapes={"x": {0: BATCH}})


def changed(data: bytes, change: Callable[[dict[str, Any]], object], path: str = PROGRAM, **others: bytes) -> bytes:
    """Change what is in one of the JSON files; `others` are further files, by path."""
    content = files(data)
    document = json.loads(content[path])
    change(document)
    return written({**content, path: json.dumps(document).encode(), **others})


def graph_of(document: dict[str, Any]) -> dict[str, Any]:
    return document["graph_module"]["graph"]


MASK = torch.zeros(2, 6, dtype=torch.bool)
MASK[0, 4:] = True

ORDINARY: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], dict[str, Any]]] = {
    "a CNN": (lambda: CNN, (IMAGES,), {"dynamic_shapes": ({0: BATCH},)}),
    "a CNN, exported strictly": (lambda: CNN, (IMAGES,), {"strict": True}),
    "EfficientNet blocks": (lambda: nn.Sequential(Block(), Block()), (IMAGES,), {"dynamic_shapes": ({0: BATCH},)}),
    "a recurrent net": (Recurrent, (torch.rand(2, 5, 4),), {}),
    "a transformer": (
        Transformer,
        (torch.arange(12).reshape(2, 6) % 10, MASK),
        {"dynamic_shapes": {"ids": {0: BATCH}, "mask": {0: BATCH}}},
    ),
    "attention": (Attention, (torch.rand(2, 2, 4, 4),) * 3, {"dynamic_shapes": {name: {0: BATCH} for name in "qkv"}}),
    "embeddings": (lambda: nn.EmbeddingBag(10, 4), (torch.arange(6).reshape(2, 3),), {}),
    "sizes of its own choice": (
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
        (IMAGES,),
        {"dynamic_shapes": ({0: BATCH, 2: Dim.AUTO, 3: Dim.AUTO},)},
    ),
    "guards": (Parity, (torch.rand(4, 3),), {"dynamic_shapes": {"x": {0: Dim.AUTO}}}),
    "constants and a part without gradients": (Constants, (torch.rand(2, 3), MASK[:, 3:]), {}),
    "state": (Counter, (torch.rand(2),), {}),
    "half precision": (lambda: nn.Linear(3, 3).bfloat16(), (torch.rand(2, 3).bfloat16(),), {}),
}


def computed(graph: Graph, **inputs: torch.Tensor) -> object:
    """What a graph returns: its only output, or a tuple of all."""
    outputs = [output for _, output in flatten(graph.instance()(**inputs))]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)
