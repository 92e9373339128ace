"""What is loaded before a process is confined suffices for loading and computing models afterwards."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conftest import ROOT
from tests.wasi_nn_torch.helpers.exported_models import CNN, IMAGES, exported
from tests.wasi_nn_torch.helpers.guest_models import Block, Recurrent, scripted, traced
from wasi_nn_torch.workers.confinement import lacking

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"a process cannot be confined here: {', '.join(lacking())}"),
]


class Products(nn.Module):
    """Products large enough for several threads, and libraries that are not used by image networks."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        resized = F.interpolate(x[None, None], scale_factor=0.5, mode="bilinear")
        return x @ x, torch.fft.rfft(x).abs(), torch.linalg.svdvals(resized[0, 0])


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(7)


def test_confined_models_compute_the_same_and_ask_for_nothing(tmp_path: Path) -> None:
    image, matrix, series = torch.rand(1, 3, 16, 16), torch.rand(300, 300), torch.rand(2, 5, 4)
    modules: list[tuple[nn.Module, Tensor]] = [
        (Block(), image),
        (CNN, IMAGES),
        (Products(), matrix),
        (nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), torch.rand(2, 8, 32)),
        (Recurrent(), series),
    ]
    models = [(scripted(module), [each]) for module, each in modules[:3]]
    models += [(traced(module, each), [each]) for module, each in modules[3:]]
    models += [(exported(module, each), [each]) for module, each in modules]
    models.append((scripted(Broken()), [matrix]))
    expected = [outputs(module, each) for module, each in modules] * 2

    single, several = in_confinement(models, tmp_path)

    assert single["asked"] == several["asked"] == []
    for found in (single, several):
        *computed_outputs, failure = found["outputs"]
        assert failure.startswith("runtime-error: ")
        for outputs_found, outputs_expected in zip(computed_outputs, expected, strict=True):
            for one, other in zip(outputs_found, outputs_expected, strict=True):
                torch.testing.assert_close(torch.tensor(one), other.flatten(), rtol=1e-2, atol=1e-3)


def outputs(module: nn.Module, value: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        found = module.eval()(value)
    return [found] if isinstance(found, Tensor) else list(found)


def in_confinement(models: list[tuple[bytes, list[Tensor]]], folder: Path) -> list[dict]:
    """What confined processes compute, with one thread and with several."""
    file = folder / "models"
    file.write_bytes(pickle.dumps(models))
    command = [sys.executable, "-m", "tests.wasi_nn_torch.helpers.confined", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    return [json.loads(line) for line in lines]
