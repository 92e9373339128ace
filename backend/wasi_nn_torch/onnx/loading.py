"""Loading models with ONNX Runtime."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import GraphOptimizationLevel, InferenceSession, NodeArg, RunOptions, SessionOptions

from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.onnx.batching import batched
from wasi_nn_torch.onnx.devices import Device
from wasi_nn_torch.onnx.dtypes import NAMES, TYPES
from wasi_nn_torch.onnx.failures import gist, is_out_of_memory
from wasi_nn_torch.onnx.files import file_of, parsed, require_whole, weights_of
from wasi_nn_torch.onnx.graph import OnnxGraph
from wasi_nn_torch.onnx.hazards import DOMAINS, hazard_if_optimized, hazard_of
from wasi_nn_torch.onnx.protos import nodes_of, unranked_in
from wasi_nn_torch.onnx.signature import Signature, Value
from wasi_nn_torch.onnx.warming import warm

logger = logging.getLogger(__name__)

_FATAL = 4
_SHRINK = "memory.enable_memory_arena_shrinkage"
_GRAPH_ID = "gpu_graph_id"
_ADVICE = {
    "tensor(string)": "wasi-nn has no strings; turn text into numbers before the model, such as token IDs",
    "seq": "wasi-nn has no sequences; let the model return tensors (for a classifier, convert it with zipmap=False)",
}


def load(model: Path | bytes, device: Device, name: str, options: ModelOptions, threads: int | None) -> OnnxGraph:
    """Load a model, which error texts call `name`; a file can be given by its folder.

    Raises ModelError if it cannot be used or an option is not supported, ModelTooLarge if memory does not suffice, and
    OSError if a file cannot be read.
    """
    _require_supported(options, name)
    source: str | bytes
    if isinstance(model, Path):
        file = file_of(model)
        proto = parsed(file.read_bytes(), name)
        files = [file, *weights_of(proto, file)]
        source, nbytes = str(file), sum(each.stat().st_size for each in files)
    else:
        proto = parsed(model, name)
        require_whole(proto, name)
        source, nbytes = model, len(model)
    _require_harmless(proto, options.optimize is not Optimize.NONE, name)
    graph = _loaded(source, nbytes, device, name, options.optimize, threads)
    if options.warm_up is not None:
        warm(graph, options.warm_up, name)
    if options.batch is None:
        return graph
    return batched(graph, options.batch, options.warm_up, thread_count(threads), name)


def load_vetted(model: bytes, device: Device, threads: int | None) -> OnnxGraph:
    """Load a guest-supplied model that was checked; raises ModelError, and ModelTooLarge.

    It is not optimized, since that may crash ONNX Runtime, and computes constants in any time and memory.
    """
    return _loaded(model, len(model), device, "the model", Optimize.NONE, threads)


def _loaded(
    source: str | bytes,
    nbytes: int,
    device: Device,
    name: str,
    optimize: Optimize | None,
    threads: int | None,
) -> OnnxGraph:
    engine = _engine(source, device, name, optimize, threads)
    return OnnxGraph(
        engine=engine,
        run_options=_run_options(device),
        device=device,
        signature=Signature(_values(engine.get_inputs(), "input", source, name)),
        outputs=_values(engine.get_outputs(), "output", source, name),
        nbytes=nbytes,
    )


def thread_count(threads: int | None) -> int:
    """The threads of one computation: `threads`, or else OMP_NUM_THREADS, as in PyTorch; 0 means one for each core."""
    if threads is not None:
        return threads
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isascii() and chosen.isdigit() else 0


def _require_supported(options: ModelOptions, name: str) -> None:
    if options.method is not None:
        raise ModelError(f"{name} is an ONNX model, which has no method {quote(options.method)}; leave out the option")
    if options.dtypes:
        raise ModelError(
            f"{name} is an ONNX model, which declares the types of its inputs; leave out the option dtypes"
        )
    if options.optimize is Optimize.COMPILE:
        raise ModelError(f"{name} is an ONNX model, which cannot be compiled; choose optimize=none or freeze")


def _require_harmless(model: onnx.ModelProto, is_optimized: bool, name: str) -> None:
    """Raise ModelError for what is known to end the process."""
    opset = next((each.version for each in model.opset_import if each.domain in DOMAINS), 0)
    for node in nodes_of(model):
        if node.domain not in DOMAINS or not _is_text(node):
            continue
        hazard = hazard_of(node, opset)
        if hazard is not None:
            raise ModelError(f"{name} cannot be loaded, since ONNX Runtime would crash: {hazard}")
        hazard = hazard_if_optimized(node) if is_optimized else None
        if hazard is not None:
            raise ModelError(
                f"{name} cannot be optimized, since ONNX Runtime would crash: {hazard}, or choose optimize=none"
            )


def _is_text(node: onnx.NodeProto) -> bool:
    """Whether the texts of a node are UTF-8: if not, they are bytes, and ONNX Runtime refuses the model."""
    return all(isinstance(text, str) for text in (node.op_type, *(each.name for each in node.attribute)))


def _engine(
    source: str | bytes, device: Device, name: str, optimize: Optimize | None, threads: int | None
) -> InferenceSession:
    try:
        # Without a second attempt with the same provider, which ONNX Runtime announces on the standard output.
        engine = InferenceSession(
            source, _session_options(optimize, threads), providers=device.providers, enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has no common class for its exceptions
        logger.debug("loading %s failed", name, exc_info=True)
        kind = ModelTooLarge if is_out_of_memory(error) else ModelError
        refusal = kind(f"{name} cannot be loaded on {device.place}: {gist(error)}")
    else:
        engine._model_bytes = None  # or else it keeps the model beside its own copy of the weights
        return engine
    raise refusal


def _session_options(optimize: Optimize | None, threads: int | None) -> SessionOptions:
    chosen = SessionOptions()
    chosen.log_severity_level = _FATAL  # all else is raised
    chosen.enable_cpu_mem_arena = False
    chosen.intra_op_num_threads = thread_count(threads)
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the processor
    if optimize is Optimize.NONE:
        chosen.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    return chosen


def _run_options(device: Device) -> RunOptions | None:
    """The options of each computation, if there are any."""
    if device.shrinks is None:
        return None
    chosen = RunOptions()
    chosen.add_run_config_entry(_SHRINK, device.shrinks)
    chosen.add_run_config_entry(_GRAPH_ID, "-1")  # ONNX Runtime takes 100 us to find that an option is not set
    return chosen


def _values(found: Sequence[NodeArg], what: str, source: str | bytes, name: str) -> tuple[Value, ...]:
    unranked = frozenset[str]()
    if not all(each.shape for each in found):  # ONNX Runtime shows no difference between these and scalars
        unranked = unranked_in(parsed(source if isinstance(source, bytes) else Path(source).read_bytes(), name))
    return tuple(_value(each, what, name, each.name not in unranked) for each in found)


def _value(found: NodeArg, what: str, name: str, is_ranked: bool) -> Value:
    known = TYPES.get(found.type)
    if known is None:
        advice = next((text for kind, text in _ADVICE.items() if kind in found.type), f"expected a tensor of {NAMES}")
        raise ModelError(f"{name} has the {what} {quote(found.name)} of the type {found.type}; {advice}")
    return Value(found.name, known, _shape(found.shape) if is_ranked else None)


def _shape(shape: Any) -> tuple[int | str | None, ...]:  # noqa: ANN401  # ONNX Runtime declares no types
    return tuple(size if isinstance(size, int | str) else None for size in shape)
