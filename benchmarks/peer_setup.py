"""Prepare the peer, in the environment that `make bench-peers` makes, which has OpenVINO but not PyTorch.

In: a directory with ONNX models `<name>/model.onnx`, and their names. Out: in it `lib/`, the libraries under the names
that Wasmtime's wasi-nn looks for, and the models as OpenVINO has them. On stdout: the path of the program.

    build/peers/bin/python benchmarks/peer_setup.py DIRECTORY NAME …
"""

from __future__ import annotations

import sys
from pathlib import Path

import openvino
import wasmtime_cli


def link_libraries(directory: Path) -> None:
    """Give each library a name without its version."""
    directory.mkdir(parents=True, exist_ok=True)
    for library in (Path(openvino.__file__).parent / "libs").glob("*.so*"):
        for name in (library.name, library.name.partition(".so")[0] + ".so"):
            link = directory / name
            link.unlink(missing_ok=True)
            link.symlink_to(library)


def convert(directory: Path) -> None:
    """Write `model/model.xml` and `model.bin` beside an ONNX model, whose input is then named `0`."""
    (directory / "model").mkdir(exist_ok=True)
    model = openvino.Core().read_model(directory / "model.onnx")
    model.input(0).get_tensor().set_names({"0"})
    # In full precision, as the other models are.
    openvino.save_model(model, directory / "model/model.xml", compress_to_fp16=False)


def main(target: str, *names: str) -> None:
    """Write everything to the directory `target`, and print the path of the program."""
    directory = Path(target)
    link_libraries(directory / "lib")
    for name in names:
        convert(directory / name)
    program = Path(wasmtime_cli.__file__).parent / "wasmtime"
    program.chmod(program.stat().st_mode | 0o111)
    print(program)


if __name__ == "__main__":
    main(*sys.argv[1:])
