"""The same models behind LitServe, whose worker is a process of its own."""

from typing import Annotated, Any

import litserve as ls
import torch
from fastapi import Depends, Request, Response

from benchmarks.serving.cases import Case
from benchmarks.serving.servers import as_tensor, computing


async def _body(request: Request) -> bytes:
    return await request.body()


class Api(ls.LitAPI):
    """Computes the bytes of each request."""

    def __init__(self, case: Case, model: str) -> None:
        super().__init__()
        self._case = case
        self._model = model

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self._compute = computing(self._case, self._model)

    def decode_request(self, request: Annotated[bytes, Depends(_body)]) -> Any:
        return request

    def predict(self, x: Any) -> Any:
        return self._compute(x)

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


class BatchedApi(ls.LitAPI):
    """Computes the rows of several requests together, which wait for others for a millisecond."""

    def __init__(self, case: Case, model: str) -> None:
        super().__init__(max_batch_size=case.batch, batch_timeout=0.001)
        self._case = case
        self._model = model

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self._module = torch.export.load(self._model).module()

    def decode_request(self, request: Annotated[bytes, Depends(_body)]) -> torch.Tensor:
        return as_tensor(request, self._case)

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(inputs)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self._module(x)

    def unbatch(self, output: torch.Tensor) -> list[torch.Tensor]:
        return list(output.split(1))

    def encode_response(self, output: torch.Tensor) -> Response:
        return Response(output.numpy().tobytes(), media_type="application/octet-stream")


def serve(case: Case, model: str, port: int) -> None:
    """Serve until the process is ended."""
    api = BatchedApi(case, model) if case.batch > 1 else Api(case, model)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="critical", access_log=False)
