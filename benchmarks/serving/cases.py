"""What is served and asked: models, and the request for each kind of server."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
CLASSIFIER = ROOT / "build/classify/model.pt2"
RESIZE = ROOT / "build/serving/resize.wasm"
LITSERVE = ROOT / "build/litserve"

TENSOR = (1, 3, 224, 224)
PHOTO = (448, 448, 3)
PICTURE = (400, 600, 3)
VECTOR = (1, 1024)


class Mean(torch.nn.Module):
    """Hardly any work: the mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


class Network(torch.nn.Module):
    """A small network of convolutions, which takes about as long as one for mobile phones."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 256)
        layers = [
            layer
            for taken, given in pairwise(widths)
            for layer in (torch.nn.Conv2d(taken, given, 3, stride=2, padding=1), torch.nn.ReLU())
        ]
        self.layers = torch.nn.Sequential(*layers)
        self.head = torch.nn.Linear(widths[-1], 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean(dim=(2, 3)))


def perceptron() -> torch.nn.Module:
    """A multilayer perceptron, whose weights take 25 MB: one row at a time, most of the time goes into reading them."""
    return torch.nn.Sequential(
        torch.nn.Linear(1024, 2048),
        torch.nn.ReLU(),
        torch.nn.Linear(2048, 2048),
        torch.nn.ReLU(),
        torch.nn.Linear(2048, 10),
    ).eval()


@dataclass(frozen=True)
class Case:
    """A model, and requests to it: tensors of a shape and a datatype.

    `module` makes the model; None means the classifier of the demo. With `batch`, up to so many rows are computed
    together. With `resizes`, the input is a picture, which is resized to what the model takes.
    """

    name: str
    title: str
    module: Callable[[], torch.nn.Module] | None
    shape: tuple[int, ...]
    datatype: str = "FP32"
    batch: int = 1
    resizes: bool = False

    def save(self, path: Path) -> None:
        """Write the exported program."""
        if self.module is None:
            path.write_bytes(CLASSIFIER.read_bytes())
            return
        example = torch.zeros(TENSOR if self.resizes else self.shape)
        rows = None
        if self.batch > 1:
            example, rows = torch.cat([example, example]), ({0: torch.export.Dim("rows", max=1024)},)
        torch.export.save(torch.export.export(self.module().eval(), (example,), dynamic_shapes=rows), path)

    @property
    def body(self) -> bytes:
        """The elements of one request."""
        generator = torch.Generator().manual_seed(1)
        if self.datatype == "UINT8":
            return torch.randint(256, self.shape, dtype=torch.uint8, generator=generator).numpy().tobytes()
        return torch.rand(math.prod(self.shape), generator=generator).numpy().tobytes()

    def request(self, server: str) -> bytes:
        """A request to a server of that name."""
        if server != "ours":
            return _post("/predict" if server == "litserve" else "/", self.body)
        name = "picture" if self.resizes else "0"
        parameters = {"binary_data_size": len(self.body)}
        described = {"name": name, "shape": self.shape, "datatype": self.datatype, "parameters": parameters}
        text = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
        path = f"/v2/models/{'resize' if self.resizes else 'net'}/infer"
        return _post(path, text + self.body, f"Inference-Header-Content-Length: {len(text)}\r\n")


def _post(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CASES = (
    Case("mean", "graph, hardly any work", Mean, TENSOR),
    Case("network", "graph, small network", Network, TENSOR),
    Case("classifier", "graph, photo classifier", None, PHOTO, "UINT8"),
    Case("batched", "graph, batched MLP", perceptron, VECTOR, batch=16),
    Case("resize", "pipeline in C: resize, hardly any work", Mean, PICTURE, "UINT8", resizes=True),
    Case("resize-network", "pipeline in C: resize, small network", Network, PICTURE, "UINT8", resizes=True),
)
