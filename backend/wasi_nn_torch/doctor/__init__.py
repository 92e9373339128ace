"""Checks of a machine: whether guests can run, and what is missing."""
