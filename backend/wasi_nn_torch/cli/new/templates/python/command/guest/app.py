"""A command that computes a model with wasi-nn: its arguments are numbers, and it prints what the model returns."""

import sys
import traceback

from componentize_py_types import Err
from models import Model
from wit_world import exports


class Run(exports.Run):
    """The export `wasi:cli/run`."""

    def run(self) -> None:
        try:
            main(sys.argv[1:])
        except Exception:
            traceback.print_exc()
            raise Err(None) from None  # exit status 1


def main(arguments: list[str]) -> None:
    """Compute the model once, and print its outputs."""
    scores = [float(argument) for argument in arguments]
    with Model("model") as model:
        outputs = model.compute({"scores": scores})
    for name, tensor in outputs.items():
        print(f"{name}: {tensor.dtype} {list(tensor.shape)}", *(f"{number:.4f}" for number in tensor.numbers()))
