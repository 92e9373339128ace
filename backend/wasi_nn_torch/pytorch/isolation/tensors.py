"""Tensors that stay in the memory of a worker until a guest reads them, or drops them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from wasi_nn_torch.contract.ledger import Ledger, Transfer
from wasi_nn_torch.contract.tensor import NamedTensor, Tensor
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.isolation.client import GuestWorker
from wasi_nn_torch.pytorch.isolation.messages import (
    INLINE,
    Carrier,
    Output,
    Reader,
    Request,
    TensorHeader,
    Writer,
)
from wasi_nn_torch.pytorch.isolation.reading import read_memory
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor
from wit_host import GuestTrap


class WorkerTensor:
    """One tensor in a worker; see `wasi_nn_torch.contract.Tensor`. `address` is 0 if it is on a device."""

    def __init__(self, worker: GuestWorker, output: Output, place: str, ledger: Ledger) -> None:
        self.worker = worker
        self.number = output.number
        self.address = output.address
        self._header = output.header
        self._place = place
        self._ledger = ledger
        self._is_held = True
        ledger.enter(self, place, output.header.nbytes)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first."""
        return self._header.dimensions

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        return self._header.dtype

    @property
    def origin(self) -> GuestWorker:
        """The worker that has the tensor."""
        return self.worker

    @property
    def content(self) -> WorkerTensor:
        """The tensor itself."""
        return self

    def take_if_last(self) -> WorkerTensor:
        """The tensor itself, which has one owner."""
        return self

    def require_fit(self, name: str) -> None:
        """Do nothing: the elements fit the dimensions."""

    def data(self) -> WorkerBytes:
        """The elements, ready to be read from the worker; raises GuestTrap if they are lost."""
        self._require()
        return WorkerBytes(self, self._header.nbytes)

    def read_into(self, destination: memoryview) -> None:
        """Copy the elements, once; raises GuestTrap if they are lost, and NnError if the guest's time is over."""
        self._require()
        if self.address:
            read_memory(self.worker.pid, self.address, destination)
            return
        request = Writer(Request.FETCH).number(self.number)
        copy, address = self.worker.ask(request, _two_numbers, "copying a tensor from its device")
        try:
            read_memory(self.worker.pid, address, destination)
            self._ledger.record_transfer(Transfer.DEVICE_TO_HOST, destination.nbytes)
        finally:
            self.worker.drop(Request.DROP_TENSOR, copy)

    def release(self) -> None:
        """Stop counting the tensor, which the worker has taken over."""
        if self._is_held:
            self._is_held = False
            self._ledger.leave(self, self._place, self._header.nbytes)

    def drop(self) -> None:
        """Free the memory in the worker; a second call does nothing."""
        if self._is_held:
            self.release()
            if not self.worker.has_ended:
                self.worker.drop(Request.DROP_TENSOR, self.number)

    def __del__(self) -> None:
        self.drop()

    def _require(self) -> None:
        if not self._is_held:
            raise RuntimeError("this tensor was dropped; the host must not use it any more")
        if self.worker.has_ended:
            raise GuestTrap("the tensor is lost: the process that computed it has ended")


class WorkerBytes:
    """The elements of a tensor in a worker as `nbytes` bytes: little-endian, row-major, without gaps."""

    def __init__(self, source: WorkerTensor, nbytes: int) -> None:
        self._source = source
        self.nbytes = nbytes

    def write_into(self, destination: memoryview) -> None:
        """Copy the elements, once, into a writable buffer of exactly `nbytes` bytes."""
        if destination.nbytes != self.nbytes:
            raise ValueError(f"the destination has {destination.nbytes} bytes; the tensor has {self.nbytes}")
        self._source.read_into(destination)


class SentInputs:
    """The inputs of one computation on their way to a worker; `close` drops them."""

    def __init__(self, worker: GuestWorker, memory: SessionMemory) -> None:
        self._worker = worker
        self._memory = memory
        self._kept: list[Tensor] = []
        self._taken: list[WorkerTensor] = []

    def write(self, inputs: Sequence[NamedTensor], request: Writer) -> None:
        """Add the inputs to a request; raises NnError `invalid-argument` for one that does not fit its dimensions."""
        request.number(len(inputs))
        for name, tensor in inputs:
            tensor.require_fit(name)
            request.tensor(name, tensor.dtype, tensor.dimensions)
            self._write_content(tensor, request)

    def accept(self) -> None:
        """Stop counting the tensors that the worker took over."""
        while self._taken:
            self._taken.pop().release()

    def close(self) -> None:
        """Drop everything."""
        self._taken.clear()
        while self._kept:
            self._kept.pop().drop()

    def _write_content(self, tensor: Tensor, request: Writer) -> None:
        taken = tensor.take_if_last()
        if taken is not None:
            self._kept.append(taken)
        content = tensor.content if taken is None else taken
        if content.origin is self._worker:
            held = cast(WorkerTensor, content)
            request.byte(Carrier.HELD if taken is None else Carrier.TAKEN).number(held.number)
            if taken is not None:
                self._taken.append(held)
            return
        source = content.data()
        if source.nbytes <= INLINE:
            elements = bytearray(source.nbytes)
            source.write_into(memoryview(elements))
            request.byte(Carrier.INLINE).blob(elements)
            return
        block = self._block_of(content)
        request.byte(Carrier.BLOCK).number(block, source.nbytes)

    def _block_of(self, content: Tensor) -> int:
        """The block that has the elements; they are copied to one unless they were put there at first."""
        if content.origin is self._memory:
            block = self._worker.block_at(cast(DeviceTensor, content).address)
            if block is not None:
                return block
        copied = DeviceTensor.staged_copy(content, self._memory)
        self._kept.append(copied)
        block = self._worker.block_at(copied.address)
        if block is None:
            raise RuntimeError("staging memory is not shared with the worker")
        return block


def outputs_of(outputs: Sequence[Output], worker: GuestWorker, place: str, memory: SessionMemory) -> list[NamedTensor]:
    """The outputs of a computation as tensors of the session.

    Raises NnError `too-large` if a limit is exceeded; then all are dropped.
    """
    received: list[NamedTensor] = []
    rest = list(outputs)
    try:
        while rest:
            received.append((rest[0].header.name, _received(rest[0], worker, place, memory)))
            rest.pop(0)
    except BaseException:
        for _, tensor in received:
            tensor.drop()
        for output in rest:
            if output.content is None:
                worker.drop(Request.DROP_TENSOR, output.number)
        raise
    return received


def _received(output: Output, worker: GuestWorker, place: str, memory: SessionMemory) -> Tensor:
    header, ledger = output.header, memory.ledger
    if output.content is not None:
        return DeviceTensor.from_output(header.name, _tensor(header, output.content), memory)
    ledger.grant_one_more("output", header.name)
    ledger.grant(place, header.nbytes, "output", header.name)
    return WorkerTensor(worker, output, place, ledger)


def _tensor(header: TensorHeader, content: memoryview) -> torch.Tensor:
    """A tensor of its own memory."""
    dtype = DTYPES[header.dtype]
    if not header.nbytes:
        return torch.empty(header.dimensions, dtype=dtype)
    return torch.empty(0, dtype=dtype).set_(
        torch.frombuffer(bytearray(content), dtype=torch.uint8).untyped_storage(), 0, header.dimensions, ()
    )


def _two_numbers(reader: Reader) -> tuple[int, int]:
    first, second = reader.numbers(2)
    reader.end()
    return first, second
