"""A simulated accelerator: a device with memory of its own that every machine with a C++ compiler has.

It is a PyTorch extension of ours. Its memory has a capacity, its copies are counted, it raises the real
`torch.OutOfMemoryError`, and `torch.accelerator` reports its figures; it computes on the CPU. There are two devices,
"simulated:0" and "simulated:1". Loading it changes the process for good: the accelerator of PyTorch is then this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace

import torch

from tests.simulated.building import NoCompiler, build

__all__ = [
    "CAPACITY",
    "NAME",
    "Copies",
    "Counters",
    "NoCompiler",
    "build",
    "counters",
    "load",
    "reset",
    "room_for",
    "set_capacity",
]

NAME = "simulated"
DEVICES = 2
#: The bytes that each device has, unless `set_capacity` says otherwise.
CAPACITY = 1 << 30


@dataclass(frozen=True)
class Copies:
    """Copies along one way."""

    number: int = 0
    bytes: int = 0

    def __sub__(self, earlier: Copies) -> Copies:
        return Copies(self.number - earlier.number, self.bytes - earlier.bytes)


@dataclass(frozen=True)
class Counters:
    """What all devices did: copies from and to the host, between devices and within one, and kernels."""

    h2d: Copies = Copies()
    d2h: Copies = Copies()
    d2d: Copies = Copies()
    within: Copies = Copies()
    kernels: int = 0

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters(*(getattr(self, each.name) - getattr(earlier, each.name) for each in fields(self)))


def load(library: Path | None = None) -> None:
    """Make this the process's accelerator; the second time does nothing. Raises NoCompiler where it cannot be built."""
    if hasattr(torch, NAME):
        return
    torch.ops.load_library(library or build())
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, _MODULE)
    torch.utils.generate_methods_for_privateuse1_backend()
    for device in range(DEVICES):
        set_capacity(device, CAPACITY)


def counters() -> Counters:
    """What was done since `reset`."""
    *figures, kernels = torch.ops.simulated.counters()
    return Counters(*(Copies(*pair) for pair in zip(figures[::2], figures[1::2], strict=True)), kernels)


def reset() -> None:
    """Begin to count anew: copies, kernels, and the peaks of memory."""
    torch.ops.simulated.reset_counters()
    for device in range(DEVICES):
        torch.accelerator.reset_peak_memory_stats(device)


def set_capacity(device: int | str | torch.device, size: int) -> None:
    """Give a device so many bytes of memory, and free its blocks that wait to be used again."""
    torch.ops.simulated.set_capacity(_index(device), size)


@contextmanager
def room_for(device: int | str | torch.device, size: int) -> Iterator[None]:
    """Leave `size` bytes free on a device while the block runs."""
    before = torch.ops.simulated.capacity(_index(device))
    set_capacity(device, torch.accelerator.memory_allocated(_index(device)) + size)
    try:
        yield
    finally:
        set_capacity(device, before)


def _index(device: int | str | torch.device) -> int:
    index = device if isinstance(device, int) else torch.device(device).index
    assert index is not None, f"which of the devices is `{device}`?"
    return index


#: What PyTorch expects of `torch.simulated`.
_MODULE = SimpleNamespace(
    is_available=lambda: True,
    is_initialized=lambda: True,
    device_count=lambda: DEVICES,
    current_device=lambda: torch.accelerator.current_device_index(),
    manual_seed_all=lambda seed: None,
    _is_in_bad_fork=lambda: False,
)
