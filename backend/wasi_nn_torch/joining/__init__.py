"""Joining the requests of several sessions into one computation: what backends have in common, for any engine.

    rows        which requests can be joined, and whether outputs can be split again
    pending     one request, from its inputs to its outputs, and the computation of several
    trial       the decision, when a model is loaded, whether its requests can be joined

When requests are joined, and on whose thread, is decided in `wasi_nn_torch.serving.batching`.
"""

from __future__ import annotations

from wasi_nn_torch.joining.pending import Part, Pending, compute_together
from wasi_nn_torch.joining.rows import NotByRows, kind_of, require_rows
from wasi_nn_torch.joining.trial import (
    Engine,
    Unfit,
    require_joinable,
    require_open,
    sizes_for_trial,
    tolerance_for,
)

__all__ = [
    "Engine",
    "NotByRows",
    "Part",
    "Pending",
    "Unfit",
    "compute_together",
    "kind_of",
    "require_joinable",
    "require_open",
    "require_rows",
    "sizes_for_trial",
    "tolerance_for",
]
