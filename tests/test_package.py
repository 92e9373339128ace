"""The checkout as it is installed: its packages, its programs, and the names that users import."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points, requires

import pytest

from tests.conftest import ROOT

PACKAGES = [
    "witgen",
    "wasi_bindings",
    "wasi_http_bindings",
    "wasi_nn_bindings",
    "wit_host",
    "wasi_host",
    "wasi_nn_torch",
]


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


@pytest.mark.parametrize("arguments", [["generate"], ["--help"]])
def test_the_code_generator_says_which_extra_is_missing(arguments):
    code = "import sys; sys.modules.update(lark=None, typer=None); import witgen.__main__ as it; it.main()"
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "error: lark, typer missing; run `pip install 'wit-host[codegen]'`\n"


def test_the_names_that_users_import_are_these():
    import wasi_host
    import wasi_nn_torch
    import wit_host

    assert wasi_host.__all__ == [
        "BUFFERS",
        "Clock",
        "Destination",
        "Files",
        "Folder",
        "InputStream",
        "Limits",
        "Outgoing",
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
        "AsyncGuestFunction",
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
        "FloatArray",
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
        "IntArray",
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
        "TypeVar",
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


@pytest.mark.parametrize(
    ("distribution", "extras"),
    [
        ("wasi-nn-torch", {"demo", "guardrail", "watch", "onnx", "bench", "serve", "ray", "dev"}),
        ("wit-host", {"codegen", "http", "dev"}),
    ],
)
def test_every_extra_is_declared(distribution, extras):
    required = requires(distribution)
    assert {text.rpartition("extra == ")[2].strip("\"' ") for text in required if "extra ==" in text} == extras
