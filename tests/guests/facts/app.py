"""What the page on guests in Python says of them: prints it as JSON, or does what ends a guest."""

import json
import sys
from array import array

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.graph import load_by_name
from wit_world.imports.tensor import Tensor, TensorType

NUMBERS = array("f", [1, 2, 3, 4])
LONG = "x" * 8192 + "y" * 8192


class Run(exports.Run):
    def run(self) -> None:
        ENDINGS[sys.argv[1]]()


def facts() -> None:
    print(json.dumps({"csv": failure("csv"), "math": failure("math"), "json": failure("json")}))


def failure(module: str) -> str | None:
    """The exception of an import inside a function."""
    try:
        __import__(module)
    except ImportError as error:
        return type(error).__name__
    return None


def compute(again: bool = False) -> None:
    tensor = Tensor([4], TensorType.FP32, NUMBERS.tobytes())
    with load_by_name("model") as graph, graph.init_execution_context() as context:
        context.compute([("x", tensor)])
        if again:
            context.compute([("x", tensor)])
    with tensor:
        pass
    print("it could be dropped")


def print_buffered() -> None:
    with open(1, "w", closefd=False) as output:
        print(LONG, file=output)


def give_up() -> None:
    raise Err(None)


ENDINGS = {
    "facts": facts,
    "print": lambda: print(LONG),
    "buffered": print_buffered,
    "err": lambda: load_by_name("nothing"),
    "own err": give_up,
    "exception": lambda: 1 // 0,
    "thread": lambda: __import__("threading"),
    "exit": lambda: sys.exit(3),
    "array": lambda: Tensor([4], TensorType.FP32, NUMBERS),
    "bytearray": lambda: Tensor([4], TensorType.FP32, bytearray(NUMBERS.tobytes())),
    "again": lambda: compute(again=True),
    "with": compute,
}
