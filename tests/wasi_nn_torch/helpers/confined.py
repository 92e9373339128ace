"""A program that loads and computes models in a confined process, as a worker does.

It reads pairs of a model and its inputs, pickled, from a file, and prints a line of JSON for each number of threads:
the outputs of each model, and the files and modules that were asked for meanwhile.
"""

import json
import os
import pickle
import sys
from pathlib import Path

import torch

from wasi_nn_torch.contract.errors import NnError
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.tensor import read_bytes
from wasi_nn_torch.contract.vocabulary import ElementType
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.preloading import preload
from wasi_nn_torch.pytorch.staging import SessionMemory
from wasi_nn_torch.pytorch.tensors import DeviceTensor
from wasi_nn_torch.workers.confinement import Confinement, confine

#: Of Python's audit events, those of files and modules.
WATCHED = ("open", "import", "os.listdir", "os.scandir", "ctypes.dlopen")


def main(file: str) -> None:
    models = pickle.loads(Path(file).read_bytes())
    preload()
    for threads in (1, 4):
        child = os.fork()
        if not child:
            try:
                confine(Confinement(memory=1 << 30))
                torch.set_num_threads(threads)
                print(json.dumps(computed(models)), flush=True)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def computed(models: list[tuple[bytes, list[torch.Tensor]]]) -> dict[str, list]:
    """The outputs of models, as lists, and what was asked for."""
    asked: list[str] = []
    sys.addaudithook(lambda event, arguments: asked.append(f"{event} {arguments[0]}") if event in WATCHED else None)
    return {"outputs": [outputs_of(*each) for each in models], "asked": asked}


def outputs_of(model: bytes, inputs: list[torch.Tensor]) -> list[list[float]] | str:
    memory = SessionMemory.of(Ledger())
    graph = load_from_guest(model, CPU, checks=True)
    given = [
        (parameter.name, DeviceTensor.from_guest(each.shape, ElementType.FP32, memoryview(each.numpy()), memory))
        for parameter, each in zip(graph.signature.inputs, inputs, strict=False)
    ]
    try:
        outputs = graph.context(memory).compute(given)
    except NnError as error:
        return str(error)
    return [torch.frombuffer(read_bytes(output), dtype=torch.float32).tolist() for _, output in outputs]


if __name__ == "__main__":
    main(sys.argv[1])
