"""Taking over the inputs of a computation, whichever backend made them."""

from __future__ import annotations

import logging
from typing import cast

import torch
from torch.utils.dlpack import from_dlpack

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.tensor import SharesMemory, Tensor, read_bytes
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor

logger = logging.getLogger(__name__)


class Adopted:
    """The inputs of one computation on `device`; `writes` is whether the computation may write to them.

    An input that this session made, and that has no other owner, is used as it is. One with other owners is only read,
    or copied if it may be written to. The memory of another backend is read in place if it offers that by DLPack, else
    copied through the host.
    """

    __slots__ = ("_borrowed", "_device", "_memory", "_owned", "_writes")

    def __init__(self, memory: SessionMemory, device: torch.device, writes: bool) -> None:
        self._memory = memory
        self._device = device
        self._writes = writes
        self._owned: list[Tensor] = []
        self._borrowed: list[Tensor] = []

    def adopt(self, tensor: Tensor, name: str, is_moved: bool) -> DeviceTensor:
        """The input `name`; `is_moved` is whether the computation needs it on its device.

        Raises NnError `too-large` if a copy would pass a limit of the session, `invalid-argument` if the content of
        another backend's tensor does not fit its dimensions, and for a tensor of another session.
        """
        taken = tensor.take_if_last()
        if taken is not None:
            self._owned.append(taken)
        content = tensor.content if taken is None else taken
        if content.origin is not self._memory:
            return self._from_another_backend(content, name, is_moved, is_shared=taken is None)
        own = cast(DeviceTensor, content)
        if taken is None and self._writes and is_moved:
            return self._copy(own, name)
        return own

    def release(self) -> None:
        """Drop what outputs may take over: an output on the memory of an input is then its only owner."""
        while self._owned:
            self._owned.pop().drop()

    def drop(self) -> None:
        """Drop everything."""
        self.release()
        while self._borrowed:
            self._borrowed.pop().drop()

    def _from_another_backend(self, content: Tensor, name: str, is_moved: bool, is_shared: bool) -> DeviceTensor:
        if isinstance(content, DeviceTensor):
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} belongs to another session")
        content.require_fit(name)
        view = _view(content, self._memory)
        if view is None:
            data = memoryview(read_bytes(content))
            copied = DeviceTensor.from_guest(content.dimensions, content.dtype, data, self._memory)
            self._owned.append(copied)
            return copied
        if is_moved and (self._writes or view.place != place_of(self._device)):
            self._borrowed.append(view)
            return self._copy(view, name)
        if not is_shared:  # it is dropped after the view of its memory
            self._borrowed.append(self._owned.pop())
        self._borrowed.append(view)
        return view

    def _copy(self, tensor: DeviceTensor, name: str) -> DeviceTensor:
        copied = tensor.copy(self._device, name)
        self._owned.append(copied)
        return copied


def _view(tensor: Tensor, memory: SessionMemory) -> DeviceTensor | None:
    """A tensor on the memory of another backend; None if it does not offer that, or PyTorch cannot use it."""
    if not isinstance(tensor, SharesMemory):
        return None
    try:
        shared = from_dlpack(tensor)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        logger.debug("a %s is copied through the host: %s", type(tensor).__name__, error)
        return None
    if shared.dtype is not DTYPES[tensor.dtype] or tuple(shared.shape) != tuple(tensor.dimensions):
        raise RuntimeError(
            f"{type(tensor).__name__} of {tensor.dtype.spelling} {list(tensor.dimensions)} shares memory of "
            f"{shared.dtype} {list(shared.shape)}; its backend must share what it says"
        )
    place = place_of(shared.device)
    return DeviceTensor(shared, tuple(shared.shape), tensor.dtype, place, memory, is_borrowed=True)
