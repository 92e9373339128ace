"""The example of a server: a pipeline for the files of photographs, in front of a model."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import tritonclient.http as triton
from skimage.io import imread
from tritonclient.utils import InferenceServerException

from tests.conftest import ROOT, built
from tests.wasi_nn_torch.helpers.serving import served
from wasi_nn_torch import Engine
from wasi_nn_torch.http import PipelineSettings, create_app

EXAMPLE = ROOT / "examples" / "serve"
CHELSEA = "build/classify/photos/chelsea.ppm"
COFFEE = "build/classify/photos/coffee.ppm"
NOT_A_PICTURE = "photo: expected a binary PPM picture"


@pytest.fixture(scope="module", autouse=True)
def _files():
    for file in ("build/serve/pipeline.wasm", "build/classify/model.pt2", CHELSEA, COFFEE):
        built(file)


@pytest.fixture(scope="module")
def client():
    """A client of a server with the model and the pipeline."""
    with Engine("cpu") as engine:
        engine.register("classifier", ROOT / "build/classify/model.pt2")
        settings = PipelineSettings(ROOT / "build/serve/pipeline.wasm", graphs=["classifier"], concurrency=1)
        models = create_app(engine, pipelines={"photos": settings})
        with served(models) as at, triton.InferenceServerClient(at) as client:
            yield client
        models.close()


def ask(client, content, **parameters):
    """The names and the probabilities that the pipeline answers."""
    photo = triton.InferInput("photo", [1], "BYTES")
    photo.set_data_from_numpy(np.array([content], dtype=object))
    answer = client.infer("photos", [photo], parameters=parameters)
    return [name.decode() for name in answer.as_numpy("names")], answer.as_numpy("probabilities")


def test_the_demo_prints_what_its_readme_shows():
    command = [sys.executable, str(EXAMPLE / "demo.py"), CHELSEA, COFFEE]
    demo = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert demo.returncode == 0, demo.stderr
    shown = re.search(
        r"^    curl, (?:    .*\n|.*\n)*?    the server ended.*\n", (EXAMPLE / "README.md").read_text(), re.M
    )
    assert demo.stdout == re.sub("^    ", "", shown[0], flags=re.M)


def test_the_pipeline_gives_the_best_of_what_the_model_gives(client):
    pixels = imread(ROOT / CHELSEA)
    image = triton.InferInput("image", list(pixels.shape), "UINT8")
    image.set_data_from_numpy(pixels)
    every = client.infer("classifier", [image]).as_numpy("probabilities")
    names, probabilities = ask(client, (ROOT / CHELSEA).read_bytes())
    assert names[0] == "Egyptian cat"
    np.testing.assert_array_equal(probabilities, np.sort(every)[::-1][:5])


@pytest.mark.parametrize("best", [1, 1000])
def test_a_client_gets_as_many_classes_as_it_wants(client, best):
    names, probabilities = ask(client, (ROOT / COFFEE).read_bytes(), best=best)
    assert (len(names), len(probabilities), names[0]) == (best, best, "espresso")


@pytest.mark.parametrize("best", [0, 1001, -1, "two", True])
def test_another_number_of_classes_is_refused(client, best):
    with pytest.raises(InferenceServerException, match="`best` must be an integer from 1 to 1000") as refused:
        ask(client, (ROOT / COFFEE).read_bytes(), best=best)
    assert refused.value.status() == "400"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", NOT_A_PICTURE),
        (b"\xff\xd8\xff\xe0 JFIF", NOT_A_PICTURE),
        (b"P6 2 2 255\n" + bytes(11), "photo: 2 x 2 pixels need 12 bytes, found 11"),
        (b"P6 0 0 255\n", "photo: 0 x 0 pixels need 0 bytes, found 0"),
        (b"P6 9000 1 255\n" + bytes(27_000), "8192"),
    ],
    ids=["nothing", "a JPEG", "half a picture", "no pixels", "too wide for the model"],
)
def test_a_photograph_that_cannot_be_classified_is_the_fault_of_the_client(client, content, reason):
    with pytest.raises(InferenceServerException, match=reason) as refused:
        ask(client, content)
    assert refused.value.status() == "400"
    assert ask(client, (ROOT / COFFEE).read_bytes(), best=1)[0] == ["espresso"]
