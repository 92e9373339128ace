"""The operators that a guest-supplied model may call: those that can only compute new values.

The list of operators comes from PyTorch itself, so a new release does not need a new table: an operator passes if all
of its arguments have harmless types. The tables below list the exceptions, each group with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch


def _words(*groups: str) -> frozenset[str]:
    return frozenset(word for group in groups for word in group.split())


#: The types of arguments that are harmless. Not listed: strings (which may be paths), storages, streams, futures,
#: remote references and custom classes.
_HARMLESS_KINDS = _words(
    """AnyEnumType AnyType BoolType ComplexType DeviceObjType DictType FloatType GeneratorType IntType ListType
    NumberType OptionalType TensorType TupleType VarType"""
)

#: Operators whose string is a mode or a reduction, which PyTorch validates.
_STRING_IS_A_MODE = _words(
    """__interpolate __upsample _convolution_mode conv1d conv2d conv3d div div_ divide divide_ einsum fft_fft fft_fft2
    fft_fftn fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_ihfft2 fft_ihfftn fft_irfft
    fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn gelu gelu_ index_reduce index_reduce_ linalg_cond linalg_eigh
    linalg_eigvalsh linalg_lstsq linalg_matrix_norm linalg_norm linalg_qr linalg_svd linalg_svdvals meshgrid nanquantile
    pad pad_sequence quantile scatter scatter_ scatter_reduce scatter_reduce_ searchsorted stft"""
)

#: Operators whose string is a value: an element, a key or a text in memory. `device` only names a device. `warn` is
#: common in `torch.nn.functional`: its text reaches the host's log through Python's `warnings`.
_STRING_IS_A_VALUE = _words(
    """Delete Float Int __contains__ __getitem__ _set_item add any capitalize center clear copy count device dict
    endswith eq expandtabs find format ge get get_autocast_dtype gt index isalnum isalpha isdecimal isdigit isidentifier
    islower isnumeric isprintable isspace istitle isupper items join keys le len list ljust lower lstrip lt ne ord
    partition percentFormat pop popitem remove replace rfind rindex rjust rpartition rsplit rstrip setdefault slice sort
    sorted split splitlines startswith strip swapcase title update upper values warn zfill"""
)

#: Internal operators, which PyTorch calls after validating their arguments. Only those are listed that validate the
#: arguments themselves, or that ordinary TorchScript models need.
_INTERNAL = _words(
    """__and__ __contains__ __derive_index __getitem__ __iand__ __interpolate __ior__ __is__ __isnot__ __ixor__
    __lshift__ __not__ __or__ __range_length __rshift__ __upsample __upsample_bilinear __upsample_nearest __xor__
    _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short _convolution
    _convolution_mode _log_softmax _native_multi_head_attention _nested_tensor_from_mask
    _nested_tensor_from_mask_left_aligned _pack_padded_sequence _pad_packed_sequence _set_item _shape_as_tensor _softmax
    _to_copy _transformer_encoder_layer_fwd _unique _unique2 _unwrap_optional _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d _weight_norm"""
)

#: Operators that exporting adds to those that a model calls: checks, and other names or parts of ordinary operators.
_EXPORTED_ONLY = _words(
    """_assert_scalar _assert_tensor_metadata _conj _conj_physical _embedding_bag _embedding_bag_forward_only _int_mm
    _is_all_true _is_any_true _linalg_det _linalg_eigh _linalg_slogdet _linalg_solve_ex _linalg_svd
    _local_scalar_dense _logcumsumexp _neg_view _prelu_kernel _safe_softmax _stack _trilinear _unsafe_index
    _unsafe_index_put _unsafe_masked_index _unsafe_view"""
)

#: Operators that return uninitialized memory, which may hold data of another guest. Ordinary models use them only in
#: training.
UNINITIALIZED = _words(
    """empty empty_like empty_permuted empty_quantized empty_strided new_empty new_empty_strided resize resize_
    resize_as resize_as_ resize_as_sparse resize_as_sparse_"""
)

_REFUSED: Mapping[frozenset[str], str] = {
    UNINITIALIZED: "which reads uninitialized memory",
    _words(
        """as_strided as_strided_ as_strided_copy as_strided_scatter set set_ set_data shallow_copy_data_ _reshape_alias
        _reshape_alias_copy"""
    ): "which accesses a tensor's memory by raw offsets",
    _words(
        """native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _batch_norm_no_update _batch_norm_with_update
        _batch_norm_with_update_functional _fused_rms_norm _weight_norm_interface _fft_c2c _fft_c2r _fft_r2c
        _adaptive_avg_pool2d _adaptive_avg_pool3d _cdist_forward _pdist_forward _cummax_helper _cummin_helper
        _scaled_dot_product_flash_attention_for_cpu"""
    ): "which does not check the sizes of its arguments; call the public operator, which does",
    _words(
        "segment_reduce ctc_loss _ctc_loss promote_types __round_to_zero_floordiv"
    ): "which does not validate its arguments and is not needed by models",
    _words("coalesce indices to_sparse to_sparse_bsc to_sparse_bsr to_sparse_csc to_sparse_csr"): (
        "which is for sparse tensors, whose indices are not validated"
    ),
    _words("initial_seed manual_seed seed"): "which accesses the random state of the whole process",
    _words("align_as align_tensors"): "which is for named tensors",
    _words("pin_memory"): "which takes memory that the whole machine shares",
    _words("hash"): "which reveals an address in the host's memory",
    _words("backward get_gradients grad"): "which is for training",
}
_REASONS = {name: reason for names, reason in _REFUSED.items() for name in names}
_PATTERNS = {
    re.compile(r".*_backward.*"): "which is for training",
    re.compile(r"(?:cudnn|fbgemm|miopen|mkldnn|mps|quantized)_.*|.*_overrideable"): "which is specific to a backend",
    re.compile(r"sparse_.*"): "which is for sparse tensors, whose indices are not validated",
}

_OF_NAMED_TENSORS = re.compile(r"(?i)dimname|(?:^|_)names?(?:_|$)|^named_")

#: The operators of PyTorch's other namespaces: only those of `prim` that read a property, convert a number or raise an
#: error. Not listed: `Print` (the host's standard output), `id` (addresses), `rpc_*`, and those for the optimizer only.
PRIM_OPERATORS = _words(
    """NumToTensor RaiseException StringIndex TupleIndex TupleUnpack abs data device dtype index is_cpu is_cuda is_meta
    is_mkldnn is_mps is_mtia is_nested is_quantized is_sparse is_sparse_csr is_xpu itemsize layout max min name nbytes
    requires_grad tolist type"""
)


@cache
def tensor_operators() -> frozenset[str]:
    """The names of the `aten` operators that a guest-supplied model may call."""
    return frozenset(name for name in _schemas() if why_refused(name) is None)


@cache
def exported_operators() -> frozenset[str]:
    """The `aten` operators that a guest-supplied exported program may call, with the overload: "add.Tensor"."""
    return frozenset(
        f"{name}.{schema.overload_name or 'default'}"
        for name, schemas in _schemas().items()
        if why_refused(name) is None or name in _EXPORTED_ONLY
        for schema in schemas
    )


def is_refused_operator(name: str) -> bool:
    """Whether `name` is an `aten` operator that may not be called, nor a method with its name."""
    return name in _schemas() and name not in tensor_operators()


@cache
def why_refused(name: str) -> str | None:
    """The reason why an `aten` operator may not be called, as the end of a sentence; None if it may be.

    A name that is not an operator's is refused as unknown.
    """
    if name not in _schemas():
        return "which is not known to be harmless"
    if name in _REASONS:
        return _REASONS[name]
    for pattern, reason in _PATTERNS.items():
        if pattern.fullmatch(name):
            return reason
    if name.startswith("_") and name not in _INTERNAL:
        return "which is internal: PyTorch calls it only after validating the arguments"
    kinds = {kind for schema in _schemas()[name] for argument in schema.arguments for kind in _kinds(argument.type)}
    if name in _STRING_IS_A_MODE or name in _STRING_IS_A_VALUE:
        kinds.discard("StringType")
    if "StringType" in kinds - _HARMLESS_KINDS:
        return "which takes a string, such as a path"
    return None if kinds <= _HARMLESS_KINDS else "which takes more than tensors and numbers"


@cache
def _schemas() -> dict[str, list[torch._C.FunctionSchema]]:
    """All `aten` operators with their overloads, but those for named tensors, which PyTorch has up to 2.12."""
    found: dict[str, list[torch._C.FunctionSchema]] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "aten" and not _OF_NAMED_TENSORS.search(schema.overload_name):
            found.setdefault(name, []).append(schema)
    return found


def _kinds(argument_type: Any) -> Iterator[str]:  # noqa: ANN401  # PyTorch's stubs have no common type with these methods
    """The kind of a type, and the kinds of all types that it contains."""
    yield argument_type.kind()
    for contained in argument_type.containedTypes():
        yield from _kinds(contained)
