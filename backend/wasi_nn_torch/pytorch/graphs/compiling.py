"""Compiling an exported program to native code, with AOTInductor: for the operator, who asks for it."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree as pytree

from wasi_nn_torch.pytorch.graphs.aoti import open_package
from wasi_nn_torch.pytorch.graphs.loading import loading
from wasi_nn_torch.pytorch.graphs.program import Program

logger = logging.getLogger(__name__)

_UNCOMPILED = (
    "an exported program that cannot be compiled ({gist}); compiling needs a C++ compiler, which the variable CXX "
    "names, and a device that AOTInductor knows; or leave out the option to compile it"
)
_BROKEN = "a compiled program that cannot be loaded ({gist}); leave out the option to compile it"


def compiled(exported: ExportedProgram, device: torch.device, name: str) -> bytes:
    """Return the package of native code for a program on `device`, which still has its sample inputs.

    This takes from seconds to minutes. Raises ModelError, which says what is missing, where it cannot be done.
    """
    started = time.perf_counter()
    logger.info("compiling %s for %s", name, device)
    exported.example_inputs = pytree.tree_map_only(
        torch.Tensor, lambda given: given.to(device), exported.example_inputs
    )
    with loading(device, name, _UNCOMPILED), tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder, "model.pt2")
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path))
        package = path.read_bytes()
    logger.info("compiling %s took %.1f s", name, time.perf_counter() - started)
    return package


def instances_of(
    program: Program, package: bytes, device: torch.device, name: str
) -> Callable[[], Callable[..., object]]:
    """Return what makes the compiled program of one context: one for all where it keeps no state.

    Native code keeps its state beside its weights, so that with a state each context has weights of its own. Raises
    ModelError, which the callee's result does too.
    """
    shell = replace(
        program,
        tensors=[None] * len(program.inputs),
        state=[],
        names={},
        outputs=[output for output in program.outputs if output.kind is OutputKind.USER_OUTPUT],
    )
    keeps_state = bool(program.state)

    def instance() -> Callable[..., object]:
        with loading(device, name, _BROKEN):
            return replace(shell, code=_Native(package, device, 1 if keeps_state else _runners())).instance()

    if keeps_state:
        return instance
    shared = instance()
    return lambda: shared


class _Native:
    """Native code that is loaded: from the inputs of the program in their order to its outputs."""

    def __init__(self, package: bytes, device: torch.device, runners: int) -> None:
        self._loader = open_package(package, device, runners).loader

    def __call__(self, *inputs: object) -> Sequence[object]:
        """Compute once; what is no tensor was fixed when the program was exported."""
        outputs: Sequence[object] = self._loader.boxed_run([each for each in inputs if isinstance(each, torch.Tensor)])
        return outputs


def _runners() -> int:
    """How many contexts may compute side by side; they share the weights."""
    return os.cpu_count() or 1
