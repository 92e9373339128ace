"""The servers that are compared: `python -m benchmarks.serving.servers NAME CASE MODEL`; prints the port.

Each computes with one thread of PyTorch, in one process; LitServe's worker is another one.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from benchmarks.serving.cases import CASES, LITSERVE, RESIZE, TENSOR, Case

if TYPE_CHECKING:
    from starlette.applications import Starlette

Compute = Callable[[bytes], bytes]


def direct(case: Case, model: str) -> None:
    """A Starlette application that calls the module in its event loop, with the bytes of the body."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    compute = computing(case, model)

    async def infer(request: Request) -> Response:
        return Response(compute(await request.body()), media_type="application/octet-stream")

    _serve(Starlette(routes=[Route("/", infer, methods=["POST"])]))


def ours(case: Case, model: str) -> None:
    """This project's server, as the command runs it, except that it does not log each answer."""
    from wasi_nn_torch import Batch, Engine
    from wasi_nn_torch.http import GraphSettings, PipelineSettings, create_app
    from wasi_nn_torch.http.server import Listening, Server, run

    settings = GraphSettings() if case.batch == 1 else GraphSettings(concurrency=2 * case.batch)
    pipelines = {"resize": PipelineSettings(RESIZE)} if case.resizes else {}
    engine = Engine("cpu", guest_models="none", async_threads=settings.concurrency + 2 * len(pipelines))
    engine.register("net", model, batch=None if case.batch == 1 else Batch(case.batch, max_delay=0.005))
    app = create_app(engine, graphs={"net": settings}, pipelines=pipelines)
    run(Server(app, Listening(port=0), _print_port))


def litserve(case: Case, model: str) -> None:
    """LitServe, with its batches if the case has some."""
    sys.path.append(str(LITSERVE))
    from benchmarks.serving.peer import serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _print_port(port)
    serve(case, model, port)


def computing(case: Case, model: str) -> Compute:
    """The module as a function from bytes to bytes."""
    module = torch.export.load(model).module()
    tensor = _picture() if case.resizes else as_tensor

    def compute(body: bytes) -> bytes:
        with torch.inference_mode():
            [output] = torch.utils._pytree.tree_leaves(module(tensor(body, case)))
        return output.numpy().tobytes()

    return compute


def as_tensor(body: bytes, case: Case) -> torch.Tensor:
    """The elements of a request as the input of the model."""
    dtype = torch.uint8 if case.datatype == "UINT8" else torch.float32
    return torch.frombuffer(bytearray(body), dtype=dtype).view(case.shape)


def _picture() -> Callable[[bytes, Case], torch.Tensor]:
    """What resizes a picture with Pillow, and gives its colors the scale that networks are trained with."""
    from PIL import Image

    factor = (1 / (255 * torch.tensor([0.229, 0.224, 0.225]))).view(3, 1, 1)
    summand = (-torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225])).view(3, 1, 1)

    def resized(body: bytes, case: Case) -> torch.Tensor:
        height, width, channels = case.shape
        picture = Image.frombytes("RGB", (width, height), body).resize(TENSOR[2:], Image.Resampling.BILINEAR)
        colors = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(*TENSOR[2:], channels)
        planes = torch.empty(TENSOR[1:])
        return torch.addcmul(summand, colors.permute(2, 0, 1), factor, out=planes).unsqueeze(0)

    return resized


def _serve(app: Starlette) -> None:
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listener:
        _print_port(listener.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


def _print_port(port: int) -> None:
    print(port, flush=True)


#: The servers, by name.
SERVERS = {"direct": direct, "litserve": litserve, "ours": ours}

if __name__ == "__main__":
    torch.set_num_threads(1)
    name, chosen, model = sys.argv[1:]
    SERVERS[name](next(each for each in CASES if each.name == chosen), model)
