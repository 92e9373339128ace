"""Loads and computes many drawn models, and reports how they ended: which end the process, above all.

    python -m tests.wasi_nn_torch.onnx.fuzzing SEED COUNT [--registered] [--keep FOLDER]

The models are loaded as a guest's, or with `--registered` as the operator's, which are optimized. That is done in a
process of its own. If a model ends that, its bytes are kept in a file of the folder, and the next one is tried.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import ROOT
from tests.wasi_nn_torch.onnx.mutating import drawn
from wasi_nn_torch.contract import (
    BackendOptions,
    ElementType,
    ExecutionTarget,
    GuestModels,
    Ledger,
    ModelError,
    ModelOptions,
    NnError,
)
from wasi_nn_torch.onnx.backend import OnnxBackend
from wasi_nn_torch.onnx.dtypes import OF_WASI_NN
from wasi_nn_torch.pytorch import PyTorch

#: The address space that a process may use, so that a large tensor fails at once.
MOST_MEMORY = 8 << 30
#: The seconds that one model may take.
PATIENCE = 60


class Host:
    """A session of both engines, which loads and computes models of a guest, or of the operator."""

    def __init__(self, are_registered: bool) -> None:
        options = BackendOptions("cpu", GuestModels.ANY, threads=1)
        self.ledger = Ledger(64 << 20, 64 << 20)
        self._backend = OnnxBackend(options)
        self._onnx = self._backend.session(self.ledger)
        self._tensors = PyTorch(options).session(self.ledger)
        self._are_registered = are_registered

    def outcome(self, model: bytes, random: Any) -> str:
        """How a model ends: the code of the error, or that it computed."""
        try:
            graph = self._load(model)
            context = self._onnx.context(graph)
            inputs = []
            for each in graph.signature.inputs:
                shape = [size if isinstance(size, int) and 0 <= size < 100 else 2 for size in each.shape or (2, 4)]
                dtype = each.type.shown
                numbers = [random.randrange(5) for _ in range(int(np.prod(shape)))]
                data = np.array(numbers).astype(OF_WASI_NN[dtype].numpy).tobytes()
                inputs.append((each.name, self._tensors.tensor(shape, ElementType(dtype), memoryview(data))))
            for _, output in context.compute(inputs):
                output.drop()
        except NnError as error:
            return error.code.value
        except ModelError:
            return "refused"
        return "computed"

    def _load(self, model: bytes):
        if self._are_registered:
            return self._backend.load(model, "cpu", "the model", ModelOptions())
        return self._onnx.load([memoryview(model)], ExecutionTarget.CPU)


def work(seed: int, first: int, count: int, are_registered: bool) -> None:
    """Print the outcome of each model on a line, and then the number of tensors that are left."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    host = Host(are_registered)
    for number in range(first, count):
        print(host.outcome(*drawn(seed, number)), flush=True)
    print(host.ledger.snapshot().live_tensors, flush=True)


def fuzz(seed: int, count: int, are_registered: bool = False, keep: Path | None = None) -> tuple[Counter[str], int]:
    """How many models ended how, and the number of tensors that were left."""
    outcomes, done, left = Counter[str](), 0, 0
    while done < count:
        words = [sys.executable, "-m", "tests.wasi_nn_torch.onnx.fuzzing", str(seed), str(count), "--first", str(done)]
        words += ["--registered"] if are_registered else []
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as worker:
            lines, errors = worker.communicate(timeout=PATIENCE + count)
        found = lines.split("\n")[:-1]
        outcomes.update(found[: count - done])
        done += len(found)
        if worker.returncode < 0:
            outcomes["crashed"] += 1
            last = errors.strip().splitlines()[-1:]
            print(f"model {done} of seed {seed} ended the process: signal {-worker.returncode}", *last, file=sys.stderr)
            if keep is not None:
                (keep / f"{seed}-{done}.onnx").write_bytes(drawn(seed, done)[0])
            done += 1
        elif worker.returncode:
            raise RuntimeError(errors)
        else:
            left = int(found[-1])
            break
    return outcomes, left


def main() -> None:
    """See the text of this module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--registered", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--first", type=int, help="be the process that works, and begin with this model")
    arguments = parser.parse_args()
    if arguments.first is not None:
        work(arguments.seed, arguments.first, arguments.count, arguments.registered)
        return
    outcomes, left = fuzz(arguments.seed, arguments.count, arguments.registered, arguments.keep)
    print(dict(outcomes), f"{left} tensors left", flush=True)
    sys.exit(1 if outcomes["crashed"] else 0)


if __name__ == "__main__":
    main()
