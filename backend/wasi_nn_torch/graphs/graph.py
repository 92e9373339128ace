"""A model that is loaded on one device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from wasi_nn_torch.graphs.signature import Signature
from wasi_nn_torch.graphs.state import Model


@dataclass(frozen=True, eq=False)
class Graph:
    """A model on one device, shared by every session and context that uses it, in any number of threads.

    `instance` makes the model of one context: its weights are shared, its state is its own. With the last reference to
    the graph and to its contexts the memory of the weights goes free.
    """

    instance: Callable[[], Model]
    device: torch.device
    signature: Signature
