"""The operations of wasi-nn for a guest: the backends that are installed, and the operator's models by name."""
