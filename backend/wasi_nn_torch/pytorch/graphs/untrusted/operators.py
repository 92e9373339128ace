"""Which operators a guest's model may call: those that can do nothing but compute new values.

The operators come from PyTorch itself, so that a new release needs no new table: one passes if everything that it takes
is of a harmless kind. The tables below hold the exceptions, each group with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import torch


def _words(*groups: str) -> frozenset[str]:
    return frozenset(word for group in groups for word in group.split())


#: What an operator may take. Not here: strings (which may be paths), storages, streams, futures, remote references and
#: custom classes.
_HARMLESS_KINDS = _words(
    """AnyEnumType AnyType BoolType ComplexType DeviceObjType DictType FloatType GeneratorType IntType ListType
    NumberType OptionalType TensorType TupleType VarType"""
)

#: The string names a mode or a reduction, and PyTorch knows all valid ones.
_STRING_IS_A_MODE = _words(
    """__interpolate __upsample _convolution_mode conv1d conv2d conv3d div div_ divide divide_ einsum fft_fft fft_fft2
    fft_fftn fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ihfft fft_ihfft2 fft_ihfftn fft_irfft
    fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn gelu gelu_ index_reduce index_reduce_ linalg_cond linalg_eigh
    linalg_eigvalsh linalg_lstsq linalg_matrix_norm linalg_norm linalg_qr linalg_svd linalg_svdvals meshgrid nanquantile
    pad pad_sequence quantile scatter scatter_ scatter_reduce scatter_reduce_ searchsorted stft"""
)

#: The string is a value: an element, a key or a text in memory. `device` only names a device. `warn` is all over
#: `torch.nn.functional`: its text reaches the host's log through Python's `warnings`.
_STRING_IS_A_VALUE = _words(
    """Delete Float Int __contains__ __getitem__ _set_item add any capitalize center clear copy count device dict
    endswith eq expandtabs find format ge get get_autocast_dtype gt index isalnum isalpha isdecimal isdigit isidentifier
    islower isnumeric isprintable isspace istitle isupper items join keys le len list ljust lower lstrip lt ne ord
    partition percentFormat pop popitem remove replace rfind rindex rjust rpartition rsplit rstrip setdefault slice sort
    sorted split splitlines startswith strip swapcase title update upper values warn zfill"""
)

#: PyTorch calls these from inside, after it has looked at their arguments; so only those are here that look themselves,
#: or that ordinary models of TorchScript cannot do without.
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

#: What exporting writes beside what a model calls: checks, names for ordinary operators, and what these are made of.
_EXPORTED_ONLY = _words(
    """_assert_scalar _assert_tensor_metadata _conj _conj_physical _embedding_bag _embedding_bag_forward_only _int_mm
    _is_all_true _is_any_true _linalg_det _linalg_eigh _linalg_slogdet _linalg_solve_ex _linalg_svd
    _local_scalar_dense _logcumsumexp _neg_view _prelu_kernel _safe_softmax _stack _trilinear _unsafe_index
    _unsafe_index_put _unsafe_masked_index _unsafe_view"""
)

#: Memory that nobody cleared holds what another guest left there. Ordinary models use it in training only.
UNCLEARED = _words(
    """empty empty_like empty_permuted empty_quantized empty_strided new_empty new_empty_strided resize resize_
    resize_as resize_as_ resize_as_sparse resize_as_sparse_"""
)

_REFUSED: Mapping[frozenset[str], str] = {
    UNCLEARED: "which reads memory that nobody cleared",
    _words(
        "as_strided as_strided_ as_strided_copy as_strided_scatter set set_ set_data _reshape_alias _reshape_alias_copy"
    ): "which reaches by raw offsets what shares a tensor's memory",
    _words(
        """native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _batch_norm_no_update _batch_norm_with_update
        _batch_norm_with_update_functional _fused_rms_norm _weight_norm_interface _fft_c2c _fft_c2r _fft_r2c
        _adaptive_avg_pool2d _adaptive_avg_pool3d _cdist_forward _pdist_forward _cummax_helper _cummin_helper
        _scaled_dot_product_flash_attention_for_cpu"""
    ): "which does not compare the sizes of what it is given; its public name does",
    _words(
        "segment_reduce ctc_loss _ctc_loss promote_types __round_to_zero_floordiv"
    ): "which does not look at its arguments, and which models do without",
    _words("coalesce indices to_sparse to_sparse_bsc to_sparse_bsr to_sparse_csc to_sparse_csr"): (
        "which is for sparse tensors, whose indices are not looked at"
    ),
    _words("initial_seed manual_seed seed"): "which is for the random state of the whole process",
    _words("pin_memory"): "which takes memory from the whole machine",
    _words("hash"): "which tells an address in the host's memory",
    _words("backward get_gradients grad"): "which is for training",
}
_REASONS = {name: reason for names, reason in _REFUSED.items() for name in names}
_PATTERNS = {
    re.compile(r".*_backward.*"): "which is for training",
    re.compile(r"(?:cudnn|fbgemm|miopen|mkldnn|mps|quantized)_.*|.*_overrideable"): "which is a backend's own",
    re.compile(r"sparse_.*"): "which is for sparse tensors, whose indices are not looked at",
}

#: Of PyTorch's other namespaces only `prim`, and of it what reads a property, converts a number or raises an error. Not
#: here: `Print` (the host's standard output), `id` (addresses), `rpc_*`, and what only the optimiser writes.
PRIM_OPERATORS = _words(
    """NumToTensor RaiseException StringIndex TupleIndex TupleUnpack abs data device dtype index is_cpu is_cuda is_meta
    is_mkldnn is_mps is_mtia is_nested is_quantized is_sparse is_sparse_csr is_xpu itemsize layout max min name nbytes
    requires_grad tolist type"""
)


@cache
def tensor_operators() -> frozenset[str]:
    """Return the names of the `aten` operators that a guest's model may call."""
    return frozenset(name for name in _schemas() if why_refused(name) is None)


@cache
def exported_operators() -> frozenset[str]:
    """Return the `aten` operators that a guest's exported program may call, with the overload: "add.Tensor"."""
    return frozenset(
        f"{name}.{schema.overload_name or 'default'}"
        for name, schemas in _schemas().items()
        if why_refused(name) is None or name in _EXPORTED_ONLY
        for schema in schemas
    )


def is_refused_operator(name: str) -> bool:
    """Whether `name` is an `aten` operator that may not be called; a method of that name may not be called either."""
    return name in _schemas() and name not in tensor_operators()


@cache
def why_refused(name: str) -> str | None:
    """Return why an `aten` operator may not be called, as the end of a sentence, or None if it may be.

    A name that is no operator's is refused as one that is not known.
    """
    if name not in _schemas():
        return "which is not known to be harmless"
    if name in _REASONS:
        return _REASONS[name]
    for pattern, reason in _PATTERNS.items():
        if pattern.fullmatch(name):
            return reason
    if name.startswith("_") and name not in _INTERNAL:
        return "which PyTorch calls from inside, after it has looked at the arguments"
    kinds = {kind for schema in _schemas()[name] for argument in schema.arguments for kind in _kinds(argument.type)}
    if name in _STRING_IS_A_MODE or name in _STRING_IS_A_VALUE:
        kinds.discard("StringType")
    if "StringType" in kinds - _HARMLESS_KINDS:
        return "which takes a text, such as a path"
    return None if kinds <= _HARMLESS_KINDS else "which takes more than tensors and numbers"


@cache
def _schemas() -> dict[str, list[torch._C.FunctionSchema]]:
    """Return every `aten` operator with its overloads."""
    found: dict[str, list[torch._C.FunctionSchema]] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        if namespace == "aten":
            found.setdefault(name, []).append(schema)
    return found


def _kinds(argument_type: Any) -> Iterator[str]:  # noqa: ANN401  # PyTorch's stubs have no common type with these methods
    """Yield the kind of a type and of all that it contains."""
    yield argument_type.kind()
    for contained in argument_type.containedTypes():
        yield from _kinds(contained)
