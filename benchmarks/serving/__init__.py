"""Serving over HTTP, beside applications that call the same module directly: `python -m benchmarks.serving`."""
