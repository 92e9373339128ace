"""The servers that are compared: `python -m benchmarks.serving.servers NAME MODEL`; prints the port."""

from __future__ import annotations

import socket
import sys

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def direct(model: str) -> None:
    """A Starlette application that calls the module in its event loop, with the bytes of the body."""
    module = torch.export.load(model).module()

    async def infer(request: Request) -> Response:
        body = bytearray(await request.body())
        with torch.inference_mode():
            [output] = torch.utils._pytree.tree_leaves(module(torch.frombuffer(body, dtype=torch.float32).view(SHAPE)))
        return Response(output.numpy().tobytes(), media_type="application/octet-stream")

    _serve(Starlette(routes=[Route("/", infer, methods=["POST"])]))


def ours(model: str) -> None:
    """This project's server, as the command runs it."""
    from wasi_nn_torch import Engine
    from wasi_nn_torch.http import create_app
    from wasi_nn_torch.http.server import Listening, Server

    engine = Engine("cpu", guest_models="none")
    engine.register("net", model)
    app = create_app(engine)
    Server(app, Listening(port=0), lambda port: print(port, flush=True)).run()


def _serve(app: Starlette) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


SHAPE = (1, 3, 224, 224)

if __name__ == "__main__":
    torch.set_num_threads(1)
    {"direct": direct, "ours": ours}[sys.argv[1]](sys.argv[2])
