"""Loads the simulated accelerator when it is imported, so that workers have it too."""

from __future__ import annotations

from tests import simulated
from tests.simulated.building import newest

simulated.load(newest())
