"""Guests on datasets of a real local cluster: what their failures cost, what is reported, and what is shared.

All tests of Ray Data are in this file, so that parallel tests start one cluster for them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT, built
from tests.ports import free_port
from tests.wasi_nn_torch.helpers.processes import resident

pytest.importorskip("ray", reason="Ray is not installed: pip install 'wasi-nn-torch[ray]'")

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import ActorPoolStrategy, DataContext

from wasi_nn_torch import Limits
from wasi_nn_torch.ray import GuestUDF
from wasi_nn_torch.ray.data.devices import assigned_device

pytestmark = pytest.mark.cpu

#: What the guest `evil.c` does for a number, and what is said about it; None if it answers.
EVIL = {
    0: None,
    1: r"did not return from .* within 0\.5 s",
    2: r"trapped: wasm `unreachable`",
    3: r"trapped: .*memory",
    4: r"`y` is \[\d+\]; its first size must be \d+, the number of rows",
    5: r"`y` is FP32; it was described as INT64",
    6: r"it returned `z`; it described `y`",
    7: "wrote more than 1048576 bytes of output",
    8: r"`secret`.*\(status 404\)",
    9: r"not today \(status 422\)",
    10: "several outputs have the same name",
}
BATCH = 8
#: What an actor reserves: so little that the actors of jobs that failed, which Ray ends later, are not waited for.
CPUS = 0.1
METRICS = free_port()


@pytest.fixture(scope="module", autouse=True)
def _cluster(_compiled_guests):
    """A cluster of two CPUs, which tells nobody about itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # Ray would count none
        ray.init(
            num_cpus=2,
            num_gpus=1,  # of which nothing but the number is real
            include_dashboard=False,
            object_store_memory=100 << 20,
            configure_logging=False,
            log_to_driver=False,
            _metrics_export_port=METRICS,
        )
        DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def evil():
    return str(built("build/tests/evil.wasm"))


class Watched(GuestUDF):
    """Adds the process, its memory in bytes, and the guests that it compiled; it writes its process to a folder."""

    def __init__(self, *arguments, folder=None, **options):
        super().__init__(*arguments, **options)
        if folder is not None:
            Path(folder, str(os.getpid())).touch()

    def __call__(self, batch):
        table = super().__call__(batch)
        facts = {"pid": os.getpid(), "memory": resident(os.getpid()), "compiled": self.engine.stats.guests_compiled}
        for name, fact in facts.items():
            table = table.append_column(name, pa.array([fact] * table.num_rows, pa.int64()))
        return table


def rows(kinds, blocks=1):
    """A dataset with an id and a number for the evil guest in each row."""
    table = pa.table({"id": range(len(kinds)), "x": [100 * kind for kind in kinds]})
    return ray.data.from_arrow(table).repartition(blocks) if blocks > 1 else ray.data.from_arrow(table)


def applied(data, guest, actors=1, udf=GuestUDF, size=BATCH, **options):
    """The rows of a dataset after a guest, by their ids; each has to be there once."""
    made = data.map_batches(
        udf,
        fn_constructor_kwargs={
            "guest": guest,
            "limits": Limits(timeout=0.5, memory=8 << 20, output=1 << 20),
            **options,
        },
        batch_size=size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=actors),
        num_cpus=CPUS,
    )
    every = made.take_all()
    found = {row["id"]: row for row in every}
    assert len(found) == len(every), "some rows came twice"
    return found


def driver_log():
    """What the workers of this cluster have written for the driver."""
    logs = Path(ray._private.worker._global_node.get_session_dir_path(), "logs")
    return "".join(path.read_text("utf-8", "replace") for path in sorted(logs.glob("worker-*.err")))


def accounted(found, kinds):
    """Print how many rows of each kind were answered or failed for which reason, and check all."""
    assert sorted(found) == list(range(len(kinds)))
    for row in found.values():
        kind = row["x"] // 100
        if EVIL[kind] is None:
            assert (row["y"], row["error"]) == (0, None)
        else:
            assert row["y"] is None
            assert re.search(EVIL[kind], row["error"]), row["error"]
    for (kind, reason), number in sorted(
        Counter((row["x"] // 100, row["error"] or "answered") for row in found.values()).items()
    ):
        print(f"{number:4} rows of kind {kind:2}: {reason[:110]}")


def test_each_failure_costs_its_batch_and_every_row_is_accounted_for(evil, capsys):
    kinds = [kind for _ in range(2) for kind in EVIL for _ in range(BATCH)]
    found = applied(rows(kinds), evil, on_error="null")
    with capsys.disabled():
        print("\n\nrows of evil batches")
        accounted(found, kinds)
    logs = driver_log()
    assert "evil.wasm failed for 8 rows (timeout): " in logs
    assert "evil.wasm: opened in " in logs
    assert logs.count("there is more where this came from") < 1000
    assert "what it writes in this call from here on is left out" in logs


def test_each_failure_costs_its_row_if_the_guest_is_called_for_rows(evil):
    kinds = [kind for kind in EVIL if kind not in (4, 5, 7)] * 2
    found = applied(rows(kinds), evil, per="row", on_error="drop")
    assert sorted(found) == [row for row, kind in enumerate(kinds) if EVIL[kind] is None]
    assert [list(row["y"]) for row in found.values()] == [[0], [0]]


def test_what_became_of_rows_is_in_the_metrics_of_ray(evil):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{METRICS}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = dict(re.findall(r'wasi_nn_torch_udf_rows_total\{.*?outcome="(\w+)".*?\} (\S+)', text))
        if {"ok", "timeout", "trap", "limit", "misfit", "refused"} <= found.keys():
            break
        time.sleep(0.5)
    assert {"ok", "timeout", "trap", "limit", "misfit", "refused"} <= found.keys(), text
    assert 'guest="evil.wasm"' in text


def test_a_job_ends_with_the_name_of_the_guest_and_few_lines(evil):
    with pytest.raises(ray.exceptions.RayTaskError) as error:
        applied(rows([0] * 8 + [2] * 8), evil)
    text = str(error.value)
    assert "wasi_nn_torch.ray.GuestFailed: evil.wasm trapped: wasm `unreachable` instruction executed" in text
    assert len(text.splitlines()) < 25, text


def test_a_guest_that_is_missing_ends_the_job_in_the_same_way():
    with pytest.raises(ray.exceptions.RayTaskError) as error:
        applied(rows([0]), "/nowhere/missing.wasm")
    text = str(error.value)
    assert "wasi_nn_torch.ray.GuestFailed: the guest /nowhere/missing.wasm does not exist; check the path" in text
    assert len(text.splitlines()) < 25, text


def test_a_killed_worker_costs_no_row_and_a_node_compiles_a_guest_once(evil, tmp_path):
    """`kill -9` in the middle of a job, while guests of two actors loop now and then."""
    kinds = [kind for batch in range(20) for kind in [batch % 2] * BATCH]
    made = rows(kinds, blocks=10).map_batches(
        Watched,
        fn_constructor_kwargs={
            "guest": ray.put(Path(evil).read_bytes() + custom_section()),
            "name": "new.wasm",
            "folder": str(tmp_path),
            "limits": Limits(timeout=0.5),
            "on_error": "null",
        },
        batch_size=BATCH,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=2),
        num_cpus=CPUS,
    )
    found, before = [], 0
    for batch in made.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        found += batch.to_pylist()
        if not before:
            before, killed = len(found), found[0]["pid"]
            os.kill(killed, signal.SIGKILL)
    assert before < len(kinds) / 2
    assert sorted(row["id"] for row in found) == list(range(len(kinds)))
    assert all((row["error"] is None) == (row["x"] == 0) for row in found)
    assert len({row["pid"] for row in found} - {killed}) >= 1
    assert len(list(tmp_path.iterdir())) >= 2
    opened = re.findall(r"new\.wasm: opened in .*? \((from the cache|compiled) in", driver_log())
    assert Counter(opened)["compiled"] == 1
    assert len(opened) >= 2


def custom_section():
    """A section that means nothing, so that the guest is none that the cache has."""
    name = os.urandom(16).hex().encode()
    return bytes([0, len(name) + 1, len(name)]) + name


def test_the_memory_of_an_actor_stays_flat_whatever_its_guest_does(evil):
    kinds = [kind for _ in range(60) for kind in (0, 2, 3, 4, 9) for _ in range(2)]
    found = applied(rows(kinds), evil, udf=Watched, size=2, on_error="null")
    assert len({row["pid"] for row in found.values()}) == 1
    memory = [found[row]["memory"] for row in sorted(found)]
    early, late = memory[len(memory) // 4], memory[-1]
    assert late - early < 16 << 20, f"from {early >> 20} to {late >> 20} MiB"


def test_the_device_is_that_of_the_gpus_that_ray_assigned():
    ask = ray.remote(assigned_device)
    assert ray.get([ask.options(num_gpus=1).remote(), ask.options(num_cpus=0).remote()]) == ["cuda:0", "cpu"]


@pytest.mark.slow
def test_the_example_prints_what_its_readme_shows(tmp_path):
    """As a user runs it, but on the cluster that these tests have started."""
    example, pictures, out = ROOT / "examples" / "udf", tmp_path / "pictures", tmp_path / "labels"
    photos = [str(built(f"build/classify/photos/{name}.ppm")) for name in ("chelsea", "coffee")]
    made = [sys.executable, str(example / "make_pictures.py"), str(pictures), "200", *photos]
    subprocess.run(made, check=True, timeout=60)
    guest, model = built("build/udf/guest.wasm"), built("build/classify/model.pt2")
    command = [sys.executable, str(example / "label.py"), str(pictures), str(out), str(guest), str(model)]
    environment = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    shown = re.search(r"^    200 files.*\n(?:    .*\n|\n)+", (example / "README.md").read_text(), re.MULTILINE)[0]
    without_time = re.sub(r"in \d+ s", "in … s", done.stdout)
    assert without_time == re.sub(r"in \d+ s", "in … s", re.sub("^    ", "", shown, flags=re.MULTILINE)).rstrip() + "\n"
    table = pq.read_table(out)
    assert table.column_names == ["path", "label", "probability", "refused"]
    assert len(set(table["path"].to_pylist())) == 200


def test_a_driver_imports_neither_pytorch_nor_wasmtime():
    code = """
import sys
import ray
ray.init(address=sys.argv[1], logging_level="error", log_to_driver=False)
from wasi_nn_torch import Limits
from wasi_nn_torch.ray import GuestUDF, Model
data = ray.data.range(10).map_batches(
    GuestUDF,
    fn_constructor_kwargs={"guest": "g.wasm", "models": {"m": Model("m.pt2")}, "limits": Limits(timeout=1)},
    concurrency=(1, 8),
)
print(repr(data)[:20])
print(sorted({"torch", "wasmtime", "wit_host"} & sys.modules.keys()))
"""
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, address], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]", done.stdout


def test_importing_the_package_imports_no_ray_either():
    code = "import sys, wasi_nn_torch.ray; print(sorted({'ray', 'torch', 'wasmtime', 'numpy'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
