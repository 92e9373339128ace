"""Hypothesis strategies for WIT: valid projects, and texts that are slightly wrong.

In: nothing. Out: `projects()` and `mutated_projects()`. Each example comes from one seed: a project takes thousands of
choices, and leaving all of them to Hypothesis makes an example five times as slow.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.witgen.helpers.mutations import mutated
from tests.witgen.helpers.writer import Project, write_project

_SEEDS = st.integers(0, 2**64 - 1)


def projects() -> SearchStrategy[Project]:
    """Files, dependencies and features of a package that is valid, but for one in ten or so."""
    return _SEEDS.map(lambda seed: write_project(Random(seed)))


def mutated_projects() -> SearchStrategy[Project]:
    """The same with a few tokens or bytes changed."""
    return _SEEDS.map(Random).map(lambda random: mutated(random, write_project(random)))
