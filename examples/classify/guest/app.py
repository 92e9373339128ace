"""A command that classifies pictures with wasi-nn: `classify PICTURE…`.

It contains no model. It uses the host's model `classifier`, which takes a picture of any size and returns a probability
for each line of the labels file.
"""

import sys
from array import array
from heapq import nlargest
from pathlib import Path
from typing import NoReturn

from componentize_py_types import Err
from ppm import Picture, PictureError, read_picture
from wit_world import exports
from wit_world.imports.errors import Error
from wit_world.imports.graph import load_by_name
from wit_world.imports.inference import GraphExecutionContext
from wit_world.imports.tensor import Tensor, TensorType

MODEL = "classifier"
LABELS = Path("labels/imagenet.txt")
BEST = 5


class UsageError(Exception):
    """The arguments or files of the command are wrong."""


class Run(exports.Run):
    """The export `wasi:cli/run`: raising `Err` makes the exit status 1."""

    def run(self) -> None:
        try:
            classify([Path(argument) for argument in sys.argv[1:]])
        except Err as refusal:
            fail(describe(refusal.value))
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}")
        except (PictureError, UsageError) as error:
            fail(str(error))


def classify(paths: list[Path]) -> None:
    """Prints the best classes of each picture."""
    if not paths:
        raise UsageError("usage: classify PICTURE…")
    labels = LABELS.read_text().splitlines()
    with load_by_name(MODEL) as graph, graph.init_execution_context() as context:
        for path in paths:
            picture = read_picture(path)
            chances = infer(context, picture)
            if len(chances) != len(labels):
                raise UsageError(f"{LABELS}: the model knows {len(chances)} classes, this file names {len(labels)}")
            print(f"{path}  {picture.width} x {picture.height}")
            print_best(chances, labels)


def infer(context: GraphExecutionContext, picture: Picture) -> array[float]:
    """Runs the model on a picture; gives the probability of each class."""
    image = Tensor([picture.height, picture.width, 3], TensorType.U8, picture.pixels)
    [(_, output)] = context.compute([("image", image)])  # `image` now belongs to the host
    with output:
        return array("f", output.data())


def print_best(chances: array[float], labels: list[str]) -> None:
    """Prints the most probable classes as a bar chart."""
    for chance, label in nlargest(BEST, zip(chances, labels, strict=True)):
        print(f"  {chance:6.1%}  {label:<24}  {'█' * round(chance * 30)}".rstrip())
    print()


def describe(error: Error) -> str:
    """The error of the host, as `code: text`."""
    with error:
        return f"{error.code().name.lower().replace('_', '-')}: {error.data()}"


def fail(message: str) -> NoReturn:
    """Ends the command with a message and exit status 1."""
    print(message, file=sys.stderr)
    raise Err(None)
