"""The operations of wasi-nn for a guest, with the installed backends and the operator's models."""
