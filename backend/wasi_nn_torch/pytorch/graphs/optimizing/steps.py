"""The choice of the steps that make a model faster when it is loaded.

The default steps never made a model slower in measurements on the CPU, and apply there only: batch normalizations are
folded into the convolutions before them, and the weights of convolutions are laid out with channels last. Results
change by rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wasi_nn_torch.contract.policy import Optimize


@dataclass(frozen=True)
class Steps:
    """The steps for one model.

    `freeze` turns the weights of TorchScript into constants, which runs parts of the model, and folds normalizations;
    `fold` folds them with arithmetic of this package only; `lay_out` lays out weights with channels last. `required`
    is whether the operator asked for the steps, so that a step that is impossible is an error; otherwise steps that
    might make the model slower are skipped.
    """

    freeze: bool = False
    fold: bool = False
    lay_out: bool = False
    compile: bool = False
    required: bool = False


def steps_for(optimize: Optimize | None, device: torch.device) -> Steps:
    """The steps for a model of the operator; None selects the default steps."""
    on_cpu = device.type == "cpu"
    if optimize is None:
        return Steps(freeze=on_cpu, fold=on_cpu, lay_out=on_cpu)
    if optimize is Optimize.FREEZE:
        return Steps(freeze=True, fold=True, lay_out=on_cpu, required=True)
    if optimize is Optimize.COMPILE:
        return Steps(compile=True, required=True)
    return Steps()


def steps_for_guests(device: torch.device) -> Steps:
    """The steps for a guest-supplied model: none that runs its code while it is loaded.

    Freezing would: it computes everything that does not depend on the inputs, which may be the whole model.
    """
    on_cpu = device.type == "cpu"
    return Steps(fold=on_cpu, lay_out=on_cpu)
