"""A screenshot of the page of a server under load, as `make screenshot` takes it: `python -m … FILE`.

The server has the model and the pipeline of `examples/serve`, and a small model whose requests are computed together.
"""

from __future__ import annotations

import io
import math
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.browser import browser
from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from wasi_nn_torch import Batch, Engine, Limits
from wasi_nn_torch.http import GraphSettings, PipelineSettings, create_app

#: The seconds for which the page has been open; its lines are full after 180.
SECONDS = 190
PHOTO = (ROOT / "build/serve/photos/chelsea.jpg").read_bytes()
ROW = ("x", "FP32", [1, 64], np.zeros(64, np.float32).tobytes())
PIXELS = ("image", "UINT8", [224, 224, 3], bytes(224 * 224 * 3))


def main(file: Path) -> None:
    with Engine("cpu", async_threads=24) as engine:
        engine.register("classifier", ROOT / "build/classify/model.pt2")
        engine.register("embedding", embedding(), batch=Batch(16, max_delay=0.002))
        settings = PipelineSettings(
            ROOT / "build/serve/pipeline.wasm", graphs=["classifier"], concurrency=1, limits=Limits(timeout=5)
        )
        graphs = {"classifier": GraphSettings(concurrency=1), "embedding": GraphSettings(concurrency=32)}
        app = create_app(engine, graphs=graphs, pipelines={"photos": settings})
        with served(app) as at, browser(1200, 700) as page, under_load(at):
            page.open(f"http://{at}/")
            time.sleep(SECONDS)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(page.screenshot())
        app.close()


def embedding() -> bytes:
    """An exported program of three layers."""
    layers = [torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 128)]
    rows = {0: torch.export.Dim("rows", max=64)}
    program = torch.export.export(torch.nn.Sequential(*layers).eval(), (torch.ones(2, 64),), dynamic_shapes=(rows,))
    saved = io.BytesIO()
    torch.export.save(program, saved)
    return saved.getvalue()


@contextmanager
def under_load(at: str) -> Iterator[None]:
    """Requests to every model in the block, at a rate that rises and falls."""
    is_over = threading.Event()

    def keep_asking(make: Callable[[], bytes], rate: float) -> None:
        with Connection(at) as connection:
            while not is_over.wait(1 / rate / (1.3 + math.sin(time.monotonic() / 12))):
                connection.send(make()).answer()

    clients = [threading.Thread(target=keep_asking, args=(row, 12)) for _ in range(6)]
    clients += [threading.Thread(target=keep_asking, args=each) for each in ((pixels, 3), (photo, 1), (photo, 1))]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        is_over.set()
        for client in clients:
            client.join()


def row() -> bytes:
    return infer("embedding", ("0", *ROW[1:]), parameters={"binary_data_output": True})


def pixels() -> bytes:
    return infer("classifier", PIXELS, parameters={"binary_data_output": True})


def photo() -> bytes:
    """A photograph; one in ten is none."""
    content = PHOTO if random.random() < 0.9 else b"none"
    return infer("photos", ("photo", "BYTES", [1], len(content).to_bytes(4, "little") + content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
