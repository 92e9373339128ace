"""Host bindings of wasi-nn, generated from `wit/`: one subpackage for each version of the specification."""
