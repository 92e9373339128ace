"""The servers that are compared: `python -m benchmarks.serving.servers NAME MODEL SHAPE BATCH`; prints the port."""

from __future__ import annotations

import socket
import sys

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def direct(model: str, shape: tuple[int, ...], batch: int) -> None:
    """A Starlette application that calls the module in its event loop, with the bytes of the body."""
    module = torch.export.load(model).module()

    async def infer(request: Request) -> Response:
        body = bytearray(await request.body())
        with torch.inference_mode():
            [output] = torch.utils._pytree.tree_leaves(module(torch.frombuffer(body, dtype=torch.float32).view(shape)))
        return Response(output.numpy().tobytes(), media_type="application/octet-stream")

    _serve(Starlette(routes=[Route("/", infer, methods=["POST"])]))


def ours(model: str, shape: tuple[int, ...], batch: int) -> None:
    """This project's server, as the command runs it; it computes up to `batch` requests together, if that is not 1."""
    from wasi_nn_torch import Batch, Engine
    from wasi_nn_torch.http import GraphSettings, create_app
    from wasi_nn_torch.http.server import Listening, Server

    settings = GraphSettings() if batch == 1 else GraphSettings(concurrency=2 * batch)
    engine = Engine("cpu", guest_models="none", async_threads=settings.concurrency)
    engine.register("net", model, batch=None if batch == 1 else Batch(batch))
    app = create_app(engine, graphs={"net": settings})
    Server(app, Listening(port=0), lambda port: print(port, flush=True)).run()


def _serve(app: Starlette) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, model, shape, batch = sys.argv[1:]
    {"direct": direct, "ours": ours}[name](model, tuple(map(int, shape.split("x"))), int(batch))
