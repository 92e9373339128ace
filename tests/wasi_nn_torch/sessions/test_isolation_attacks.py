"""Every attack by a guest-supplied model, run against isolation: only the process of its own session is harmed.

The check is off in these workers, so that every attack reaches the process that has to withstand it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from tests.wasi_nn_torch.helpers import unchecked
from tests.wasi_nn_torch.helpers.attack_rows.row import Attack, Harm
from tests.wasi_nn_torch.helpers.attacking import MIB, TIGHT, attack
from tests.wasi_nn_torch.helpers.model_attacks import ATTACKS
from tests.wasi_nn_torch.helpers.models import Add, scripted
from tests.wasi_nn_torch.helpers.neighbours import Neighbour
from tests.wasi_nn_torch.helpers.processes import peak_of_workers, workers
from tests.wasi_nn_torch.helpers.secrets import HostSecrets
from wasi_nn_torch import Engine, Limits
from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.pytorch.graphs.loading.formats import admit
from wasi_nn_torch.pytorch.graphs.recognizing.sniff import sniff_bytes
from wasi_nn_torch.pytorch.isolation.client import OVERHEAD
from wasi_nn_torch.workers.confinement import lacking

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(bool(lacking()), reason=f"processes cannot be confined here: {'; '.join(lacking())}"),
]

#: The errors that a guest may get; an attack that ends with none of them has a result.
FITTING = {
    Harm.CRASHES: {"RUNTIME_ERROR", "TOO_LARGE"},  # of what is read out of bounds, memory may be made
    Harm.READS: {None, "RUNTIME_ERROR"},
    Harm.WRITES: {None, "RUNTIME_ERROR"},
    Harm.HANGS: {"TIMEOUT", "TOO_LARGE", None},
    Harm.GROWS: {"TOO_LARGE", "RUNTIME_ERROR", "TIMEOUT", None},
    Harm.FLOODS: {None, "RUNTIME_ERROR", "TIMEOUT"},
    Harm.CONFUSES: {"UNSUPPORTED_OPERATION", "TOO_LARGE", "TIMEOUT", None},
}
ENDS = ("status 0", "GuestTimeout: ")
SHORT = Limits(device_bytes=256 * MIB, host_bytes=64 * MIB, tensors=100, memory=256 * MIB, timeout=1)
#: What is true at the deadline, or soon after on a machine that is busy with other things; in seconds.
SOON = 10.0
ADD = Attack("a sum", Harm.CONFUSES, "", lambda: scripted(Add()))


@pytest.fixture(scope="module")
def secrets():
    return HostSecrets()


@pytest.fixture(scope="module")
def engine(secrets):
    with Engine("cpu", guest_models="isolated", imports=[unchecked.NAME]) as engine:
        engine.register("add", scripted(Add()))
        yield engine


@pytest.fixture(scope="module")
def probe(engine, probe_file, tmp_path_factory):
    guest = engine.compile(probe_file)
    # The server of the workers has started when this returns.
    assert attack(engine, guest, ADD, tmp_path_factory.mktemp("first"), Limits(timeout=120)).outputs
    return guest


@pytest.fixture(scope="module")
def neighbour(engine):
    with Neighbour(engine) as neighbour:
        yield neighbour


@contextmanager
def beside(neighbour):
    """What a session beside this one does meanwhile, and afterwards."""
    before = neighbour.computed
    yield
    assert neighbour.computed > before, "it stood still"
    neighbour.computes_once_more(SOON)


LANCZOS = "a resize with tiny scales"


def is_harmless(name: str) -> bool:
    """Whether this version of PyTorch computes or refuses what ends the process in others."""
    if torch.__version__ < "2.10":
        return name in ("a sum of an unknown dtype", LANCZOS)
    return name == "a weight norm of nothing" and torch.__version__ >= "2.15"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_harms_nobody_but_its_own_session(engine, probe, secrets, neighbour, tmp_path, name):
    row = ATTACKS[name]
    limits = SHORT if row.harm in (Harm.HANGS, Harm.GROWS) else TIGHT
    secrets.plant()
    with beside(neighbour):
        outcome = attack(engine, probe, row, tmp_path, limits)
    assert outcome.ended.startswith(ENDS)
    if outcome.ended.startswith("status"):
        assert outcome.code in FITTING[row.harm] or is_harmless(row.name)
    if outcome.code is None and outcome.ended == "status 0":
        assert outcome.outputs
    assert secrets.found_in(outcome.heard) == []
    assert "\x1b" not in outcome.text
    assert outcome.memory.live_bytes == outcome.memory.live_tensors == 0
    assert outcome.seconds < limits.timeout + SOON
    assert no_workers_within(SOON)


def test_the_check_refuses_those_whose_operators_no_model_needs():
    refused = set()
    for name, row in ATTACKS.items():
        if row.is_slow_to_check:
            continue
        data = row.model()
        try:
            admit(data, sniff_bytes(data))
        except NnError:
            refused.add(name)
    if torch.__version__ < "2.10":
        refused.remove(LANCZOS)  # an operator that PyTorch 2.9 does not have
    assert refused == {
        "a promotion of unknown dtypes",
        "a CTC loss of a huge label",
        "a reduction of a segment of huge length",
        "a sparse tensor with overwritten indices",
        "a division of integers by zero",
        "a division by zero when constants are folded",
        "a promotion of unknown dtypes when constants are folded",
        "a segment that ends behind the data",
        "a segment that starts before the data",
        "arithmetic on a sparse tensor with overwritten indices",
        "a sparse tensor",
        "an exported program that reduces segments behind the data",
    }


@pytest.mark.parametrize("name", ["a list that doubles", "more and more tensors"])
def test_what_takes_memory_ends_at_the_limit(engine, probe, tmp_path, name):
    with peak_of_workers() as peak:
        outcome = attack(engine, probe, ATTACKS[name], tmp_path, Limits(device_bytes=64 * MIB, timeout=60))
    assert outcome.code in ("TOO_LARGE", "RUNTIME_ERROR")
    assert peak.growth < 64 * MIB + OVERHEAD + 64 * MIB
    assert outcome.memory.live_bytes == 0


def test_warnings_reach_the_log_of_the_host_neither_in_masses_nor_with_escapes(engine, probe, tmp_path, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        outcome = attack(engine, probe, ATTACKS["twenty thousand warnings with escapes"], tmp_path, Limits(timeout=60))
    written = capfd.readouterr()
    assert outcome.outputs
    log = caplog.text + written.out + written.err
    assert "\x1b" not in log
    assert len(log) < 10_000


def test_the_crash_of_one_worker_leaves_that_of_another_session_alone(engine, probe, tmp_path):
    ended = []

    def loops():
        (tmp_path / "loops").mkdir()
        row = ATTACKS["a loop without end"]
        ended.append(attack(engine, probe, row, tmp_path / "loops", Limits(timeout=3)).ended)

    thread = threading.Thread(target=loops)
    thread.start()
    (tmp_path / "crashes").mkdir()
    for _ in range(3):
        crashed = attack(engine, probe, ATTACKS["attention without heads"], tmp_path / "crashes", Limits(timeout=60))
        assert "SIGFPE" in crashed.text
    thread.join()
    assert ended[0].startswith("GuestTimeout")


def test_a_session_is_cancelled_while_its_model_computes(engine, probe, tmp_path):
    (tmp_path / "model").write_bytes(ATTACKS["a sum over 35 trillion elements"].model())
    x = '[["x", [4, 4], "FP32", "' + "00" * 64 + '"]]'
    arguments = ["from_bytes", "models/model", "PYTORCH", "CPU", x]
    options = {"stdout": lambda _: None, "stderr": lambda _: None, "dirs": {str(tmp_path): "models"}}
    with engine.session(args=arguments, **options) as session:
        timer = threading.Timer(2.0, session.cancel)
        timer.start()
        started = time.perf_counter()
        with pytest.raises(Exception, match="cancelled"):
            session.run(probe)
        timer.join()
    assert time.perf_counter() - started < 2.0 + SOON
    assert no_workers_within(SOON)


def test_no_worker_outlives_its_engine(probe_file, tmp_path):
    with Engine("cpu", guest_models="isolated", imports=[unchecked.NAME]) as engine:
        guest = engine.compile(probe_file)
        for name in ("a sum of an unknown dtype", "a loop without end", "samples in a mode that does not exist"):
            attack(engine, guest, ATTACKS[name], tmp_path, Limits(timeout=2))
    assert no_workers_within(SOON)


def no_workers_within(seconds: float) -> bool:
    """Whether all workers of this process end soon; those of other engines have ended."""
    end = time.monotonic() + seconds
    while workers(os.getpid()):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
