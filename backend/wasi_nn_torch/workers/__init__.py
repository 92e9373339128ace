"""Processes for work on behalf of strangers."""

from __future__ import annotations
