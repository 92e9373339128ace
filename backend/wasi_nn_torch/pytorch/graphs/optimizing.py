"""Which steps are taken, when a model is loaded, so that it computes faster.

By default those that never lost where they were measured, which is on the CPU: batch normalizations are folded into the
convolutions before them, and the weights of convolutions are laid out with their channels last. Results change by
rounding only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from wasi_nn_torch.contract.policy import Optimize


@dataclass(frozen=True)
class Steps:
    """What is done to one model.

    `freeze` makes constants of the weights of TorchScript, which runs parts of the model, and folds normalizations;
    `fold` does only what is arithmetic of our own; `lay_out` puts channels last. `required` is whether the operator
    asked for it, and wants to hear where it cannot be done; else whatever might lose is left out.
    """

    freeze: bool = False
    fold: bool = False
    lay_out: bool = False
    compile: bool = False
    required: bool = False


def steps_for(optimize: Optimize | None, device: torch.device) -> Steps:
    """The steps for a model of the operator; None takes those that never lose."""
    on_cpu = device.type == "cpu"
    if optimize is None:
        return Steps(freeze=on_cpu, fold=on_cpu, lay_out=on_cpu)
    if optimize is Optimize.FREEZE:
        return Steps(freeze=True, fold=True, lay_out=on_cpu, required=True)
    if optimize is Optimize.COMPILE:
        return Steps(compile=True, required=True)
    return Steps()


def steps_for_guests(device: torch.device) -> Steps:
    """The steps for a model that a guest brought along: none that runs any of its code while it is loaded.

    Freezing would: it computes whatever does not depend on the inputs, which may be all of the model.
    """
    on_cpu = device.type == "cpu"
    return Steps(fold=on_cpu, lay_out=on_cpu)
