"""Loaded models and their computations: graphs, contexts and their state."""
