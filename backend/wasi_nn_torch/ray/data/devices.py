"""The device of an actor: the accelerator that Ray assigned to it, or the CPU."""

from __future__ import annotations

import os
from collections.abc import Sequence


def assigned_device() -> str:
    """The device for the accelerators that Ray assigned to this process; the CPU if there are none."""
    import ray

    if not ray.is_initialized():
        return "cpu"
    ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    return device_of(ids, os.environ.get("CUDA_VISIBLE_DEVICES"))


def device_of(assigned: Sequence[str], visible: str | None) -> str:
    """The device of the first of the `assigned` accelerators.

    PyTorch counts those that CUDA_VISIBLE_DEVICES lists. Ray sets it to those that it assigned, unless it is told not
    to touch it.
    """
    if not assigned:
        return "cpu"
    listed = [each.strip() for each in visible.split(",")] if visible else []
    if assigned[0] in listed:
        return f"cuda:{listed.index(assigned[0])}"
    return f"cuda:{assigned[0]}" if not listed and assigned[0].isdecimal() else "cuda:0"


def require_assigned(device: str, assigned: str) -> None:
    """Raise ValueError for an accelerator that Ray was not asked for."""
    if device.partition(":")[0] == "cuda" and assigned == "cpu":
        raise ValueError(
            f"the device {device} was chosen, but Ray assigned no GPU to this actor; pass `num_gpus=1` to `map_batches`"
        )
