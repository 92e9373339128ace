"""The demo: real photographs, a real component, real weights."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests import warm
from tests.conftest import ROOT, built

FOLDER = "build/classify"


@pytest.fixture(scope="module")
def demo():
    """The output of `make demo` for both photographs."""
    for file in ("model.pt2", "guest.wasm", "labels/imagenet.txt", "photos/chelsea.ppm", "photos/coffee.ppm"):
        built(f"{FOLDER}/{file}")
    return classify("photos/chelsea.ppm", "photos/coffee.ppm")


def classify(*pictures, model=f"{FOLDER}/model.pt2"):
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", "--stats", "--graph", f"classifier={model}"]
    command += ["--dir", f"{FOLDER}/photos::photos", "--dir", f"{FOLDER}/labels::labels"]
    command += [f"{FOLDER}/guest.wasm", *pictures]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)


def best(text):
    """The classes and probabilities of each picture, without the bars."""
    return re.findall(r"^ +(\d+\.\d%)  (.*?)(?:  +█*)?$", text, re.MULTILINE)


def test_the_best_class_is_what_a_person_would_say(demo):
    assert demo.returncode == 0, demo.stderr
    classes = [label for _, label in best(demo.stdout)]
    assert len(classes) == 10
    assert (classes[0], classes[5]) == ("Egyptian cat", "espresso")


def test_the_probabilities_are_those_of_plain_pytorch(demo):
    command = [*warm.python(), "examples/classify/plain_torch.py"]
    command += [f"{FOLDER}/photos/chelsea.ppm", f"{FOLDER}/photos/coffee.ppm"]
    plain = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=300)
    assert best(demo.stdout) == best(plain.stdout)


def test_pictures_cross_at_their_true_size_and_nothing_is_left(demo):
    rows = {" ".join(line.split()) for line in demo.stderr.splitlines()}
    assert "copied guest → host 2 1,125,900 B" in rows  # 451 x 300 and 600 x 400 pixels of three bytes
    assert {row for row in rows if row.startswith("live on")} == {"live on cpu 0 0 B", "live on host staging 0 0 B"}


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "usage: classify"),
        (["photos/nothing.ppm"], "photos/nothing.ppm: "),
        (["labels/imagenet.txt"], "labels/imagenet.txt: expected a binary PPM picture"),
    ],
)
def test_a_picture_that_cannot_be_read_ends_with_status_1(small_model, pictures, message):
    result = classify(*pictures, model=small_model)
    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr
