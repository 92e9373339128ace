"""Tensors whose residency is always known: they move by explicit, counted steps, and go free when they are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.dlpack import to_dlpack  # type: ignore[attr-defined]  # it is public, as its documentation says

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.ledger import STAGING, Transfer
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import place_of
from wasi_nn_torch.pytorch.dimensions import misfit_of, spell_dimensions
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES, nameable_dtype
from wasi_nn_torch.pytorch.fitting import require_values
from wasi_nn_torch.pytorch.freeing import free_pages
from wasi_nn_torch.pytorch.ownership import independent, is_sole_owner
from wasi_nn_torch.pytorch.staging import SessionMemory
from wit_host import copy_from_address, copy_to_address, view_memory, view_of

_DLPACK_CPU = (1, 0)


class DeviceTensor:
    """One tensor of a session: in the host's staging memory or on one device.

    Made by `from_guest`, `from_bytes`, `from_operator` and `from_output`. Its owner calls `drop`, which frees the
    memory at once; nothing else in the host keeps a reference to it, unless the operator lent it. Not for use by
    several threads at a time.
    """

    __slots__ = (
        "__weakref__",
        "_counted",
        "_dimensions",
        "_dtype",
        "_is_lent",
        "_is_staged",
        "_made_as",
        "_memory",
        "_misfit",
        "_place",
        "_tensor",
    )

    def __init__(
        self,
        tensor: torch.Tensor,
        dimensions: tuple[int, ...],
        dtype: ElementType,
        place: str,
        memory: SessionMemory,
        misfit: str | None = None,
        is_staged: bool = False,
        is_borrowed: bool = False,
        transfer: Transfer | None = None,
        is_lent: bool = False,
        made_as: torch.dtype | None = None,
    ) -> None:
        self._tensor: torch.Tensor | None = tensor
        self._dimensions = dimensions
        self._dtype = dtype
        self._place = place
        self._memory = memory
        self._misfit = misfit
        self._is_staged = is_staged  # whether the storage came from `memory.staging`
        self._is_lent = is_lent  # whether it is the memory of the operator, which is only read
        self._made_as = made_as  # the dtype that the model gave it, if wasi-nn cannot name that
        self._counted = 0 if is_borrowed else tensor.nbytes  # borrowed memory is counted by its owner
        memory.ledger.enter(self, place, self._counted, transfer)  # with the copy that made it

    @classmethod
    def from_guest(
        cls, dimensions: Sequence[int], dtype: ElementType, data: memoryview, memory: SessionMemory
    ) -> DeviceTensor:
        """Copy a guest's bytes, once, into staging memory (`tensor.constructor` of wasi-nn); see `from_bytes`."""
        return cls.from_bytes(dimensions, dtype, data, memory, Transfer.GUEST_TO_HOST)

    @classmethod
    def from_bytes(
        cls,
        dimensions: Sequence[int],
        dtype: ElementType,
        data: memoryview,
        memory: SessionMemory,
        transfer: Transfer | None = None,
    ) -> DeviceTensor:
        """Copy bytes, once, into staging memory; the copy counts as a `transfer` if that is given.

        `data` holds the elements little-endian, row-major and without gaps. Dimensions that do not fit it are
        remembered, and refused by the first operation that needs the content, since the constructor of wasi-nn cannot
        fail. Raises NnError `too-large` only, if a limit of the session, for staging memory or tensors, is exceeded.
        """
        shape = tuple(dimensions)
        size = data.nbytes
        misfit = misfit_of(shape, dtype, size)
        memory.ledger.grant_tensor(STAGING, size, "a new tensor")
        if misfit is None:
            tensor = memory.staged(shape, DTYPES[dtype], size)
        else:
            tensor = memory.staged((size,), torch.uint8, size)
        if size:
            copy_to_address(tensor.data_ptr(), data)
        return cls(tensor, shape, dtype, STAGING, memory, misfit, is_staged=True, transfer=transfer)

    @classmethod
    def from_operator(cls, lent: torch.Tensor, memory: SessionMemory) -> DeviceTensor:
        """A tensor on the memory of the operator's tensor `lent`, which has a dtype that wasi-nn can name.

        Nothing in the session writes to the memory. It counts as staging if it is on the CPU, or else on its device.
        Raises NnError `too-large` if a limit of the session is exceeded.
        """
        place = STAGING if lent.device.type == "cpu" else place_of(lent.device)
        memory.ledger.grant_one_more("a new tensor")
        memory.ledger.grant(place, lent.nbytes, "a new tensor")
        return cls(lent, tuple(lent.shape), ELEMENT_TYPES[lent.dtype], place, memory, is_lent=True)

    @classmethod
    def staged_copy(cls, content: Tensor, memory: SessionMemory) -> DeviceTensor:
        """Copy the elements of another tensor of the session, once, into staging memory.

        Raises NnError `too-large` if a limit of the session is exceeded.
        """
        source, ledger = content.data(), memory.ledger
        what = "the copy of a tensor for a guest-supplied model"
        ledger.grant_tensor(STAGING, source.nbytes, what)
        tensor = memory.staged(content.dimensions, DTYPES[content.dtype], source.nbytes)
        source.write_into(view_memory(tensor.data_ptr(), source.nbytes))
        return cls(tensor, content.dimensions, content.dtype, STAGING, memory, is_staged=True)

    @classmethod
    def from_output(cls, name: str, output: torch.Tensor, memory: SessionMemory) -> DeviceTensor:
        """Take over an output of a graph, on the device where it is.

        The caller has the only reference to the tensor object `output`, such as a fresh `detach()`: then another
        reference to its storage is another owner, and the memory is copied so that neither sees the other's changes.
        Memory beyond the elements themselves is not kept. Rank 0 becomes `[1]`, as wasi-nn writes a scalar.

        Raises NnError `unsupported-operation` for a dtype that wasi-nn cannot name, and `too-large` if a limit of the
        session is exceeded.
        """
        ledger = memory.ledger
        ledger.grant_one_more("output", name)
        dtype, place = nameable_dtype(output, name), place_of(output.device)
        ledger.grant(place, output.numel() * dtype.itemsize, "output", name)  # before a copy takes the memory
        tensor = independent(output if output.dtype is dtype else output.to(dtype))
        if tensor.dim() == 0:
            tensor = tensor.view(1)
        made_as = None if output.dtype is dtype else output.dtype
        return cls(tensor, tuple(tensor.shape), ELEMENT_TYPES[tensor.dtype], place, memory, made_as=made_as)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The size of each dimension, outermost first, as the guest gave them or as the graph made them."""
        return self._dimensions

    @property
    def dtype(self) -> ElementType:
        """The type of the elements."""
        return self._dtype

    @property
    def origin(self) -> SessionMemory:
        """The memory of the session that the tensor belongs to."""
        return self._memory

    @property
    def content(self) -> DeviceTensor:
        """The tensor itself."""
        return self

    def take_if_last(self) -> DeviceTensor | None:
        """The tensor itself, which has one owner; None if the operator lent the memory, and so owns it as well."""
        return None if self._is_lent else self

    @property
    def made_as(self) -> torch.dtype:
        """The dtype that the model gave an output, also if wasi-nn cannot name it; else that of the elements."""
        return self._made_as or DTYPES[self._dtype]

    @property
    def place(self) -> str:
        """The place of the memory, as the ledger names it: a device, or `STAGING`."""
        return self._place

    @property
    def address(self) -> int:
        """Where the memory is in this process, or on its device."""
        return self._content().data_ptr()

    def require_fit(self, name: str) -> None:
        """Raise NnError `invalid-argument` if the bytes given for the tensor `name` do not fill its dimensions."""
        if self._misfit is not None:
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} {self._misfit}")

    def on(self, device: torch.device, name: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Move to `device`, unless already there, and return the memory; the old copy is freed at once.

        `device` has an index if it is an accelerator. If `dtype` is not that of the elements, a converted copy is
        returned, and this tensor keeps its own. The caller keeps no reference beyond the operation. Raises
        NnError `invalid-argument` if the content does not fit its dimensions, or the `dtype` (see `require_values`),
        and `too-large` if the session's limit is exceeded.
        """
        self.require_fit(name)
        tensor = self._content()
        if dtype is not None and tensor.dtype is not dtype:
            require_values(tensor, dtype, name)  # before the move, so that nothing waits for a device
            del tensor
            return self.on(device, name).to(dtype)
        place = place_of(device)
        if self._place == place:
            return tensor.detach()
        ledger = self._memory.ledger
        ledger.grant(place, tensor.nbytes, "tensor", name)
        left = None
        if tensor.device != device:
            way, left = _way(tensor.device, device), tensor
            # From pinned memory the host need not wait: PyTorch keeps it until the copy has ended, even if it is freed.
            tensor = tensor.to(device, non_blocking=self._is_staged and self._memory.staging.pinned)
            ledger.record_transfer(way, tensor.nbytes)
        ledger.move(self._place, place, tensor.nbytes)
        self._tensor, self._place = tensor, place
        if left is not None:
            self._release(left)
            self._is_lent = False
        # A separate tensor object, so that a model that keeps it counts as another owner of the memory.
        return tensor.detach()

    def scalar(self, name: str) -> int | float:
        """The value of the only element; raises NnError `invalid-argument` if there is not exactly one."""
        self.require_fit(name)
        tensor = self._content()
        if tensor.numel() != 1:
            shape = spell_dimensions(self._dimensions)
            raise NnError(ErrorCode.INVALID_ARGUMENT, f"tensor {quote(name)} is {shape}; expected one element, as [1]")
        self._count_download(tensor)
        return tensor.item()

    def data(self) -> TensorBytes:
        """The elements, ready to be written to the guest (`tensor.data` of wasi-nn); copies nothing yet."""
        return TensorBytes(self, self._content().nbytes)

    def take(self, is_last: bool) -> torch.Tensor:
        """The elements as a tensor that the session does not use any more once this one is dropped.

        `is_last` is whether the caller is the only holder of this tensor. The memory is that of this tensor if it has
        no other user, or if it was lent and PyTorch allocated it; else it is a copy on the same device.
        """
        tensor = self._content().resolve_neg()
        with torch.inference_mode(False):  # outputs are made in that mode, and could not be changed outside of it
            if not self._may_be_taken(tensor, is_last):
                return tensor.clone()
            way = tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride()
            return torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(*way)

    def view_to_keep(self) -> memoryview | None:
        """The elements where they lie in the host's memory, which the view keeps when this tensor is dropped.

        None if they are not there without gaps, or if the memory has another user.
        """
        tensor = self._content()
        is_plain = tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_neg() and tensor.nbytes > 0
        if self._is_lent or not is_plain or not self._may_be_taken(tensor, is_last=True):
            return None
        # Not the tensor, or nothing would tell `drop` that the memory is still in use.
        return view_of(tensor.untyped_storage(), tensor.data_ptr(), tensor.nbytes)

    def copy(self, device: torch.device, name: str) -> DeviceTensor:
        """Make a separate tensor with the same elements on `device`; this one stays in its place.

        Raises NnError `invalid-argument` if the content does not fit, and `too-large` if a limit of the session is
        exceeded.
        """
        self.require_fit(name)
        tensor, place = self._content(), place_of(device)
        ledger = self._memory.ledger
        ledger.grant_tensor(place, tensor.nbytes, "the copy of a tensor that is still in use", name)
        if tensor.device != device:
            ledger.record_transfer(_way(tensor.device, device), tensor.nbytes)
        copied = torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
        return DeviceTensor(copied, self._dimensions, self._dtype, place, self._memory)

    def __dlpack__(self, **options: Any) -> object:  # noqa: ANN401  # those of the Python array API standard
        """A DLPack capsule of the memory; raises NnError `invalid-argument` if the content does not fit."""
        self.require_fit("that is shared")
        shared = self._content().detach()
        if options or shared.device.type != "cpu":
            return shared.__dlpack__(**options)
        return to_dlpack(shared)  # which is faster

    def __dlpack_device__(self) -> tuple[int, int]:
        """The DLPack device of the memory."""
        tensor = self._content()
        if tensor.device.type == "cpu" and not self._memory.staging.pinned:
            return _DLPACK_CPU  # which takes PyTorch several steps
        kind, index = tensor.__dlpack_device__()
        return int(kind), index

    def drop(self) -> None:
        """Free the memory now; a second call does nothing."""
        tensor, self._tensor = self._tensor, None
        if tensor is not None:
            self._memory.ledger.leave(self, self._place, self._counted)
            self._release(tensor)

    def __del__(self) -> None:
        self.drop()

    def __repr__(self) -> str:
        state = "dropped" if self._tensor is None else f"on {self._place}"
        return f"<DeviceTensor {self._dtype.spelling} {spell_dimensions(self._dimensions)} {state}>"

    def _may_be_taken(self, tensor: torch.Tensor, is_last: bool) -> bool:
        """Whether the operator may have the memory itself: nothing but this tensor uses it, or it is the operator's."""
        if self._is_lent:
            # The memory of other libraries may be for reading only.
            return tensor.untyped_storage().resizable()
        is_in_worker = self._is_staged and self._memory.staging.is_shared
        return is_last and not is_in_worker and is_sole_owner(tensor)

    def _release(self, left: torch.Tensor) -> None:
        """Release memory that this tensor had; staging memory is reused."""
        if self._is_staged:
            self._is_staged = False
            if self._memory.staging.reuse(left):
                return
        free_pages(left)

    def _content(self) -> torch.Tensor:
        if self._tensor is None:
            raise RuntimeError("this tensor was dropped; the host must not use it any more")
        return self._tensor

    def _count_download(self, tensor: torch.Tensor) -> None:
        if tensor.device.type != "cpu":
            self._memory.ledger.record_transfer(Transfer.DEVICE_TO_HOST, tensor.nbytes)


@dataclass(slots=True)  # `frozen` would make it take several times as long to make
class TensorBytes:
    """The elements of a tensor as `nbytes` bytes: little-endian, row-major, without gaps.

    Refers to the tensor, not to its memory, so that it keeps nothing alive after the tensor's `drop`.
    """

    _source: DeviceTensor
    nbytes: int

    def write_into(self, destination: memoryview) -> None:
        """Copy the elements, once, into a writable buffer of exactly `nbytes` bytes."""
        tensor = self._source._content()
        if destination.nbytes != self.nbytes:
            raise ValueError(f"the destination has {destination.nbytes} bytes; the tensor has {self.nbytes}")
        if self.nbytes == 0:  # PyTorch takes no empty buffers
            return
        if tensor.device.type == "cpu" and tensor.is_contiguous() and not tensor.is_neg():
            # Faster than the copy of PyTorch, by a third for what the caches hold; other threads go on meanwhile.
            copy_from_address(destination, tensor.data_ptr())
        else:
            torch.frombuffer(destination, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)
        self._source._count_download(tensor)


def _way(source: torch.device, target: torch.device) -> Transfer:
    if source.type == "cpu":
        return Transfer.HOST_TO_DEVICE
    return Transfer.DEVICE_TO_HOST if target.type == "cpu" else Transfer.DEVICE_TO_DEVICE
