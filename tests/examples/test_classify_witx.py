"""The demo as a core module in C: the same photographs and weights, and the same answers."""

from __future__ import annotations

import subprocess

import pytest

from tests import warm
from tests.conftest import ROOT, built

FOLDER = "build/classify"
GUEST = "build/classify_witx/guest.wasm"
PHOTOS = ("photos/chelsea.ppm", "photos/coffee.ppm")


@pytest.fixture(scope="module", autouse=True)
def _everything_is_built():
    for file in (f"{FOLDER}/model.pt2", f"{FOLDER}/guest.wasm", f"{FOLDER}/labels/imagenet.txt", GUEST):
        built(file)


def classify(*arguments, guest=GUEST, options=()):
    command = [*warm.python(), "-m", "wasi_nn_torch", "run", *options]
    command += ["--dir", f"{FOLDER}/photos::photos", "--dir", f"{FOLDER}/labels::labels", guest, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)


MODEL = ("--graph", f"classifier={FOLDER}/model.pt2")


def test_the_core_module_says_what_the_component_says():
    here = classify(*PHOTOS, options=[*MODEL, "--stats"])
    assert here.returncode == 0, here.stderr
    assert here.stdout == classify(*PHOTOS, guest=f"{FOLDER}/guest.wasm", options=MODEL).stdout
    assert "Egyptian cat" in here.stdout
    rows = {" ".join(line.split()) for line in here.stderr.splitlines()}
    assert {"wasi_ephemeral_nn compute 2", "wasi_ephemeral_nn load_by_name 1"} <= rows
    assert {row for row in rows if row.startswith("live on")} == {"live on cpu 0 0 B", "live on host staging 0 0 B"}


@pytest.mark.parametrize(
    ("arguments", "has_model", "message"),
    [
        ([], True, "usage: classify"),
        (["photos/nothing.ppm"], True, "photos/nothing.ppm: No such file or directory"),
        (["labels/imagenet.txt"], True, "labels/imagenet.txt: expected a binary PPM picture"),
        (PHOTOS, False, "load_by_name: not found"),
    ],
)
def test_what_does_not_work_ends_with_status_1(small_model, arguments, has_model, message):
    options = ["--graph", f"classifier={small_model}"] if has_model else []
    result = classify(*arguments, options=options)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr
