"""Compiling an exported program to native code with AOTInductor, at the operator's request."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree as pytree

from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.pytorch.graphs.computing.program import Program
from wasi_nn_torch.pytorch.graphs.loading.aoti import open_package
from wasi_nn_torch.pytorch.graphs.loading.shared import loading

logger = logging.getLogger(__name__)

_UNCOMPILED = (
    "an exported program that cannot be compiled ({gist}); check that there is a C++ compiler, which CXX can name, and "
    "room for temporary files, and that AOTInductor supports the device; or leave out the option to compile it"
)
_BROKEN = "a compiled program that cannot be loaded ({gist}); leave out the option to compile it"


def compiled(exported: ExportedProgram, device: torch.device, name: str) -> bytes:
    """The native code of a program for `device`, as a package; the program must still have its sample inputs.

    Compiling takes seconds to minutes. Raises ModelError, which says what is missing, if it fails.
    """
    started = time.perf_counter()
    logger.info("compiling %s for %s", name, device)
    exported.example_inputs = pytree.tree_map_only(
        torch.Tensor, lambda given: given.to(device), exported.example_inputs
    )
    with loading(device, name, _UNCOMPILED), tempfile.TemporaryDirectory() as directory, torch.no_grad():
        path = Path(directory, "model.pt2")
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path))
        package = path.read_bytes()
    logger.info("compiling %s took %.1f s", name, time.perf_counter() - started)
    return package


def instances_of(
    program: Program, package: bytes, device: torch.device, name: str
) -> Callable[[], Callable[..., object]]:
    """A function that makes the compiled program for a context; a program without state is shared by all contexts.

    Native code keeps its state next to its weights, so contexts of a program with state have their own weights. Raises
    ModelError, and so does the function.
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
            return replace(shell, code=_Native(package, device, 1 if keeps_state else processors())).instance()

    if keeps_state:
        return instance
    shared = instance()
    return lambda: shared


class _Native:
    """Loaded native code: takes the inputs of the program in their order, and returns its outputs."""

    def __init__(self, package: bytes, device: torch.device, runners: int) -> None:
        self._loader = open_package(package, device, runners).loader

    def __call__(self, *inputs: object) -> Sequence[object]:
        """Compute once; inputs that are not tensors were fixed when the program was exported."""
        outputs: Sequence[object] = self._loader.boxed_run([each for each in inputs if isinstance(each, torch.Tensor)])
        return outputs
