"""A classifier as a guest on a dataset of Ray, beside the same model in a plain class, with one actor and with two.

`python -m benchmarks.bench_ray [PICTURES [ROUNDS]]` prints the table, by default of one round for 2,000 pictures, which
takes about five minutes; it needs what `make udf` builds. The pictures are parts of the photographs of the demo. Both
decode the same files and name the best class. Each run is a job of its own on one local cluster of two CPUs, and all
take turns; the table has the fastest of all rounds. The time of a run is that from the beginning of its first batch to
the end of its last one, so it is without the start of the actors, which has a column of its own. Both use one thread.
The program of the guest is optimized when it is registered, as by default; `OPTIMIZE=none` computes it as it is.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext
from rich.console import Console
from rich.table import Table

from wasi_nn_torch.ray import GuestUDF, Model

ROOT = Path(__file__).parent.parent
GUEST, MODEL = ROOT / "build/udf/guest.wasm", ROOT / "build/classify/model.pt2"
PHOTOS = [ROOT / "build/classify/photos" / name for name in ("chelsea.ppm", "coffee.ppm")]
SIDE, BATCH = 224, 16
DEFAULTS = (2000, 1)
#: What each actor reserves, so that one CPU is left for the tasks that make the pictures, whose work is small.
ACTOR_CPUS = 0.5


class Timed:
    """Adds to each batch when it began and ended, its CPU time for a row, and facts on its actor."""

    def __init__(self, **options: Any) -> None:
        began = time.time()
        self.apply = self.opened(**options)
        self.start = time.time() - began

    def __call__(self, batch: pa.Table) -> pa.Table:
        began, cpu = time.time(), time.process_time()
        made = self.apply(batch)
        cpu = (time.process_time() - cpu) / made.num_rows
        facts = {
            "cpu": cpu,
            "began": began,
            "ended": time.time(),
            "start": self.start,
            "pid": float(os.getpid()),
            "rss": resident(),
        }
        for name, fact in facts.items():
            made = made.append_column(name, pa.array([fact] * made.num_rows))
        return made


class GuestActor(Timed):
    """The guest, as a user has it."""

    opened = GuestUDF


class PlainActor(Timed):
    """The same work in Python, with the same model."""

    def opened(self) -> Any:
        import torch

        warnings.simplefilter("ignore")
        model = torch.export.load(MODEL).module()

        def apply(batch: pa.Table) -> pa.Table:
            best, chances = [], []
            for photo in batch["photo"].to_pylist():
                _, sizes, _, pixels = photo.split(b"\n", 3)
                width, height = map(int, sizes.split())
                image = torch.from_numpy(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))
                with torch.inference_mode():
                    probabilities = model(image)["probabilities"]
                index = int(probabilities.argmax())
                best.append(index)
                chances.append(float(probabilities[index]))
            return pa.table({"id": batch["id"], "label": best, "probability": pa.array(chances, pa.float32())})

        return apply


class Run(NamedTuple):
    """One job: pictures in a second, seconds of all kinds, those of CPU time for a picture, and MiB of an actor."""

    rate: float
    cpu: float
    seconds: float
    whole: float
    start: float
    first: float
    last: float
    chances: dict[int, float]


def resident() -> float:
    """The resident memory of this process, without what it shares with others, such as Ray's object store, in MiB."""
    resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def pictures(batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A part of a photograph for each id."""
    photos = [decoded(path) for path in PHOTOS]
    made = []
    for number in batch["id"].tolist():
        photo = photos[number % len(photos)]
        top = number * 7 % (photo.shape[0] - SIDE)
        left = number * 13 % (photo.shape[1] - SIDE)
        pixels = photo[top : top + SIDE, left : left + SIDE]
        made.append(f"P6\n{SIDE} {SIDE}\n255\n".encode() + pixels.tobytes())
    return {"id": batch["id"], "photo": made}


def decoded(path: Path) -> np.ndarray:
    _, sizes, _, pixels = path.read_bytes().split(b"\n", 3)
    width, height = map(int, sizes.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def job(count: int, actor: type[Timed], actors: int) -> Run:
    """Classify so many pictures."""
    model = Model(MODEL, {"optimize": os.environ.get("OPTIMIZE")})
    guest = {"guest": GUEST, "models": {"classifier": model}, "per": "row", "keep": ["id"], "text": ["label"]}
    files = ray.data.range(count, override_num_blocks=max(4, count // 200))
    files = files.map_batches(pictures, batch_size=64)
    began = time.time()
    labelled = files.map_batches(
        actor,
        fn_constructor_kwargs=guest if actor is GuestActor else {},
        batch_size=BATCH,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=actors),
        num_cpus=ACTOR_CPUS,
    )
    rows = pa.concat_tables(table for table in labelled.iter_batches(batch_size=None, batch_format="pyarrow"))
    whole = time.time() - began
    columns = {
        name: rows[name].to_numpy() for name in ("began", "ended", "cpu", "start", "pid", "rss", "id", "probability")
    }
    if sorted(columns["id"].tolist()) != list(range(count)):
        raise RuntimeError("some pictures were lost, or came twice")
    seconds = columns["ended"].max() - columns["began"].min()
    order = np.argsort(columns["ended"], kind="stable")
    memory = columns["rss"][order][columns["pid"][order] == columns["pid"][order][0]]
    return Run(
        count / seconds,
        columns["cpu"].mean(),
        seconds,
        whole,
        columns["start"].max(),
        memory[0],
        memory[-1],
        dict(zip(columns["id"].tolist(), columns["probability"].tolist(), strict=True)),
    )


def runs(count: int, rounds: int) -> Iterator[tuple[str, int, Run]]:
    """All runs, in turns."""
    for _ in range(rounds):
        for name, actor in (("a plain class", PlainActor), ("the guest", GuestActor)):
            for actors in (1, 2):
                yield name, actors, job(count, actor, actors)


def main() -> None:
    count, rounds = (int(given) for given in [*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]])
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    os.environ["OMP_NUM_THREADS"] = "1"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    DataContext.get_current().enable_progress_bars = False
    found: dict[tuple[str, int], Run] = {}
    for name, actors, run in runs(count, rounds):
        print(f"{name}, {actors}: {run.rate:.1f} pictures/s", file=sys.stderr)
        best = found.get((name, actors))
        if best is None or run.rate > best.rate:
            found[name, actors] = run
    show(count, found)


def show(count: int, found: dict[tuple[str, int], Run]) -> None:
    """Print the table, the two ratios, and how far the answers of both are apart."""
    table = Table("", "actors", "pictures/s", "CPU for one", "time", "whole job", "start", "memory, MiB")
    for (name, actors), run in found.items():
        times = f"{run.cpu * 1000:.1f} ms", f"{run.seconds:.1f} s", f"{run.whole:.1f} s", f"{run.start:.1f} s"
        table.add_row(name, str(actors), f"{run.rate:.1f}", *times, f"{run.first:.0f} → {run.last:.0f}")
    console = Console(width=120)
    console.print(f"{count:,} pictures of {SIDE} x {SIDE}", table)
    plain, guest, two = (found[key] for key in (("a plain class", 1), ("the guest", 1), ("the guest", 2)))
    console.print(
        f"the guest takes {guest.seconds / plain.seconds:.2f} x the time of the plain class, and "
        f"{guest.cpu / plain.cpu:.2f} x its CPU time"
    )
    console.print(f"two actors with the guest do {two.rate / guest.rate:.2f} x the work of one")
    apart = max(abs(guest.chances[key] - chance) for key, chance in plain.chances.items())
    console.print(f"the probabilities differ by at most {apart:.1e}")


if __name__ == "__main__":
    main()
