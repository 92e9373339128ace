"""Models that harm a process which gives them to ONNX Runtime, and what this host does with them.

`python -m tests.wasi_nn_torch.onnx.attacks` computes each in a process of its own, and prints a table.
"""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.conftest import ROOT
from tests.wasi_nn_torch.onnx.fuzzing import Host
from tests.wasi_nn_torch.onnx.models import linear, model, node, value
from wasi_nn_torch.contract import NnError
from wasi_nn_torch.onnx.vetting import vet

#: The seconds and the bytes of address space that an attack gets.
PATIENCE, ROOM = 60, 4 << 30


def of(made: onnx.NodeProto, *weights: onnx.TensorProto, outputs: str = "y", opset: int = 21) -> bytes:
    """A model with one node, on an input `x` of 2 by 3 numbers."""
    return model([made], [value("x", [2, 3])], [value(each, None) for each in outputs.split()], weights, opset)


def external(path: str) -> bytes:
    """A model whose weights are those in a file."""
    made = linear(2)
    weights = made.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=path)
    return made.SerializeToString()


def endless() -> bytes:
    """A loop of 2 ** 62 rounds."""
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Add", "s s", "t")],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("s", None)],
        [value("on", [], TensorProto.BOOL), value("t", None)],
    )
    constants = [
        numpy_helper.from_array(np.array(2**62), "rounds"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    return of(helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body), *constants)


@cache
def attacks() -> Mapping[str, bytes]:
    """The models by what they do."""
    ones = numpy_helper.from_array(np.ones(3, np.float32), "g")
    size = numpy_helper.from_array(np.array([2**20, 2**14]), "s")
    return {
        "`Split` into more outputs than `num_outputs`": of(
            helper.make_node("Split", ["x"], ["y", "z"], num_outputs=1), outputs="y z"
        ),
        "`DFT` with empty inputs": model(
            [helper.make_node("DFT", ["x", "", ""], ["y"])], [value("x", [2, 1, 2])], [value("y", None)], opset=22
        ),
        "`LayerNormalization` with an empty last input": of(
            helper.make_node("LayerNormalization", ["x", "g", ""], ["y"]), ones
        ),
        "`Einsum` without an input": of(helper.make_node("Einsum", ["x", ""], ["y"], equation="ij,ij->ij")),
        "`GatherND` with `batch_dims` -2": of(
            helper.make_node("GatherND", ["x", "i"], ["y"], batch_dims=-2),
            numpy_helper.from_array(np.array([[0], [1]]), "i"),
        ),
        "a loop of 2^62 rounds": endless(),
        "64 GiB that are computed while the model is loaded": of(
            helper.make_node("ConstantOfShape", ["s"], ["y"]), size
        ),
        "weights in `/etc/hostname`": external("/etc/hostname"),
        "weights in `../../etc/hostname`": external("../../etc/hostname"),
        "10 million parts of two bytes": b"\x08\x0a\x3a" + b"\x80\xda\xc4\x09" + b"\x0a\x00" * 10_000_000,
        "an operator of another library": of(helper.make_node("Custom", ["x"], ["y"], domain="com.example")),
        "random numbers": of(helper.make_node("RandomNormalLike", ["x"], ["y"])),
    }


def directly(name: str) -> None:
    """Compute a model with ONNX Runtime."""
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(attacks()[name], options, enable_fallback=0)
    print("loaded", flush=True)
    session.run(None, {each.name: np.ones(each.shape, np.float32) for each in session.get_inputs()})


def ending(name: str) -> str:
    """How a process ends that computes a model with ONNX Runtime."""
    words = [sys.executable, "-W", "ignore", "-m", "tests.wasi_nn_torch.onnx.attacks", name]
    try:
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {PATIENCE} s"
    when = "computed" if "loaded" in done.stdout else "loaded"
    if done.returncode < 0:
        return f"**{signal.Signals(-done.returncode).name}** when it is {when}"
    return "computed" if done.returncode == 0 else f"an error when it is {when}"


def here(name: str) -> str:
    """What this host does with a model: the reason of the check, or how the computation ends."""
    try:
        vet(attacks()[name])
    except NnError as error:
        return f"refused: {error.text.partition(': ')[2]}"
    return Host(are_registered=False).outcome(attacks()[name], random.Random(0))


def main() -> None:
    """See the text of this module."""
    if sys.argv[1:]:
        directly(sys.argv[1])
        return
    print("| a guest supplies | ONNX Runtime alone | this host |\n| --- | --- | --- |")
    for name in attacks():
        print(f"| {name} | {ending(name)} | {here(name)} |", flush=True)


if __name__ == "__main__":
    main()
