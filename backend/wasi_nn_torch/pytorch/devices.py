"""The torch devices of this host, and the execution targets of wasi-nn that they stand for."""

from __future__ import annotations

from functools import cache

import torch

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.vocabulary import ExecutionTarget

CPU = torch.device("cpu")


@cache
def place_of(device: torch.device) -> str:
    """The name under which a ledger counts the memory on `device`: "cpu", "cuda:0"."""
    return str(device)


class Devices:
    """The device that the operator chose, and the device for each target of a guest.

    `device` is a name such as "cpu" or "cuda:1", a `torch.device`, or None for the accelerator that PyTorch reports,
    or the CPU if it reports none. Raises ValueError, with a text for the operator, if there is no such device.
    """

    def __init__(self, device: str | torch.device | None = None) -> None:
        self._asked = device is not None
        self._default = _accelerator() or CPU if device is None else find_device(device)

    @property
    def default(self) -> torch.device:
        """The device that named graphs run on unless the operator chooses another one; an accelerator has its index."""
        return self._default

    def for_target(self, target: ExecutionTarget) -> torch.device:
        """The device for a guest's `execution-target` (`graph.load` of wasi-nn).

        `gpu` is the chosen accelerator, whoever makes it. Raises NnError `unsupported-operation` if there is none, and
        for `tpu`.
        """
        if target is ExecutionTarget.CPU:
            return CPU
        if target is ExecutionTarget.TPU:
            raise _unsupported(f"this host has no TPU; {self._offer()}")
        if self._default.type != "cpu":
            return self._default
        if self._asked:
            raise _unsupported(f"the operator of this host chose the CPU, so there is no GPU; {self._offer()}")
        raise _unsupported(f"this host has no GPU or other accelerator; {self._offer()}")

    def _offer(self) -> str:
        return "ask for the target cpu" if self._default.type == "cpu" else "ask for the target cpu or gpu"


def find_device(device: str | torch.device) -> torch.device:
    """The device with that name, with its index if it is an accelerator.

    Raises ValueError, with a text for the operator, if PyTorch does not know the name or this machine has no such
    device.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"`{device}` is not the name of a device; {_choices()}") from None
    if wanted.type == "cpu" and wanted.index in (None, 0):
        return CPU
    found = _accelerator()
    if found is None or wanted.type != found.type:
        raise ValueError(f"this machine has no device `{device}`; {_choices()}")
    if wanted.index is None:
        return found
    # Parsing wraps around an index that is too large for PyTorch, so only the text shows the index that was meant.
    if str(wanted) != str(device) or not 0 <= wanted.index < torch.accelerator.device_count():
        raise ValueError(f"this machine has no device `{device}`; {_choices()}")
    return wanted


def _accelerator() -> torch.device | None:
    """The accelerator that PyTorch would use now, with its index."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return None
    return torch.device(accelerator.type, torch.accelerator.current_device_index())


def _choices() -> str:
    names = ["cpu"]
    accelerator = _accelerator()
    if accelerator is not None:
        names += [f"{accelerator.type}:{index}" for index in range(torch.accelerator.device_count())]
    return "choose " + " or ".join(names)


def _unsupported(text: str) -> NnError:
    return NnError(ErrorCode.UNSUPPORTED_OPERATION, text)
