"""What a row of the table of attacks has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch

from tests.wasi_nn_torch.helpers.attack_archives import body

X = torch.arange(16.0).reshape(4, 4)
#: For exported programs, which take two columns.
COLUMNS = X[:, :2].contiguous()


class Harm(Enum):
    """What an attack is for."""

    CRASHES = "ends the process"
    READS = "reads memory that is not its own"
    WRITES = "writes memory that is not its own"
    HANGS = "does not end, or not soon"
    GROWS = "takes memory"
    FLOODS = "floods the host's log or the guest's errors"
    CONFUSES = "returns what a host does not expect"


@dataclass(frozen=True)
class Attack:
    """One row.

    `before` is what happened when a host computed the model in its own process, and `model` makes its bytes.
    `is_slow_to_check` is whether the check of the archive takes seconds.
    """

    name: str
    harm: Harm
    before: str
    model: Callable[[], bytes]
    inputs: tuple[tuple[str, torch.Tensor], ...] = (("x", X),)
    is_slow_to_check: bool = False


def row(name: str, harm: Harm, before: str, text: str, returns: str = "Tensor") -> Attack:
    """An attack in TorchScript: `text` is the body of `forward`, as PyTorch prints it."""
    return Attack(name, harm, before, lambda: body(text, returns))
