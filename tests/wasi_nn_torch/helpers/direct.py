"""A session without a guest: a test makes the calls of wasi-nn itself, which is fast."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import torch

from wasi_nn_torch import Engine
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import NamedTensor, read_bytes
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES


class Direct:
    """One session; used in a `with` block. Each computation has `timeout` seconds."""

    def __init__(self, engine: Engine, device_bytes: int | None = None, timeout: float | None = None) -> None:
        self.deadline = Deadline()
        self.ledger = Ledger(device_bytes, None, None, self.deadline)
        self._serving = engine._runtime.serve(self.ledger)
        self._timeout = timeout
        self._by_name: dict[str, object] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._by_name.clear()
        self._serving.close()

    def load(self, data: bytes) -> object:
        """A context for a guest-supplied model; raises NnError."""
        self.deadline.start(self._timeout)
        return self._serving.context(self._serving.load([memoryview(data)], Encoding.AUTODETECT, ExecutionTarget.CPU))

    def compute(self, context, **inputs: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
        """Compute once, and read all outputs; raises NnError."""
        self.deadline.start(self._timeout)
        outputs = context.compute([self._named(name, content) for name, content in inputs.items()])
        try:
            return [
                (name, torch.frombuffer(data, dtype=DTYPES[tensor.dtype]) if data else torch.zeros(0))
                for name, tensor, data in ((name, tensor, read_bytes(tensor)) for name, tensor in outputs)
            ]
        finally:
            for _, tensor in outputs:
                tensor.drop()

    def compute_by_name(self, name: str, **inputs: torch.Tensor) -> torch.Tensor:
        """The only output of a registered model."""
        if name not in self._by_name:
            self._by_name[name] = self._serving.context(self._serving.load_by_name(name))
        [(_, output)] = self.compute(self._by_name[name], **inputs)
        return output

    def _named(self, name: str, content: torch.Tensor) -> NamedTensor:
        data = memoryview(content.contiguous().flatten().view(torch.uint8).numpy())
        return name, self._serving.tensor(list(content.shape), ELEMENT_TYPES[content.dtype], data)
