"""Prepare the peer, in the environment that `make bench-peers` makes, which has OpenVINO but not PyTorch.

In: a directory. Out: in it `lib/`, the libraries under the names that Wasmtime's wasi-nn looks for, and for each shape
a model `<name>/model` that adds 1. On stdout: the path of the program.

    build/peers/bin/python benchmarks/peer_setup.py DIRECTORY NAME=1x4 …
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import openvino
import wasmtime_cli
from openvino import opset13


def link_libraries(directory: Path) -> None:
    """Give each library a name without its version."""
    directory.mkdir(parents=True, exist_ok=True)
    for library in (Path(openvino.__file__).parent / "libs").glob("*.so*"):
        for name in (library.name, library.name.partition(".so")[0] + ".so"):
            link = directory / name
            link.unlink(missing_ok=True)
            link.symlink_to(library)


def write_model(directory: Path, shape: list[int]) -> None:
    """Write a model whose input is named `0`."""
    directory.mkdir(parents=True, exist_ok=True)
    given = opset13.parameter(shape, numpy.float32, name="given")
    given.output(0).get_tensor().set_names({"0"})
    made = opset13.add(given, opset13.constant(numpy.ones(1, numpy.float32)))
    made.output(0).get_tensor().set_names({"output"})
    openvino.serialize(openvino.Model([made], [given], "add"), directory / "model.xml", directory / "model.bin")


def main(target: str, *models: str) -> None:
    """Write everything to the directory `target`, and print the path of the program."""
    directory = Path(target)
    link_libraries(directory / "lib")
    for model in models:
        name, _, shape = model.partition("=")
        write_model(directory / name / "model", [int(size) for size in shape.split("x")])
    program = Path(wasmtime_cli.__file__).parent / "wasmtime"
    program.chmod(program.stat().st_mode | 0o111)
    print(program)


if __name__ == "__main__":
    main(*sys.argv[1:])
