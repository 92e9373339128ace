"""Classifiers in C, with the calls, names and files of those that other hosts of wasi-nn ship for ONNX models."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests import warm
from tests.conftest import ROOT
from tests.guests.tools import wasm_tools
from tests.wasi_nn_torch.helpers.toolchains import ENVIRONMENT, NPM, ZIG
from tests.wasi_nn_torch.helpers.versions import INTERFACES, STEPWISE, VERSIONS
from tests.wasi_nn_torch.onnx.models import node, proto, value
from wasi_nn_torch import Engine

pytestmark = pytest.mark.cpu

SOURCES = ROOT / "tests/guests/classify"
HEADERS = ROOT / "backend/wasi_nn_torch/cli/new/templates/c/command"
ADAPTER = NPM / "@bytecodealliance/jco/lib/wasi_snapshot_preview1.command.wasm"
PHOTO = (1, 3, 224, 224)


def compiled(folder: Path, source: str, *options: str) -> Path:
    """A core module of the classifier; skips without a compiler."""
    python, made = ZIG / "bin/python", folder / "core.wasm"
    if not python.exists():
        pytest.skip("no C compiler for WebAssembly; `make build/c/ready` installs it")
    flags = f"-target wasm32-wasi -std=c17 -Os -s -Wall -Wextra -Werror -I {HEADERS} -I {SOURCES}".split()
    command = [python, "-m", "ziglang", "cc", *flags, *options, "-o", made, SOURCES / "classify.c", SOURCES / source]
    environment = {**ENVIRONMENT, "ZIG_LOCAL_CACHE_DIR": str(ZIG / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return made


def component(folder: Path, version: str) -> Path:
    """A component of the classifier for a version of wasi-nn; skips without the adapter to WASI 0.2."""
    if not ADAPTER.exists():
        pytest.skip("no adapter to WASI 0.2; `make build/js/ready` installs it, with npm")
    options = [f'-DVERSION="{version}"', *(["-DSTEPWISE"] if version in STEPWISE else [])]
    core, typed, made = compiled(folder, "component.c", *options), folder / "typed.wasm", folder / "component.wasm"
    (folder / "wit/deps").mkdir(parents=True)
    (folder / "wit/deps/nn.wit").write_text((ROOT / "wit" / version / "nn.wit").read_text())
    imports = "".join(f"import wasi:nn/{each}@0.2.0-rc-{version};" for each in INTERFACES)
    (folder / "wit/world.wit").write_text(f"package test:classify; world classify {{ {imports} }}")
    wasm_tools("component", "embed", folder / "wit", "--world", "classify", core, "-o", typed)
    wasm_tools("component", "new", typed, "--adapt", f"wasi_snapshot_preview1={ADAPTER}", "-o", made)
    return made


@pytest.fixture(scope="module", params=["witx", *VERSIONS])
def guest(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("guest")
    return compiled(folder, "witx.c") if request.param == "witx" else component(folder, request.param)


def classifier() -> onnx.ModelProto:
    """A model with an input and an output of the usual names, and 1000 classes."""
    random = np.random.default_rng(0)
    weights = {
        "filters": random.standard_normal((16, 3, 7, 7)),
        "bias": random.standard_normal(16),
        "matrix": random.standard_normal((1000, 16)),
        "offset": random.standard_normal(1000),
    }
    return proto(
        [
            node("Conv", "input filters bias", "c", strides=[4, 4]),
            node("Relu", "c", "r"),
            node("GlobalAveragePool", "r", "p"),
            node("Flatten", "p", "f"),
            node("Gemm", "f matrix offset", "g", transB=1, alpha=0.1),
            node("Softmax", "g", "output"),
        ],
        [value("input", PHOTO)],
        [value("output", (1, 1000))],
        [numpy_helper.from_array(each.astype(np.float32), name) for name, each in weights.items()],
    )


@pytest.fixture(scope="module")
def fixture(tmp_path_factory) -> Path:
    """The folder that the guest is lent: a model in one file, and a tensor."""
    folder = tmp_path_factory.mktemp("fixture")
    onnx.save(classifier(), folder / "model.onnx")
    np.random.default_rng(1).standard_normal(PHOTO).astype(np.float32).tofile(folder / "tensor.raw")
    return folder


@pytest.fixture(scope="module")
def expected(fixture) -> str:
    """What the guest prints, computed by ONNX Runtime."""
    session = onnxruntime.InferenceSession(fixture / "model.onnx")
    photo = np.fromfile(fixture / "tensor.raw", np.float32).reshape(PHOTO)
    [[scores]] = session.run(["output"], {"input": photo})
    return "".join(f"{index} {scores[index]:.4f}\n" for index in np.argsort(-scores)[:5])


def output(engine: Engine, guest: Path, fixture: Path, *arguments: str) -> str:
    lines: list[bytes] = []
    with engine.session(dirs={str(fixture): "fixture"}, args=arguments, stdout=lines.append) as session:
        assert session.run(guest) == 0
        assert session.stats.memory.live_bytes == 0
    return b"".join(lines).decode()


def test_a_guest_supplies_the_bytes_of_its_model(guest, fixture, expected):
    with Engine("cpu", guest_models="any") as engine:
        assert output(engine, guest, fixture) == expected


def test_a_guest_asks_for_a_folder_of_the_operator_by_name(guest, fixture, expected, tmp_path):
    onnx.save(classifier(), tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    with Engine("cpu", guest_models="none") as engine:
        engine.register("mobilenet", tmp_path)
        assert output(engine, guest, fixture, "mobilenet") == expected


def test_the_command_line_registers_the_folder(fixture, expected, tmp_path):
    guest = compiled(tmp_path, "witx.c")
    words = ["run", "--graph", f"model={fixture}", "--dir", f"{fixture}::fixture", str(guest), "model"]
    command = [*warm.python(), "-W", "ignore", "-m", "wasi_nn_torch", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, expected), done.stderr
