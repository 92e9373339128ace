"""Tensors that the operator hands to a session, and takes out of it.

In: a tensor of PyTorch, an array that offers its memory by DLPack, or bytes. Out: a `torch.Tensor` that the session
does not use any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

import torch
from torch.utils.dlpack import from_dlpack

from wasi_nn_torch.contract.arguments import require_text, require_type, require_whole, wrong_type
from wasi_nn_torch.contract.elements import Elements
from wasi_nn_torch.contract.ledger import Transfer
from wasi_nn_torch.contract.tensor import Tensor, TensorSource
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.dimensions import misfit_of, misfit_of_elements, spell_dimensions
from wasi_nn_torch.pytorch.dtypes import DTYPES, ELEMENT_TYPES, find_dtype, spell, wider_dtype
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor
from wit_host import view_memory, view_of

_SOURCES = "a torch.Tensor, an array that offers its memory by DLPack, or bytes with `dimensions` and `dtype`"
_NAMES = ", ".join(element_type.name for element_type in ElementType)


def wrap(
    source: TensorSource | Elements, dimensions: Sequence[int] | None, dtype: object, memory: SessionMemory
) -> DeviceTensor:
    """Make a tensor of the session: see `wasi_nn_torch.contract.ExchangesTensors`."""
    if isinstance(source, Elements):
        return DeviceTensor.from_operator(_of_rank(_of_elements(source)), memory)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(memoryview(source), dimensions, dtype, memory)
    if dimensions is not None or dtype is not None:
        raise TypeError(
            f"`dimensions` and `dtype` are for bytes, and a value of type {type(source).__name__} has its own: "
            "convert it before"
        )
    return DeviceTensor.from_operator(_shared(source), memory)


def take(tensor: Tensor, memory: SessionMemory) -> torch.Tensor:
    """Take a tensor out of the session: see `wasi_nn_torch.contract.ExchangesTensors`."""
    last = tensor.take_if_last()
    held = tensor if last is None else last
    try:
        content = held.content
        if isinstance(content, DeviceTensor) and content.origin is memory:
            return content.take(is_last=last is not None)
        return _read(content)
    finally:
        held.drop()


def elements(tensor: Tensor, memory: SessionMemory) -> Elements:
    """Take the elements of a tensor out of the session: see `wasi_nn_torch.contract.ExchangesTensors`."""
    content = tensor.content
    made_as = content.made_as if isinstance(content, DeviceTensor) else DTYPES[content.dtype]
    if made_as.is_floating_point:
        made_as = DTYPES[content.dtype]  # half precision, for floats of 8 bits
    if tensor is content and isinstance(content, DeviceTensor) and made_as is DTYPES[content.dtype]:
        view = content.view_to_keep()  # which takes half as long as to take the tensor
        if view is not None:
            content.drop()
            return Elements(view, content.dimensions, spell(made_as))
    taken = take(tensor, memory)
    if taken.device.type != "cpu":
        memory.ledger.record_transfer(Transfer.DEVICE_TO_HOST, taken.nbytes)
    with torch.inference_mode(False):
        host = taken.to("cpu", made_as).contiguous()
    data = view_of(host, host.data_ptr(), host.nbytes) if host.nbytes else memoryview(b"")
    return Elements(data, tuple(host.shape), spell(host.dtype))


def _of_elements(source: Elements) -> torch.Tensor:
    """A tensor on the memory of elements, in a dtype that wasi-nn can name; raises ValueError if they do not fit."""
    require_type("`data` of Elements", source.data, memoryview, "a memoryview")
    dimensions = _sizes(source.dimensions)
    dtype = find_dtype(require_text("`dtype` of Elements", source.dtype))
    if dtype is None:
        raise ValueError(f"{quote(source.dtype)} is not a dtype of PyTorch")
    misfit = misfit_of_elements(dimensions, spell(dtype), dtype.itemsize, source.data.nbytes)
    if misfit is not None:
        raise ValueError(f"a tensor {misfit}")
    if not source.data.nbytes:
        return _named(torch.empty(dimensions, dtype=dtype))
    buffer = bytearray(source.data) if source.data.readonly else source.data
    tensor = torch.frombuffer(buffer, dtype=dtype)
    if tensor.data_ptr() % dtype.itemsize:
        tensor = tensor.clone()
    return _named(tensor.view(dimensions))


def _named(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor in a dtype that wasi-nn can name and that holds its values; raises ValueError if there is none."""
    if tensor.dtype is torch.uint64:
        tensor = tensor.view(torch.int64)
        if tensor.numel() and int(tensor.min()) < 0:
            raise ValueError(f"a value of uint64 is above {2**63 - 1}, the largest that wasi-nn has a type for")
    wider = wider_dtype(tensor.dtype)
    if wider is None:
        return tensor
    return tensor.view(wider) if tensor.dtype is torch.bool else tensor.to(wider)


def _from_bytes(
    data: memoryview, dimensions: Sequence[int] | None, dtype: object, memory: SessionMemory
) -> DeviceTensor:
    if dimensions is None or dtype is None:
        raise TypeError('bytes need `dimensions` and `dtype`, such as dimensions=[2, 3], dtype="FP32"')
    shape, element_type = _sizes(dimensions), _element_type(dtype)
    if not data.c_contiguous:
        raise ValueError("the bytes are not contiguous; pass a copy: bytes(…)")
    if any(size < 0 for size in shape):
        raise ValueError(f"the dimensions {spell_dimensions(shape)} have a negative size")
    misfit = misfit_of(shape, element_type, data.nbytes)
    if misfit is not None:
        raise ValueError(f"the tensor {misfit}")
    return DeviceTensor.from_bytes(shape, element_type, data.cast("B") if data.nbytes else memoryview(b""), memory)


def _sizes(dimensions: Sequence[int]) -> tuple[int, ...]:
    wanted = "whole numbers, such as [2, 3]"
    if isinstance(dimensions, str | bytes | Mapping) or not isinstance(dimensions, Iterable):
        raise wrong_type("`dimensions`", wanted, dimensions)
    return tuple(require_whole("`dimensions`", size, wanted) for size in dimensions)


def _element_type(dtype: object) -> ElementType:
    """The element type with a name of wasi-nn or PyTorch, which may be given as an object of either."""
    name = dtype.name if isinstance(dtype, Enum) else str(dtype).removeprefix("torch.")
    found = find_dtype(name)
    if found is None:
        raise ValueError(f"{quote(name)} is not a dtype; choose one of {_NAMES}")
    _require_nameable(found)
    return ELEMENT_TYPES[found]


def _shared(source: object) -> torch.Tensor:
    """A new tensor object on the memory of `source`; raises TypeError and ValueError if wasi-nn cannot express it."""
    if not isinstance(source, torch.Tensor):
        return _of_rank(_from_dlpack(source))
    if source.requires_grad:
        raise ValueError("the tensor requires a gradient, which no guest can compute; pass `tensor.detach()`")
    _require_dense(source)
    _require_nameable(source.dtype)
    try:
        plain = source.as_subclass(torch.Tensor).detach().resolve_neg()
        plain.data_ptr()
    except RuntimeError as error:
        raise TypeError(f"the elements of this {type(source).__name__} are not in memory: {error}") from None
    return _of_rank(plain)


def _require_dense(source: torch.Tensor) -> None:
    if _dispatch(type(source)) is not _dispatch(torch.Tensor):
        raise TypeError(f"{type(source).__name__} may have no memory of its own; pass a plain torch.Tensor")
    if source.is_meta:
        raise TypeError("a tensor on the device `meta` has no elements; pass one with elements")
    if source.is_nested:
        raise TypeError("a nested tensor is not dense; pass `tensor.to_padded_tensor(0)`")
    if source.layout is not torch.strided:
        raise TypeError(f"a tensor with the layout {spell(source.layout)} is not dense; pass `tensor.to_dense()`")


def _dispatch(cls: type[torch.Tensor]) -> object:
    """The function that replaces PyTorch's operators for a class of tensors; that of plain tensors replaces none."""
    return getattr(cls, "__torch_dispatch__", None)


def _require_nameable(dtype: torch.dtype) -> None:
    if dtype in ELEMENT_TYPES:
        return
    wider = wider_dtype(dtype)
    advice = f"convert to one of {_NAMES}" if wider is None else f"convert with `.to(torch.{spell(wider)})`"
    raise TypeError(f"wasi-nn has no element type for {spell(dtype)}; {advice}")


def _from_dlpack(source: object) -> torch.Tensor:
    name = type(source).__name__
    if not hasattr(source, "__dlpack__"):
        raise TypeError(f"a tensor cannot be made from a value of type {name}; pass {_SOURCES}")
    # PyTorch ends the process for a negative stride.
    if any(stride < 0 for stride in getattr(source, "strides", None) or ()):
        raise ValueError(f"the {name} is reversed (it has a negative stride), which PyTorch cannot share; pass a copy")
    try:
        shared = from_dlpack(source)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"the memory of this {name} cannot be shared: {error}") from None
    _require_nameable(shared.dtype)
    return shared


def _of_rank(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with at least one dimension, since wasi-nn writes a scalar as `[1]`."""
    return tensor.view(1) if tensor.dim() == 0 else tensor


def _read(content: Tensor) -> torch.Tensor:
    """The elements of a tensor of another backend or of a worker, in new memory."""
    with torch.inference_mode(False):
        elements = torch.empty(content.dimensions, dtype=DTYPES[content.dtype])
    source = content.data()
    if source.nbytes != elements.nbytes:
        raise RuntimeError(f"{type(content).__name__} has {source.nbytes} bytes; expected {elements.nbytes}")
    if source.nbytes:
        source.write_into(view_memory(elements.data_ptr(), source.nbytes))
    return elements
