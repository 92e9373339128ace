"""`python -m wasi_nn_torch` is `wasi-nn-torch`."""

from __future__ import annotations

from wasi_nn_torch.cli import main

main()
