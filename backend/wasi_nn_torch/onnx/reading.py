"""The inputs of a computation as values of ONNX Runtime: in place if they are on its device, else copied once."""

from __future__ import annotations

import logging
import math
from typing import cast

from onnxruntime import OrtValue

from wasi_nn_torch.contract.ledger import Ledger, Transfer
from wasi_nn_torch.contract.tensor import SharesMemory, Tensor, read_bytes
from wasi_nn_torch.onnx.devices import CPU, Device
from wasi_nn_torch.onnx.fitting import converted
from wasi_nn_torch.onnx.signature import Value
from wasi_nn_torch.onnx.tensors import OrtTensor, new_value, value_of
from wit_host import view_memory

logger = logging.getLogger(__name__)


class Reader:
    """Reads the inputs of one session; `copies` is the number of those that were copied within the host."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.copies = 0

    def read(self, tensor: Tensor, name: str, wanted: Value, device: Device) -> OrtValue:
        """The input `name` of a guest for an input of the model, whose memory is read until the tensor is dropped.

        Raises NnError `invalid-argument` if its content does not fit its dimensions, or those or the type do not fit
        the model, and `too-large` if a copy would exceed a limit of the session.
        """
        content = tensor.content
        content.require_fit(name)
        dimensions = _dimensions(content, wanted)
        wanted.require_shape(dimensions, name)
        if content.dtype is not wanted.type.shown or not wanted.type.is_same:
            return self._converted(content, name, wanted, dimensions)
        if dimensions == content.dimensions:
            if type(content) is OrtTensor and content.place == device.place:  # `isinstance` is slow for a protocol
                return content.value
            value = self._in_place(content, device)
            if value is not None:
                return value
        return self._copied(content, name, wanted, dimensions)

    def _in_place(self, content: Tensor, device: Device) -> OrtValue | None:
        """A value on the memory of a tensor; None if it is elsewhere, or ONNX Runtime cannot use it.

        For a computation on a device, memory of the host is copied to it by ONNX Runtime.
        """
        if not hasattr(content, "__dlpack_device__"):  # faster than a check for the protocol
            return None
        shared = cast(SharesMemory, content)
        where = shared.__dlpack_device__()
        if where not in (device.dlpack, CPU.dlpack):
            return None
        try:
            capsule = shared.__dlpack__() if where == CPU.dlpack else shared.__dlpack__(stream=device.stream)
            value = OrtValue.from_dlpack(capsule)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:  # such as a transposed tensor
            logger.debug("a %s is copied: %s", type(content).__name__, error)
            return None
        if where != device.dlpack:
            self._ledger.record_transfer(Transfer.HOST_TO_DEVICE, value.tensor_size_in_bytes())
        return value

    def _copied(self, content: Tensor, name: str, wanted: Value, dimensions: tuple[int, ...]) -> OrtValue:
        source = content.data()
        self._count(source.nbytes, name)
        value = new_value(dimensions, wanted.type.number)
        if source.nbytes:
            source.write_into(view_memory(value.data_ptr(), source.nbytes))
        return value

    def _converted(self, content: Tensor, name: str, wanted: Value, dimensions: tuple[int, ...]) -> OrtValue:
        size = math.prod(dimensions) * wanted.type.numpy.itemsize
        self._count(size, name)
        elements = converted(read_bytes(content), content.dtype, wanted.type, name)
        return value_of(elements.reshape(dimensions), wanted.type.number)

    def _count(self, nbytes: int, name: str) -> None:
        self._ledger.grant(CPU.place, nbytes, "the copy of a tensor for the model", name)
        self.copies += 1


def _dimensions(content: Tensor, wanted: Value) -> tuple[int, ...]:
    """The dimensions that the model gets: a scalar is written `[1]` or `[]` in wasi-nn, whichever the model wants."""
    given = tuple(content.dimensions)
    if wanted.shape is None or given not in ((), (1,)) or len(wanted.shape) > 1:
        return given
    return (1,) * len(wanted.shape)
