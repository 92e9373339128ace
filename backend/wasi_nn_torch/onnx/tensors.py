"""Outputs of ONNX Runtime as tensors of a session, on the memory that it computed them in."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from wasi_nn_torch.contract.ledger import Ledger, Transfer
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.onnx.devices import CPU, Device
from wit_host import ByteSource, copy_from_address, copy_to_address, view_memory


class OrtTensor(Tensor):
    """An output: contiguous elements in memory of ONNX Runtime, which others read in place by DLPack.

    `drop` releases the only reference that this host has to the memory. Not for use by several threads at a time.
    """

    def __init__(
        self,
        value: OrtValue,
        dimensions: tuple[int, ...],
        dtype: ElementType,
        device: Device,
        ledger: Ledger,
        origin: object,
    ) -> None:
        self._value: OrtValue | None = value
        self._dimensions = dimensions
        self._dtype = dtype
        self._device = device
        self._ledger = ledger
        self._origin = origin
        self._nbytes = size_of(dimensions, dtype)
        ledger.enter(self, device.place, self._nbytes)

    @property
    def origin(self) -> object:
        """The part of a session that made the tensor."""
        return self._origin

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first; `[1]` for a scalar, as wasi-nn writes it."""
        return self._dimensions

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        return self._dtype

    @property
    def value(self) -> OrtValue:
        """The memory, for reading only."""
        if self._value is None:
            raise RuntimeError("this tensor was dropped; the host must not use it any more")
        return self._value

    @property
    def place(self) -> str:
        """The place of the memory, as the ledger names it."""
        return self._device.place

    def require_fit(self, name: str) -> None:
        """Do nothing, since an output fits its dimensions."""

    def data(self) -> ByteSource:
        """The elements, ready to be written to the guest; copies nothing yet."""
        return _Elements(self)

    def __dlpack__(self, **options: Any) -> object:  # noqa: ANN401  # those of the Python array API standard
        """A DLPack capsule of the memory, which it keeps alive."""
        return self.value.__dlpack__(stream=options.get("stream"))

    def __dlpack_device__(self) -> tuple[int, int]:
        """The DLPack device of the memory."""
        return self._device.dlpack

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        value, self._value = self._value, None
        if value is not None:
            self._ledger.leave(self, self._device.place, self._nbytes)

    def __del__(self) -> None:
        self.drop()

    def __repr__(self) -> str:
        state = "dropped" if self._value is None else f"on {self._device.place}"
        return f"<OrtTensor {self._dtype.spelling} {list(self._dimensions)} {state}>"

    def _copy_into(self, destination: memoryview) -> None:
        value = self.value
        if not self._device.is_cpu:
            value = copy_of(value, CPU)
            self._ledger.record_transfer(Transfer.DEVICE_TO_HOST, self._nbytes)
        copy_from_address(destination, value.data_ptr())


class _Elements:
    """The elements of a tensor as bytes: little-endian, row-major and without gaps."""

    __slots__ = ("_source", "nbytes")

    def __init__(self, source: OrtTensor) -> None:
        self._source = source
        self.nbytes = source._nbytes

    def write_into(self, destination: memoryview) -> None:
        """Copy the elements, once, into a writable buffer of exactly `nbytes` bytes."""
        if destination.nbytes != self.nbytes:
            raise ValueError(f"the destination has {destination.nbytes} bytes; the tensor has {self.nbytes}")
        if self.nbytes:
            self._source._copy_into(destination)


def size_of(dimensions: tuple[int, ...], dtype: ElementType) -> int:
    """The bytes of elements."""
    size = dtype.item_size
    for each in dimensions:
        size *= each
    return size


def new_value(shape: tuple[int, ...], number: int, device: Device = CPU) -> OrtValue:
    """Memory of ONNX Runtime for elements of the type with a number, whose content is undefined."""
    return OrtValue.ortvalue_from_shape_and_type(list(shape), number, device.kind, device.index)


def value_of(elements: np.ndarray[Any, Any], number: int) -> OrtValue:
    """Memory of ONNX Runtime on the CPU with these elements, whose type has this number."""
    value = new_value(elements.shape, number)
    if elements.size:
        copy_to_address(value.data_ptr(), np.ascontiguousarray(elements).reshape(-1).view("u1").data)
    return value


def detached(value: OrtValue) -> OrtValue:
    """The same memory, as a value that does not keep the other inputs and outputs of its computation alive."""
    return OrtValue.from_dlpack(value.__dlpack__())


def copy_of(value: OrtValue, device: Device) -> OrtValue:
    """A copy on a device."""
    copied = new_value(tuple(value.shape()), value.element_type(), device)
    size = copied.tensor_size_in_bytes()
    if size and value.device_name() == copied.device_name() == "cpu":
        copy_to_address(copied.data_ptr(), view_memory(value.data_ptr(), size))
    elif size:
        onnxruntime.copy_tensors([value], [copied])
    return copied
