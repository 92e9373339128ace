"""Where the models of a replica lie and run: files on its node, and the accelerators that Ray assigned to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import ray

from wasi_nn_torch.configuration.serving import Configuration
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.engine import Engine

#: The devices of PyTorch that Ray assigns as GPUs.
_GPU = re.compile(r"(?:cuda|xpu)(?::(?P<index>\d+))?", re.ASCII)
_CPU = "cpu"


def located(chosen: Configuration, directory: str) -> Configuration:
    """The configuration with paths of this node; `directory` is where it was read."""
    has_own = bool(ray.get_runtime_context().runtime_env.get("working_dir"))
    base = Path(os.getcwd() if has_own else directory)
    graphs = {
        name: replace(offered, model=offered.model._replace(path=str(base / offered.model.path)))
        for name, offered in chosen.graphs.items()
    }
    pipelines = {
        name: each if each.file is None else replace(each, guest=base / each.file)
        for name, each in chosen.pipelines.items()
    }
    return replace(chosen, graphs=graphs, pipelines=pipelines)


def placed(chosen: Configuration) -> Configuration:
    """The configuration with devices that Ray assigned to this replica; raises ValueError for any other GPU."""
    gpus = len(_gpus())
    for where, device in _devices(chosen):
        found = _GPU.fullmatch(device)
        if found is not None and int(found["index"] or 0) >= gpus:
            raise ValueError(
                f"{where} is to run on {device}, and Ray has assigned {gpus or 'no'} GPU{'' if gpus == 1 else 's'} to "
                f'this replica; give ray_actor_options={{"num_gpus": {int(found["index"] or 0) + 1}}}'
            )
    return chosen if gpus or chosen.device is not None else replace(chosen, device=_CPU)


def require_accelerator(chosen: Configuration, engine: Engine) -> None:
    """Raise ValueError if Ray assigned a GPU that PyTorch does not use."""
    if _gpus() and chosen.device is None and engine.device == _CPU:
        raise ValueError(
            "Ray has assigned a GPU to this replica, and PyTorch reports none; install PyTorch for that GPU, or set "
            '`device = "cpu"` in the configuration and give no num_gpus'
        )


def _gpus() -> list[str]:
    assigned: dict[str, list[str]] = ray.get_runtime_context().get_accelerator_ids()
    return assigned.get("GPU", [])


def _devices(chosen: Configuration) -> Iterable[tuple[str, str]]:
    if chosen.device is not None:
        yield "the server", chosen.device
    for name, offered in chosen.graphs.items():
        if offered.model.device is not None:
            yield f"the graph {quote(name)}", offered.model.device
