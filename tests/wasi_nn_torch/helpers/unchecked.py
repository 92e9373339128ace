"""Imported by a server of workers, lets the workers load models that the check refuses, to show what holds without it.

`Engine(imports=[NAME])` imports it in the host as well, where it changes nothing.
"""

from __future__ import annotations

import os

NAME = __name__

if not os.environ:  # which only the server clears
    from wasi_nn_torch.pytorch.graphs.loading import formats

    formats.admit = lambda data, found: data
