from __future__ import annotations

from pathlib import Path

import pytest

from tests.wasi_nn_torch.helpers.models import Add, scripted


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for a guest that gives up before it computes one: the real one takes seconds to load and optimize."""
    path = tmp_path_factory.mktemp("small") / "model.pt"
    path.write_bytes(scripted(Add()))
    return path
