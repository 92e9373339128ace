"""Options and fixtures for the tests of every package: the device that they run on, and what `make` has built."""

from __future__ import annotations

import gc
import getpass
import os
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from wit_host import CompileCache

# As `make` sets it: tests run side by side, and what they time is one thread. PyTorch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent.parent

BACKEND = ROOT / "tests" / "wasi_nn_torch"

DEVICES = ["cpu", "simulated", "cuda"]
#: How many slow tests were left out.
SLOW = pytest.StashKey[int]()
#: How many tests there are for other devices, and which files have tests for the CPU only.
LEFT_OUT = pytest.StashKey[Counter[str]]()
FILES_LEFT_OUT = pytest.StashKey[list[Path]]()
#: How a file begins whose tests are all for the CPU.
FOR_THE_CPU = re.compile(r"^pytestmark = (?:\[\s*)?pytest\.mark\.cpu\b", re.MULTILINE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", choices=["compare", "write"], default="compare", help="what to do with golden files")
    parser.addoption("--device", choices=DEVICES, default="cpu", help="where graphs run")


def pytest_configure(config: pytest.Config) -> None:
    """Give this process and those that it starts the accelerator of `--device`, and no other.

    `-m cuda` means the backend's tests on CUDA.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell, for what it runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests interrupt what would not end by itself
    if config.option.markexpr == "cuda":
        config.option.device = "cuda"
    device = config.getoption("device")
    if device != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if device == "simulated":
        from tests import simulated

        try:
            simulated.load()
        except simulated.NoCompiler as error:
            pytest.exit(f"all tests on the simulated accelerator are skipped: {error}", returncode=0)
    elif device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise pytest.UsageError("--device=cuda: PyTorch reports no CUDA device on this machine")


def pytest_report_header(config: pytest.Config) -> str:
    return f"device: {config.getoption('device')}"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On another device, do not import the files with tests for the CPU only, which takes longer than some tests."""
    if config.getoption("device") == "cpu" or not collection_path.match("test_*.py"):
        return None
    if not FOR_THE_CPU.search(collection_path.read_text("utf-8")):
        return None
    config.stash.setdefault(FILES_LEFT_OUT, []).append(collection_path)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and name in the summary, what is slow, and what is for another device than the one of `--device`."""
    if "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        config.stash[SLOW] = len(slow)
    device = config.getoption("device")
    left_out = [item for item in items if device not in _devices(item)]
    items[:] = [item for item in items if device in _devices(item)]
    for item in items:
        if device == "cuda" and BACKEND in item.path.parents:
            item.add_marker("cuda")
    config.hook.pytest_deselected(items=left_out)
    config.stash[LEFT_OUT] = Counter(_devices(item)[0] for item in left_out)


def pytest_collection_finish() -> None:
    """Let garbage collections leave out what is there before the first test: PyTorch, and ten thousand tests."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for device, number in config.stash.get(LEFT_OUT, Counter()).items():
        terminalreporter.write_line(f"{number} tests were left out, which run with --device={device}")
    if number := config.stash.get(SLOW, 0):
        terminalreporter.write_line(f"{number} slow tests were left out, which run with -m slow")
    if files := config.stash.get(FILES_LEFT_OUT, []):
        terminalreporter.write_line(f"{len(files)} files were left out, whose tests run with --device=cpu")


def _devices(item: pytest.Item) -> list[str]:
    """On what a test can run."""
    for device in DEVICES:
        if item.get_closest_marker(device):
            return [device]
    return DEVICES[1:] if "accelerator" in getattr(item, "fixturenames", ()) else DEVICES


def built(path: str) -> Path:
    """A file that `make test` builds before it runs the tests."""
    file = ROOT / path
    if not file.exists():
        pytest.fail(f"{path} is missing: run `make test` once, or `make {path}`", pytrace=False)
    return file


#: What runs of the tests leave for the next ones: compiled guests, a dozen of which take most of a minute each, and
#: their key. A test that wants a guest to be compiled uses a cache of its own, or none.
KEPT = Path(tempfile.gettempdir(), f"wasi-nn-torch-tests-of-{getpass.getuser()}")


@pytest.fixture(scope="session", autouse=True)
def _compiled_guests() -> Iterator[None]:
    """Keep compiled guests and their key away from the user's own; tests, their processes and later runs share them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WASI_NN_TORCH_CACHE", str(KEPT / "compiled"))
        patch.setenv("XDG_STATE_HOME", str(KEPT / "state"))
        yield


@pytest.fixture(scope="session")
def compile_cache() -> CompileCache:
    """The same for engines of `wit_host`."""
    return CompileCache(KEPT / "compiled-for-hosts", bytes(32))


@pytest.fixture(scope="session")
def probe_file() -> Path:
    """The guest that does what a test tells it; see `tests/guests/probe/app.py`."""
    return built("build/tests/probe.wasm")
