"""A model that is loaded on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from wasi_nn_torch.contract.description import ValueDescription
from wasi_nn_torch.contract.warm_up import Example
from wasi_nn_torch.pytorch.graphs.computing.context import ExecutionContext
from wasi_nn_torch.pytorch.graphs.computing.state import Model
from wasi_nn_torch.pytorch.graphs.inputs.signature import Signature
from wasi_nn_torch.pytorch.staging import SessionMemory


@dataclass(frozen=True, eq=False)
class Graph:
    """A model on one device, shared by every session and context that uses it, in any number of threads.

    `instance` makes the model of one context, with shared weights and a state of its own. The memory of the weights is
    freed with the last reference to the graph and its contexts. `nbytes` is the size of weights and buffers, and
    `state_nbytes` that of the state of each context. `is_laid_out` is whether the weights are in another order in
    memory than they were saved in: outputs follow them, and are put back in order. `writes_inputs` is whether a
    computation may write to its inputs, so that those with other owners are copied. `examples` are the sizes of inputs,
    or the numbers, that the model was made with, by the names of its parameters, if it tells them. `outputs` are
    described if the format tells them. `may_remember` is whether a context
    may have a state of which only its own code knows.
    """

    instance: Callable[[], Model]
    device: torch.device
    signature: Signature
    nbytes: int = 0
    is_laid_out: bool = False
    state_nbytes: int = 0
    writes_inputs: bool = True
    examples: Mapping[str, Example] = field(default_factory=dict)
    outputs: tuple[ValueDescription, ...] | None = None
    may_remember: bool = False

    @property
    def remembers(self) -> bool | None:
        """Whether a context has a state; None if only its own code knows."""
        return None if self.may_remember else self.state_nbytes > 0

    def context(self, memory: SessionMemory) -> ExecutionContext:
        """Make a context for the session whose memory this is; raises NnError `too-large`."""
        return ExecutionContext(self, memory)
