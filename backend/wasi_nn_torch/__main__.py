"""`python -m wasi_nn_torch` is `wasi-nn-torch`."""

from wasi_nn_torch.cli import main

main()
