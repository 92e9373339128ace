"""One thin adapter for each version of wasi-nn, all over the same backend."""
