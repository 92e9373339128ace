"""Loading AOTInductor packages, which are native code: from the operator only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.inputs.outputs import Flat
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Kind, Parameter
from wasi_nn_torch.pytorch.graphs.inputs.signature import Signature
from wasi_nn_torch.pytorch.graphs.inputs.structure import call_paths, paths_of
from wasi_nn_torch.pytorch.graphs.loading.shared import Source, loading
from wasi_nn_torch.pytorch.graphs.optimizing.steps import Steps

if TYPE_CHECKING:
    from torch.export.pt2_archive._package import AOTICompiledModel

_BROKEN = "an AOTInductor package that cannot be loaded ({gist}); compile it on this machine, with this PyTorch"


def load_as_it_is(source: Source, device: torch.device, name: str, steps: Steps) -> Graph:
    """Load a package, which cannot be optimized further; raises ModelError if freezing is required, else as `load`."""
    if steps.freeze and steps.required:
        raise ModelError(
            f"{name} is an AOTInductor package, which is already compiled; leave out the option to freeze it"
        )
    return load(source, device, name)


def load(source: Source, device: torch.device, name: str) -> Graph:
    """Load a package on `device`, which must be of the type that the package was compiled for.

    A package keeps its state next to its weights, so each context loads its own copy. Inputs are named after keyword
    arguments, or by position ("0"). Raises ModelError if the package is broken or was compiled for another type of
    device; ModelTooLarge if there is not enough memory; OSError if the package cannot be read.
    """
    package = source.read_bytes() if isinstance(source, Path) else bytes(source)

    def instance() -> _Package:
        with loading(device, name, _BROKEN):
            return _Package(package, device)

    first = instance()
    if first.kind != device.type:
        raise ModelError(f"{name} was compiled for {first.kind} and cannot run on {device}; compile it for {device}")
    size = len(package)  # mostly weights, of which each context has its own copy
    return Graph(instance, device, first.signature, size, state_nbytes=size, may_remember=True)


def open_package(package: bytes, device: torch.device, runners: int = 1) -> AOTICompiledModel:
    """Load native code on `device`; up to `runners` threads may compute at a time, with the same weights."""
    from torch._inductor.package.package import load_package  # imports a compiler, which is rarely needed

    # Native code does not check the shapes of its inputs unless this is set before the first call.
    os.environ.setdefault("AOTI_RUNTIME_CHECK_INPUTS", "1")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "model.pt2")
        path.write_bytes(package)
        index = -1 if device.index is None else device.index
        return load_package(str(path), num_runners=runners, device_index=index)


class _Package:
    """A loaded package with the state of one context."""

    def __init__(self, package: bytes, device: torch.device) -> None:
        self._model = open_package(package, device)
        taken, returned = self._model.loader.get_call_spec()[:2]
        self._inputs = [".".join(path) for path in call_paths(taken, (), {})]
        self._outputs = paths_of(returned, {})

    @property
    def kind(self) -> str:
        """The type of device that the package was compiled for."""
        return str(self._model.get_metadata()["AOTI_DEVICE_KEY"])

    @property
    def signature(self) -> Signature:
        """The inputs of the package; only its native code knows their dtypes and shapes."""
        return Signature(tuple(Parameter(name, Kind.TENSOR) for name in self._inputs))

    def __call__(self, **inputs: object) -> object:
        """Compute once."""
        given = [inputs[name] for name in self._inputs]
        results: Sequence[object] = self._model.loader.boxed_run([x for x in given if isinstance(x, torch.Tensor)])
        return Flat(zip(self._outputs, results, strict=True))
