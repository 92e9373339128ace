"""The worker's end: it runs confined, loads and computes what the host asks for, and has nothing else.

Everything that a guest-supplied model can do, it can do in this process, which the host does not trust.
"""

from __future__ import annotations

import gc
import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from wasi_nn_torch.contract.backend import BackendSession, Context
from wasi_nn_torch.contract.deadline import Deadline
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import NamedTensor, SharesMemory, Tensor
from wasi_nn_torch.contract.vocabulary import Encoding, ExecutionTarget
from wasi_nn_torch.pytorch.devices import CPU, place_of
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory
from wasi_nn_torch.pytorch.inspecting import describe_if_admitted
from wasi_nn_torch.pytorch.isolation.blocks import mapped
from wasi_nn_torch.pytorch.isolation.descriptions import spelled
from wasi_nn_torch.pytorch.isolation.engines import make_backend
from wasi_nn_torch.pytorch.isolation.messages import (
    INLINE,
    MOST_INLINE,
    Carrier,
    Reader,
    Request,
    TensorHeader,
    Writer,
    failure,
    read_header,
    require_expressible,
)
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor
from wasi_nn_torch.workers.channel import Channel


def serve(channel: Channel) -> None:
    """Answer the requests of the host until it closes the channel."""
    warnings.simplefilter("ignore")
    worker: _Worker | None = None
    while True:
        content, descriptors = channel.receive_with_descriptors()
        reader = Reader(content)
        request = Request(reader.byte())
        if request is Request.SET_UP:
            worker = _Worker(json.loads(bytes(reader.blob())))
            channel.send(_success().content)
        elif worker is not None and request in _SILENT:
            _SILENT[request](worker, reader, descriptors)
        elif worker is not None:
            channel.send(_answer(worker, request, reader, descriptors))


def _answer(worker: _Worker, request: Request, reader: Reader, descriptors: list[int]) -> bytearray:
    try:
        return _ANSWERS[request](worker, reader, descriptors).content
    except NnError as error:
        return failure(error.code, error.text)
    except Exception as error:  # noqa: BLE001  # the host must be told, whatever it is
        code = ErrorCode.TOO_LARGE if is_out_of_memory(error) else ErrorCode.RUNTIME_ERROR
        release_frames(error)
        return failure(code, gist(error))


@dataclass(frozen=True)
class _Loaded:
    """A graph: what makes its contexts, where it is computed, and its size and that of the state of each context."""

    context: Callable[[], Context]
    device: torch.device
    nbytes: int
    state_nbytes: int


class _Worker:
    """What the host has put here: graphs, contexts, tensors and blocks, by number."""

    def __init__(self, set_up: dict[str, int | None]) -> None:
        self._threads = set_up["threads"] or 1
        torch.set_num_threads(self._threads)
        ledger = Ledger(set_up["device_limit"], None, set_up["tensor_limit"], Deadline())
        self._memory = SessionMemory.of(ledger)
        self._others: dict[str, BackendSession[Any]] = {}
        self._graphs: dict[int, _Loaded] = {}
        self._contexts: dict[int, tuple[Context, torch.device]] = {}
        self._tensors: dict[int, Share] = {}
        self._blocks: dict[int, torch.Tensor] = {}
        self._last = 0

    def load(self, reader: Reader, descriptors: list[int]) -> Writer:
        """Check and load a model."""
        encoding, device, size = reader.text(), torch.device(reader.text()), reader.number()
        # Mapped, not copied: nobody can change it any more.
        model = _mapped(descriptors, size)
        loaded = self._load(model, device) if encoding == Encoding.PYTORCH.value else self._load_other(model, encoding)
        number = self._number()
        self._graphs[number] = loaded
        gc.collect()  # loading leaves reference cycles, which would count against the limit
        return _success().number(number, loaded.nbytes, loaded.state_nbytes)

    def _load(self, model: memoryview, device: torch.device) -> _Loaded:
        graph = load_from_guest(model, device, checks=True)
        place = place_of(device)
        self._memory.ledger.grant(place, graph.nbytes, "the model")
        self._memory.ledger.enter_other(graph, place, graph.nbytes)
        return _Loaded(partial(graph.context, self._memory), device, graph.nbytes, graph.state_nbytes)

    def _load_other(self, model: memoryview, encoding: str) -> _Loaded:
        """Load a model with another engine, on the CPU."""
        if encoding not in self._others:
            self._others[encoding] = make_backend(encoding, self._threads).session(self._memory.ledger)
        session = self._others[encoding]
        graph = session.load([model], ExecutionTarget.CPU)
        return _Loaded(partial(session.context, graph), CPU, graph.nbytes, 0)

    def describe(self, reader: Reader, descriptors: list[int]) -> Writer:
        """Describe a model, which is loaded if it passes the check."""
        model = _mapped(descriptors, reader.number())
        name, method = reader.text(), reader.text() or None
        try:
            description = describe_if_admitted(model, name, method)
        except ModelError as error:
            refusal = NnError(ErrorCode.INVALID_ENCODING, str(error))
        else:
            return _success().blob(spelled(description))
        raise refusal

    def context(self, reader: Reader, _: list[int]) -> Writer:
        """Make a context."""
        loaded = self._graphs[reader.number()]
        number = self._number()
        self._contexts[number] = (loaded.context(), loaded.device)
        return _success().number(number)

    def compute(self, reader: Reader, _: list[int]) -> Writer:
        """Compute once; small outputs are part of the answer."""
        context, device = self._contexts[reader.number()]
        lent: list[Share] = []
        try:
            inputs = [self._input(reader, device, lent) for _ in range(reader.number())]
            outputs = context.compute(inputs)
        finally:
            for share in lent:
                share.drop()
        require_expressible(outputs)
        answer, room = _success().number(len(outputs)), MOST_INLINE
        for name, output in outputs:
            room -= self._write(name, output, answer, room)
        return answer

    def fetch(self, reader: Reader, _: list[int]) -> Writer:
        """Copy a tensor from its device to the memory of this process."""
        content = self._tensors[reader.number()].content
        if not isinstance(content, DeviceTensor):
            raise TypeError("it is not a tensor of this worker")
        copy = content.copy(CPU, "that is read")
        number = self._number()
        self._tensors[number] = Share.of(copy)
        return _success().number(number, copy.address)

    def share(self, reader: Reader, descriptors: list[int]) -> None:
        """Map a block."""
        number, size = reader.numbers(2)
        self._blocks[number] = torch.frombuffer(_mapped(descriptors, size), dtype=torch.uint8)

    def drop_graph(self, reader: Reader, _: list[int]) -> None:
        """Free a graph."""
        self._graphs.pop(reader.number(), None)

    def drop_context(self, reader: Reader, _: list[int]) -> None:
        """Free a context."""
        self._contexts.pop(reader.number(), None)

    def drop_tensor(self, reader: Reader, _: list[int]) -> None:
        """Free a tensor."""
        tensor = self._tensors.pop(reader.number(), None)
        if tensor is not None:
            tensor.drop()

    def drop_block(self, reader: Reader, _: list[int]) -> None:
        """Unmap a block."""
        self._blocks.pop(reader.number(), None)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _input(self, reader: Reader, device: torch.device, lent: list[Share]) -> NamedTensor:
        header, carrier = read_header(reader), Carrier(reader.byte())
        if carrier is Carrier.INLINE:
            content: Tensor = DeviceTensor.from_guest(header.dimensions, header.dtype, reader.blob(), self._memory)
        elif carrier is Carrier.BLOCK:
            content = self._in_block(header, reader, device, lent)
        elif carrier is Carrier.TAKEN:
            content = self._tensors.pop(reader.number())
        else:
            content = self._tensors[reader.number()].another()
        return header.name, content

    def _in_block(self, header: TensorHeader, reader: Reader, device: torch.device, lent: list[Share]) -> Tensor:
        """A tensor in a block, which is the host's: one more share of it keeps a computation from writing to it."""
        block = self._blocks[reader.numbers(2)[0]]
        tensor = torch.empty(0, dtype=DTYPES[header.dtype]).set_(block.untyped_storage(), 0, header.dimensions, ())
        content = DeviceTensor(tensor, header.dimensions, header.dtype, place_of(CPU), self._memory, is_borrowed=True)
        if device != CPU:
            return content.copy(device, header.name)
        share = Share.of(content)
        lent.append(share)
        return share.another()

    def _write(self, name: str, output: Tensor, answer: Writer, room: int) -> int:
        """Add an output to an answer; returns how many bytes of elements were added."""
        answer.tensor(name, output.dtype, output.dimensions)
        source = output.data()
        address = _address(output.content)
        if address is not None and source.nbytes <= min(INLINE, room):
            elements = bytearray(source.nbytes)
            source.write_into(memoryview(elements))
            answer.byte(Carrier.INLINE).blob(elements)
            output.drop()
            return source.nbytes
        number = self._number()
        self._tensors[number] = Share.of(output)
        answer.byte(Carrier.HELD).number(number, address or 0)
        return 0


def _address(content: Tensor) -> int | None:
    """Where the elements of a tensor are in this process; None if they are on a device."""
    if isinstance(content, DeviceTensor):
        return content.address if content.place == place_of(CPU) else None
    if not isinstance(content, SharesMemory):
        raise TypeError(f"the memory of {type(content).__name__} cannot be read")
    return int(from_dlpack(content).data_ptr())


def _mapped(descriptors: list[int], size: int) -> memoryview:
    """The memory of the only descriptor, which is closed."""
    [descriptor] = descriptors
    try:
        return mapped(descriptor, size) if size else memoryview(b"")
    finally:
        os.close(descriptor)


def _success() -> Writer:
    return Writer().byte(0)


_ANSWERS: dict[Request, Callable[[_Worker, Reader, list[int]], Writer]] = {
    Request.LOAD: _Worker.load,
    Request.DESCRIBE: _Worker.describe,
    Request.CONTEXT: _Worker.context,
    Request.COMPUTE: _Worker.compute,
    Request.FETCH: _Worker.fetch,
}
_SILENT: dict[Request, Callable[[_Worker, Reader, list[int]], None]] = {
    Request.SHARE: _Worker.share,
    Request.DROP_GRAPH: _Worker.drop_graph,
    Request.DROP_CONTEXT: _Worker.drop_context,
    Request.DROP_TENSOR: _Worker.drop_tensor,
    Request.DROP_BLOCK: _Worker.drop_block,
}
