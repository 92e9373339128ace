"""Which operators a guest's model may call, and what becomes of those that decomposed programs call."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from tests.wasi_nn_torch.helpers.exported_attacks import SMALL, called
from tests.wasi_nn_torch.helpers.exported_models import PROGRAM, changed, computed, graph_of, packed, program
from tests.wasi_nn_torch.helpers.guest_models import files
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.exported.public import REPLACED
from wasi_nn_torch.pytorch.graphs.vetting.operators import exported_operators, tensor_operators, why_refused

# These are told from bytes, on whatever device.
pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]

RAW, TRAINING = "which accesses a tensor's memory by raw offsets", "which is for training"
UNINITIALIZED = "which reads uninitialized memory"
REFUSED_OF_THE_CORE = {
    "empty_strided": UNINITIALIZED,
    "resize_": UNINITIALIZED,
    "_adaptive_avg_pool2d_backward": TRAINING,
    "avg_pool2d_backward": TRAINING,
    "convolution_backward": TRAINING,
    "embedding_dense_backward": TRAINING,
    "max_pool2d_with_indices_backward": TRAINING,
    "native_group_norm_backward": TRAINING,
    "native_layer_norm_backward": TRAINING,
}
"""Of the operators that PyTorch says are enough for every model, those that ordinary ones do without, and why."""


def overloads() -> list[tuple[str, torch._ops.OpOverload]]:
    """Every `aten` operator of the installed PyTorch, with its name."""
    found = []
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, name = schema.name.partition("::")
        packet = getattr(torch.ops.aten, name, None) if namespace == "aten" else None
        overload = getattr(packet, schema.overload_name or "default", None)
        if isinstance(overload, torch._ops.OpOverload):
            found.append((name, overload))
    return found


CORE = sorted({str(overload).removeprefix("aten.") for _, overload in overloads() if torch.Tag.core in overload.tags})


def test_every_operator_of_the_core_passes_or_is_refused_for_a_reason():
    assert len(CORE) > 150
    refused = {name.partition(".")[0] for name in CORE if name not in exported_operators() | REPLACED}
    assert refused == REFUSED_OF_THE_CORE.keys()
    for name, reason in REFUSED_OF_THE_CORE.items():
        assert why_refused(name) == reason


ORDINARY = """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add addmm arange argmax avg_pool2d baddbmm batch_norm
    bilinear bmm bucketize cat cdist chunk clamp constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose2d
    copy_ cross cumsum detach_ diagonal dropout einsum embedding embedding_bag expand expand_as fft_irfftn fft_rfft2
    flatten flip fold gather gelu glu grid_sampler group_norm gru hardswish im2col index_put_ index_select instance_norm
    interpolate layer_norm linear log_softmax lstm masked_fill matmul max_pool2d meshgrid movedim multi_head_attention
    new_zeros nonzero norm one_hot pad pixel_shuffle pixel_unshuffle prelu reflection_pad2d repeat_interleave reshape
    rms_norm rnn_tanh roll rsub scaled_dot_product_attention scatter_add searchsorted select silu slice softmax split
    split_with_sizes squeeze stack stft swapaxes tile topk transpose tril type_as unbind unfold unflatten
    upsample_bicubic2d upsample_bilinear2d upsample_nearest2d view_as_complex view_as_real where zeros_like
""".split()


def test_every_operator_that_ordinary_models_are_written_with_passes():
    known = {name for name, _ in overloads()}
    missing = sorted(set(ORDINARY) - tensor_operators())
    assert [name for name in missing if name in known] == []


REFUSED_COMPOSITES = set(
    """
    _fused_rms_norm native_batch_norm ctc_loss promote_types coalesce sparse_bsc_tensor
    sparse_bsr_tensor sparse_coo_tensor sparse_csc_tensor sparse_csr_tensor to_sparse to_sparse_bsc to_sparse_bsr
    to_sparse_csc to_sparse_csr cudnn_is_acceptable fbgemm_linear_fp16_weight fbgemm_linear_fp16_weight_fp32_activation
    fbgemm_linear_int8_weight fbgemm_linear_int8_weight_fp32_activation fbgemm_linear_quantize_weight
    fbgemm_pack_gemm_matrix_fp16 fbgemm_pack_quantized_matrix quantized_gru_cell quantized_lstm_cell
    quantized_rnn_relu_cell quantized_rnn_tanh_cell empty pin_memory set_ set_data get_gradients
    """.split()
)
"""Of the operators that PyTorch makes of others, as `linear` and `einsum`, those that are refused for what they do."""

OF_NAMED_TENSORS = set("align_as align_tensors align_to refine_names rename rename_".split())
"""Those that are refused, too, and that only PyTorch up to 2.12 has."""


def test_what_is_made_of_other_operators_passes_unless_it_does_more_than_compute():
    refused = {
        name
        for name, overload in overloads()
        if torch._C._dispatch_has_kernel(overload.name()) and overload._can_decompose() and why_refused(name)
    }
    internal = {name for name in refused if "_backward" in name or "is internal" in str(why_refused(name))}
    assert refused - internal - OF_NAMED_TENSORS == REFUSED_COMPOSITES


class Calls(nn.Module):
    """Calls a function on its input, and on a part."""

    def __init__(self, function: Callable[..., Any], part: nn.Module | None = None) -> None:
        super().__init__()
        self.function = function
        self.part = part

    def forward(self, x: Tensor) -> object:
        return self.function(x) if self.part is None else self.function(x, self.part)


def fills(x: Tensor) -> Tensor:
    return torch.empty(2, 6).copy_(x) + x.new_empty(2, 6).fill_(1) + torch.empty_like(x).zero_()


def in_another_precision(x: Tensor, part: nn.Module) -> tuple[Tensor, Tensor]:
    with torch.autocast("cpu", enabled=False):
        exact = part(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return exact, part(x).float()


IMAGE, ROWS, SERIES = torch.rand(2, 4, 8, 8), torch.rand(2, 6), torch.rand(2, 400)
WINDOW = torch.hann_window(64)
DECOMPOSED: dict[str, tuple[nn.Module, Tensor]] = {
    "batch norm": (nn.BatchNorm2d(4), IMAGE),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), IMAGE),
    "instance norm with statistics": (nn.InstanceNorm2d(4, track_running_stats=True), IMAGE),
    "RMS norm": (nn.RMSNorm(6), ROWS),
    "weight norm": (nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), ROWS),
    "adaptive pooling": (nn.AdaptiveAvgPool2d(3), IMAGE),
    "adaptive pooling of volumes": (nn.AdaptiveAvgPool3d(2), torch.rand(1, 2, 4, 4, 4)),
    "pooling of transposed rows": (nn.AdaptiveAvgPool1d(1), torch.rand(2, 5, 4).transpose(1, 2)),
    "distances": (Calls(lambda x: torch.cdist(x, x + 1)), ROWS),
    "distances of pairs": (Calls(F.pdist), ROWS),
    "embedding bag": (Calls(lambda x, part: part((x * 9).long()), nn.EmbeddingBag(10, 4, padding_idx=2)), ROWS),
    "transform of reals": (Calls(lambda x: torch.view_as_real(torch.fft.rfft(x, norm="ortho"))), ROWS),
    "transform of reals, scaled": (Calls(lambda x: torch.fft.rfft2(x, norm="forward").abs()), IMAGE),
    "transform there and back": (Calls(lambda x: torch.fft.ifft2(torch.fft.fft2(x, norm="ortho")).real), IMAGE),
    "transform of two sides": (Calls(lambda x: torch.fft.fft(x).imag), ROWS),
    "transform to reals of another size": (Calls(lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=(8, 7))), IMAGE),
    "spectrogram": (Calls(lambda x: torch.stft(x, 64, window=WINDOW, return_complex=True).abs()), SERIES),
    "spectrogram and back": (
        Calls(lambda x: torch.istft(torch.stft(x, 64, window=WINDOW, return_complex=True), 64, window=WINDOW)),
        SERIES,
    ),
    "attention": (Calls(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True)), IMAGE),
    "PReLU": (nn.PReLU(), ROWS),
    "bilinear": (Calls(lambda x, part: part(x, x), nn.Bilinear(6, 6, 3)), ROWS),
    "memory that is filled": (Calls(fills), ROWS),
    "linear algebra": (
        Calls(lambda x: (x.det(), x.slogdet()[1], torch.linalg.svdvals(x))),
        ROWS.T @ ROWS + torch.eye(6),
    ),
    "resized": (Calls(lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic")), IMAGE),
    "padded by reflection": (Calls(lambda x: F.pad(x, (1, 1, 2, 2), mode="reflect")), IMAGE),
    "sizes to the power of two": (Calls(lambda x: x.flatten()[: x.shape[0] ** 2]), ROWS),
    "parts in a given precision": (Calls(in_another_precision, nn.Linear(6, 3)), ROWS),
}


@cache
def saved(name: str) -> dict[bool, bytes]:
    """What a model is saved as: decomposed, and as it was exported."""
    module, x = DECOMPOSED[name]
    exported = program(module, x, dynamic_shapes=({0: Dim.AUTO},))
    return {decomposed: packed(exported, decomposed=decomposed) for decomposed in (False, True)}


def called_in(data: bytes) -> set[str]:
    """The operators that a program calls."""
    return set(re.findall(r'"target": "torch\.ops\.aten\.([\w.]+)"', files(data)[PROGRAM].decode()))


@pytest.mark.parametrize("name", DECOMPOSED)
@pytest.mark.parametrize("decomposed", [False, True], ids=["as exported", "decomposed"])
def test_a_model_passes_and_computes_as_the_original(name, decomposed):
    module, x = DECOMPOSED[name]
    data = check_exported(saved(name)[decomposed])
    assert REPLACED.isdisjoint(called_in(data))
    graph = load_from_guest(data, CPU)
    (parameter,) = graph.signature.parameters
    torch.testing.assert_close(computed(graph, **{parameter.name: x}), module(x), equal_nan=True)


def test_most_of_what_is_replaced_stands_in_a_decomposed_model():
    seen = set().union(*(called_in(saved(name)[True]) for name in DECOMPOSED))
    assert {
        "_native_batch_norm_legit_no_training.default",
        "_native_batch_norm_legit.no_stats",
        "_fft_r2c.default",
        "_fft_c2c.default",
        "_fft_c2r.default",
        "_adaptive_avg_pool2d.default",
        "_adaptive_avg_pool3d.default",
        "_cdist_forward.default",
        "_pdist_forward.default",
        "as_strided.default",
    } <= seen
    assert seen & REPLACED


def with_node(target: str, inputs: dict[str, Any], outputs: int, result: str = "r0") -> bytes:
    """A program that calls an operator first, on its input, whose results are r0, r1, …, and returns one of them."""

    def change(document: dict[str, Any]) -> None:
        called(f"torch.ops.aten.{target}", **inputs)(document)
        graph = graph_of(document)
        graph["nodes"][0]["outputs"] = [{"as_tensor": {"name": f"r{number}"}} for number in range(outputs)]
        for number in range(outputs):
            graph["tensor_values"][f"r{number}"] = graph["tensor_values"]["x"]
        graph["outputs"] = [{"as_tensor": {"name": result}}]
        document["graph_module"]["signature"]["output_specs"] = [{"user_output": {"arg": graph["outputs"][0]}}]

    return changed(SMALL, change)


X, NONE = {"as_tensor": {"name": "x"}}, {"as_none": True}


def test_statistics_of_another_size_are_noticed():
    """Core ATen's own batch norm reads a weight for each channel, however many there are."""
    one = torch.ones(1)
    output, *_ = torch.ops.aten._native_batch_norm_legit_no_training(
        torch.ones(1, 4096, 2), one, one, one, one, 0.1, 1e-5
    )
    assert len(output.unique()) > 1, "PyTorch compares sizes now: no longer replace it"
    names = ("weight", "bias", "running_mean", "running_var")
    weights = dict.fromkeys(names, X)  # four elements, of which two channels need two
    numbers = {"momentum": {"as_float": 0.1}, "eps": {"as_float": 1e-5}}
    data = with_node("_native_batch_norm_legit_no_training.default", {"input": X, **weights, **numbers}, 3)
    graph = load_from_guest(check_exported(data), CPU)
    with pytest.raises(Exception, match="should contain"):
        graph.instance()(x=torch.ones(2, 2))


def test_dimensions_that_there_are_not_are_noticed():
    script = "import torch; torch.ops.aten._fft_r2c(torch.rand(4, 4), [-1000000], 0, True)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    is_noticed = ended.returncode >= 0
    assert not is_noticed or torch.__version__ < "2.10", "PyTorch compares dimensions now: no longer replace it"
    inputs = {"self": X, "dim": {"as_ints": [-1000000]}, "normalization": {"as_int": 0}, "onesided": {"as_bool": True}}
    graph = load_from_guest(check_exported(with_node("_fft_r2c.default", inputs, 1)), CPU)
    with pytest.raises(Exception, match="Dimension out of range"):
        graph.instance()(x=torch.ones(3, 2))


@pytest.mark.parametrize(
    ("target", "inputs", "outputs", "reason"),
    [
        (
            "_fft_r2c.default",
            {"normalization": {"as_int": 9}, "onesided": {"as_bool": True}},
            1,
            "the normalization of a Fourier transform is unknown",
        ),
        ("_fft_r2c.default", {"normalization": {"as_int": 0}}, 1, "`onesided` is not a constant"),
        ("_fft_c2c.default", {"normalization": {"as_int": 0}}, 1, "`forward` is not a constant"),
        ("_fft_c2r.default", {"normalization": {"as_int": 0}}, 1, "the dimensions of a Fourier transform are unknown"),
        (
            "_fft_c2r.default",
            {"dim": {"as_ints": []}, "last_dim_size": {"as_int": 2}},
            1,
            "the dimensions of a Fourier transform are unknown",
        ),
        ("empty_permuted.default", {"physical_layout": {"as_ints": [1, 0]}}, 1, "with another layout"),
        (
            "as_strided.default",
            {"self": X, "size": {"as_ints": [9, 9]}, "stride": {"as_ints": [9, 1]}},
            1,
            "raw offsets",
        ),
        ("as_strided.default", {}, 1, "raw offsets"),
        ("as_strided.default", {"self": X}, 1, "raw offsets"),
        ("empty_strided.default", {}, 1, UNINITIALIZED),
        ("resize_.default", {}, 1, UNINITIALIZED),
        ("convolution_backward.default", {}, 3, TRAINING),
        ("segment_reduce.default", {}, 1, "does not validate its arguments"),
        ("native_batch_norm.default", {}, 3, "does not check the sizes"),
        ("_cummax_helper.default", {}, 1, "does not check the sizes"),
        ("from_file.default", {}, 1, "takes a string, such as a path"),
        ("add.nothing", {}, 1, "has no such overload"),
        ("nothing.default", {}, 1, "not known to be harmless"),
    ],
)
def test_a_call_that_no_decomposition_writes_is_refused_with_its_reason(target, inputs, outputs, reason):
    with pytest.raises(NnError, match=r"graph_module\.graph\.nodes\.0") as caught:
        check_exported(with_node(target, inputs, outputs))
    assert reason in caught.value.text


def test_a_result_that_only_the_internal_has_is_refused():
    numbers = {"momentum": {"as_float": 0.1}, "eps": {"as_float": 1e-5}, "training": {"as_bool": True}}
    inputs = {"input": X, "weight": NONE, "bias": NONE, **numbers}
    check_exported(with_node("_native_batch_norm_legit.no_stats", inputs, 3))
    with pytest.raises(NnError, match="uses more than the first result"):
        check_exported(with_node("_native_batch_norm_legit.no_stats", inputs, 3, result="r1"))


@pytest.mark.parametrize(
    ("size", "stride", "offset", "passes"),
    [
        ([3, 2], [2, 1], None, True),
        ([3, 2], [2, 1], {"as_int": 0}, True),
        ([3, 2], [2, 1], {"as_int": 1}, False),
        ([3, 2], [1, 1], None, False),
        ([2, 3], [2, 1], None, False),
        ([3], [2], None, False),
    ],
)
def test_a_view_by_raw_offsets_passes_only_if_it_changes_nothing(size, stride, offset, passes):
    inputs = {"self": X, "size": {"as_ints": size}, "stride": {"as_ints": stride}}
    if offset is not None:
        inputs["storage_offset"] = offset

    def fix(document: dict[str, Any]) -> None:
        graph_of(document)["tensor_values"]["x"]["sizes"] = [{"as_int": 3}, {"as_int": 2}]

    data = changed(with_node("as_strided.default", inputs, 1), fix)
    if passes:
        nodes = graph_of(json.loads(files(check_exported(data))[PROGRAM]))["nodes"]
        assert nodes[0]["target"] == "torch.ops.aten.alias.default"
    else:
        with pytest.raises(NnError, match="raw offsets"):
            check_exported(data)


@pytest.mark.parametrize("power", [{"as_int": 9}, {"as_int": -1}, {"as_sym_int": {"as_name": "n"}}, {"as_float": 0.5}])
def test_powers_that_may_grow_without_bound_are_refused(power):
    def change(document: dict[str, Any]) -> None:
        called("_operator.pow", a={"as_int": 2}, b=power)(document)

    with pytest.raises(NnError, match="a power that is not a constant up to 8"):
        check_exported(changed(SMALL, change))
