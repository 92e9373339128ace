"""Label the pictures of a folder with Ray Data: `python label.py PICTURES OUT GUEST.wasm MODEL.pt2`.

A guest decodes each file, computes the model and names the best class. What it refuses stays in the table, with the
reason. The table is written as Parquet files to the folder OUT.
"""

import logging
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when it is imported

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray.data import ActorPoolStrategy, DataContext

from wasi_nn_torch import Limits
from wasi_nn_torch.ray import GuestUDF

ACTORS = 2


def main() -> None:
    pictures, out, guest, model = (Path(argument).absolute() for argument in sys.argv[1:5])
    shutil.rmtree(out, ignore_errors=True)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    DataContext.get_current().enable_rich_progress_bars = True
    DataContext.get_current().use_ray_tqdm = False
    started = time.monotonic()
    files = ray.data.read_binary_files(str(pictures), include_paths=True)
    labelled = files.map_batches(
        GuestUDF,
        fn_constructor_kwargs={
            "guest": guest,
            "models": {"classifier": model},
            "per": "row",
            "inputs": {"photo": "bytes"},  # the guest's input, and the column
            "keep": ["path"],
            "text": ["label"],
            "on_error": "null",
            "error": "refused",
            "limits": Limits(memory=64 << 20, timeout=30.0),
        },
        batch_size=16,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=ACTORS),
        num_cpus=0.5,  # the tasks that read need some, too
    )
    labelled.write_parquet(str(out))
    show(pq.read_table(out), time.monotonic() - started)


def show(table: pa.Table, seconds: float) -> None:
    """Print a summary of the table."""
    refused = Counter(reason for reason in table["refused"].to_pylist() if reason)
    labels = Counter(label for label in table["label"].to_pylist() if label)
    print(f"{table.num_rows} files in {seconds:.0f} s: {labels.total()} labelled, {refused.total()} refused")
    for what, counts in (("labels", labels), ("refusals", refused)):
        print(f"\n{what}")
        for text, number in counts.most_common(5):
            print(f"  {number:5}  {text}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; the folder of labels has only a part of the table, or nothing")
