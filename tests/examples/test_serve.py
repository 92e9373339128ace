"""The example of a server: a pipeline for the files of photographs, in front of a model."""

from __future__ import annotations

import io
import random
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image
from skimage.io import imread
from tritonclient.utils import InferenceServerException

from tests.conftest import ROOT, built
from tests.wasi_nn_torch.helpers.serving import served
from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.http import PipelineSettings, create_app

EXAMPLE = ROOT / "examples" / "serve"
CHELSEA = "build/serve/photos/chelsea.jpg"
COFFEE = "build/serve/photos/coffee.jpg"
NOT_A_PICTURE = "photo: expected a picture in JPEG"


@pytest.fixture(scope="module", autouse=True)
def _files():
    for file in ("build/serve/pipeline.wasm", "build/classify/model.pt2", CHELSEA, COFFEE):
        built(file)


@pytest.fixture(scope="module")
def client():
    """A client of a server with the model and the pipeline."""
    with Engine("cpu") as engine:
        engine.register("classifier", ROOT / "build/classify/model.pt2")
        limits = Limits(memory=320 << 20)  # as in serve.toml
        settings = PipelineSettings(
            ROOT / "build/serve/pipeline.wasm", graphs=["classifier"], concurrency=1, limits=limits
        )
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
    names, probabilities = ask(client, chelsea())
    assert names[0] == "Egyptian cat"
    # Decoders of JPEG may differ by a little in each pixel.
    np.testing.assert_allclose(probabilities, np.sort(every)[::-1][:5], atol=0.01)


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
    "options", [{"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "restart_marker_rows": 1}]
)
def test_each_kind_of_jpeg_is_decoded(client, options):
    names, _ = ask(client, jpeg(imread(ROOT / COFFEE), **options))
    assert names[:2] == ["espresso", "cup"]


def test_a_gray_photograph_is_decoded(client):
    gray = np.asarray(Image.open(ROOT / CHELSEA).convert("L"))
    names, probabilities = ask(client, jpeg(gray))
    in_three_channels, expected = ask(client, jpeg(np.stack([gray] * 3, axis=-1)))
    assert (names[0], len(names)) == (in_three_channels[0], 5)
    np.testing.assert_allclose(probabilities, expected, atol=0.02)


def test_the_memory_is_enough_for_the_largest_photograph_in_its_largest_form(client):
    photo = Image.open(ROOT / COFFEE).resize((4000, 4000)).convert("CMYK")
    names, _ = ask(client, jpeg(photo, progressive=True, subsampling=0))
    assert len(names) == 5


def jpeg(pixels, **options):
    file = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(file, "JPEG", **{"quality": 90} | options)
    return file.getvalue()


def chelsea():
    return (ROOT / CHELSEA).read_bytes()


def with_size(file, width, height):
    """A file whose header claims another size."""
    at = file.index(b"\xff\xc0") + 5
    return file[:at] + struct.pack(">HH", height, width) + file[at + 4 :]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: b"", NOT_A_PICTURE),
        (lambda: b"P6 2 2 255\n" + bytes(12), NOT_A_PICTURE),
        (lambda: b"\xff\xd8\xff", "photo: the picture in JPEG is incomplete"),
        (lambda: chelsea()[:20_000], "photo: the picture in JPEG is incomplete"),
        (lambda: b"\xff\xd8\xff\xe0 JFIF\xff\xd9", "photo: the picture in JPEG is corrupt"),
        (lambda: chelsea().replace(b"\xff\xda", b"\xff\xda\x00"), "photo: the picture in JPEG is corrupt"),
        (lambda: with_size(chelsea(), 0, 0), "photo: the picture in JPEG is corrupt"),
        (lambda: with_size(chelsea(), 65_535, 65_535), "photo: the picture has more than 16 million pixels"),
        (lambda: jpeg(np.zeros((1, 9_000, 3), np.uint8)), "8192"),
    ],
    ids=[
        "nothing",
        "PPM",
        "start",
        "half",
        "no frame",
        "a bad scan",
        "no pixels",
        "too large",
        "too wide for the model",
    ],
)
def test_a_photograph_that_cannot_be_classified_is_the_fault_of_the_client(client, content, reason):
    with pytest.raises(InferenceServerException, match=reason) as refused:
        ask(client, content())
    assert refused.value.status() == "400"
    assert ask(client, (ROOT / COFFEE).read_bytes(), best=1)[0] == ["espresso"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_damaged_photograph_is_classified_or_refused(client, options):
    file, draw = jpeg(imread(ROOT / CHELSEA)[:64, :64], **options), random.Random(18)
    for _ in range(100):
        damaged = bytearray(file)
        for _ in range(draw.choice([1, 5, 50])):
            damaged[draw.randrange(3, len(file) - 2)] = draw.randrange(256)
        assert answered(client, bytes(damaged)) in ("classified", "400"), bytes(damaged).hex()


def answered(client, content):
    try:
        ask(client, content)
    except InferenceServerException as refused:
        return refused.status()
    return "classified"
