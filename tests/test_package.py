"""The distribution: an editable install, a wheel, and what both promise."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, requires

import pytest

from tests.conftest import ROOT

PACKAGES = ["witgen", "wasi_bindings", "wasi_nn_bindings", "wit_host", "wasi_host", "wasi_nn_torch"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel, unpacked as an installer would; what it depends on comes from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, timeout=300)
    return folder


def test_the_wheel_holds_every_package_with_its_types_grammar_and_templates(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {
        "witgen/grammar.lark",
        "witgen/templates/module.jinja",
        "witgen/templates/types/record.jinja",
        "wasi_nn_bindings/v2024_10_28/graph.py",
    } <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_template_of_a_guest(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    place = ROOT / "backend" / "wasi_nn_torch" / "cli" / "new"
    paths = [path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = {path.relative_to(ROOT / "backend").as_posix() for path in paths}
    assert "wasi_nn_torch/cli/new/templates/python/shared/gitignore" in files
    assert files <= names


def test_a_new_guest_is_written_by_what_the_wheel_installed(installed, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import wasi_nn_torch.cli as cli; cli.main()"
    command = [sys.executable, "-c", code, "new", str(tmp_path / "mine")]
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path)
    assert (tmp_path / "mine" / "guest" / "app.py").exists()
    assert (tmp_path / "mine" / "wit" / "deps" / "wasi-nn-2024-10-28" / "nn.wit").exists()


def test_bindings_are_generated_by_what_the_wheel_installed(installed, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import witgen.cli; "
        f"assert witgen.__file__.startswith({str(installed)!r}), witgen.__file__; witgen.cli.main()"
    )
    arguments = ["generate", str(ROOT / "wit" / "2024-10-28"), "--out", str(tmp_path / "bindings")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, timeout=60)
    committed = ROOT / "generated" / "wasi_nn_bindings" / "v2024_10_28"
    for path in committed.glob("*.py"):
        assert (tmp_path / "bindings" / path.name).read_text() == path.read_text()


def test_a_guest_runs_on_what_the_wheel_installed(installed, probe_file):
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r}); import wasi_nn_torch.cli as cli; "
        f"assert cli.__file__.startswith({str(installed)!r}), cli.__file__; cli.main()"
    )
    command = [sys.executable, "-c", code, "run", str(probe_file), "speak", "hello"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.stdout == "hello\n", result.stderr


def test_the_wit_files_are_in_what_the_wheel_installed(installed, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import wasi_nn_torch.cli as cli; cli.main()"
    for arguments in (["wit"], ["wit", "--out", str(tmp_path / "wit")]):
        command = [sys.executable, "-c", code, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path)
        if arguments == ["wit"]:
            assert {line.partition(": ")[2].startswith(str(installed)) for line in result.stdout.splitlines()} == {True}
    for folder in (file.parent for file in (ROOT / "wit").glob("*/nn.wit")):
        assert (tmp_path / "wit" / "deps" / f"wasi-nn-{folder.name}" / "nn.wit").read_bytes() == (
            folder / "nn.wit"
        ).read_bytes()
    pipeline = installed / "wasi_nn_torch" / "wit" / "pipeline" / "pipeline.wit"
    assert pipeline.read_bytes() == (ROOT / "wit" / "pipeline" / "pipeline.wit").read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_editable_install_serves_the_checkout(package):
    code = f"import {package}; print({package}.__file__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.startswith(str(ROOT))


@pytest.mark.parametrize("script", ["wasi-nn-torch", "witgen"])
def test_both_programs_answer(script):
    [entry] = [entry for entry in entry_points(group="console_scripts") if entry.name == script]
    assert callable(entry.load())
    result = subprocess.run([sys.executable, "-m", entry.module.partition(".")[0], "--help"], capture_output=True)
    assert result.returncode == 0


def test_running_guests_needs_no_code_generator():
    code = (
        "import sys; sys.modules.update(lark=None, jinja2=None, witgen=None); "
        "import wasi_nn_torch.engine, wasi_nn_torch.cli, wasi_nn_bindings.v2024_10_28"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_help_of_witgen_needs_no_parser():
    code = "import sys; sys.modules.update(lark=None, jinja2=None, platformdirs=None); import witgen.cli"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_code_generator_says_which_extra_is_missing():
    code = "import sys; sys.modules.update(lark=None); import witgen.cli; witgen.cli.main()"
    command = [sys.executable, "-c", code, "generate"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: lark missing; run `pip install 'wasi-nn-torch[codegen]'`\n"


def test_the_names_that_users_import_are_these():
    import wasi_host
    import wasi_nn_torch
    import wit_host

    assert wasi_host.__all__ == [
        "BUFFERS",
        "Clock",
        "Files",
        "Folder",
        "InputStream",
        "Limits",
        "OutputStream",
        "Pipe",
        "Sink",
        "Source",
        "SystemClock",
        "TestClock",
        "World",
        "add_to_linker",
    ]
    assert wasi_nn_torch.__all__ == [
        "Batch",
        "BatchFigures",
        "CompileLimits",
        "Directory",
        "Elements",
        "Engine",
        "EngineBusy",
        "EngineStats",
        "ErrorCode",
        "GraphSession",
        "Guest",
        "GuestCancelled",
        "GuestError",
        "GuestLimit",
        "GuestTimeout",
        "GuestTrap",
        "InvalidGuest",
        "Lease",
        "Limits",
        "LinkError",
        "ModelError",
        "ModelFigures",
        "NnError",
        "Pool",
        "PoolStats",
        "Refusal",
        "Session",
        "SessionStats",
        "per_session",
    ]
    assert all(getattr(wasi_nn_torch, name) for name in wasi_nn_torch.__all__)
    assert wit_host.__all__ == [
        "Bounds",
        "ByteSource",
        "Bytes",
        "CacheDirectory",
        "CacheEntry",
        "CompileCache",
        "CompileTask",
        "Compiler",
        "Component",
        "Engine",
        "Err",
        "GuestCancelled",
        "GuestError",
        "GuestExit",
        "GuestFunction",
        "GuestInterface",
        "GuestLimit",
        "GuestResource",
        "GuestResourceType",
        "GuestTimeout",
        "GuestTrap",
        "Instance",
        "LinkError",
        "LinkedComponent",
        "Linker",
        "Ok",
        "Resource",
        "ResultError",
        "Signal",
        "Some",
        "Store",
        "Ticker",
        "WasiConfig",
        "awaiting_in",
        "copy_from_address",
        "copy_memory",
        "copy_to_address",
        "pause",
        "per_store",
        "precompile",
        "printable",
        "view_memory",
        "view_of",
        "why_foreign",
        "why_replaceable",
        "write_bytes",
    ]


def test_every_extra_is_declared():
    extras = {text.rpartition("extra == ")[2].strip("\"' ") for text in requires("wasi-nn-torch") if "extra ==" in text}
    assert extras == {"codegen", "demo", "guardrail", "watch", "onnx", "bench", "serve", "dev"}
