"""Processes with PyTorch in them that tests start: they are like those that Python itself starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import warm

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Python itself is started, without Linux")

TELLS = """
import os, sys
print(os.getcwd(), sys.argv[1:], os.environ["A"], input(), "torch" in sys.modules, sys.path[1])
"""
WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def ran(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*warm.python(), *arguments], capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


def test_it_has_its_surroundings(tmp_path):
    there = ran("-c", TELLS, "b", "c d", cwd=tmp_path, env={"A": "1", "PYTHONPATH": "/x"}, input="typed\n")
    assert (there.stdout, there.stderr) == (f"{tmp_path} ['b', 'c d'] 1 typed True /x\n", "")


def test_it_runs_modules_and_files(tmp_path):
    (tmp_path / "said.py").write_text("import sys; print(__name__, sys.argv[1:], file=sys.stderr)")
    assert ran("-m", "said", "a", cwd=tmp_path).stderr == "__main__ ['a']\n"
    assert ran(str(tmp_path / "said.py"), "a").stderr == "__main__ ['a']\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(7)", 7),
        ("import sys; sys.exit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
def test_it_ends_with_its_status(code, status):
    assert ran("-c", code).returncode == status


def test_warnings_can_be_turned_into_errors():
    assert ran("-W", "error", "-c", "import warnings; warnings.warn('so')").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it(number):
    with subprocess.Popen([*warm.python(), "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait(60) == -number
    while Path("/proc", str(forked)).exists():
        time.sleep(0.01)
