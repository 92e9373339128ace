"""A pipeline that takes the bytes of a photograph, and returns the names of its most probable classes.

It decodes the photograph, and computes the host's model `classifier` on the pixels. The names of the classes are in the
component, because a pipeline has no files.
"""

from array import array
from functools import cache
from heapq import nlargest

from componentize_py_types import Err
from labels import LABELS
from ppm import Picture, PictureError, parse_picture
from wit_world import exports
from wit_world.exports.handler import Datatype, Description, Failure, Parameter_Int, Request, TensorDescription
from wit_world.imports.errors import ErrorCode
from wit_world.imports.graph import load_by_name
from wit_world.imports.inference import GraphExecutionContext
from wit_world.imports.tensor import Tensor, TensorType

MODEL = "classifier"
BEST = 5

Named = tuple[str, Tensor]


class Handler(exports.Handler):
    """The export `wasi-nn-torch:pipeline/handler`."""

    def describe(self) -> Description:
        return Description(
            inputs=[TensorDescription("photo", Datatype.BYTES, [1])],
            outputs=[
                TensorDescription("names", Datatype.BYTES, [-1]),
                TensorDescription("probabilities", Datatype.FP32, [-1]),
            ],
        )

    def infer(self, request: Request, inputs: list[Named]) -> list[Named]:
        best = wanted(request)
        try:
            picture = parse_picture(only_element(dict(inputs)["photo"]))
        except PictureError as error:
            raise Err(Failure(400, f"photo: {error}")) from None
        chances = probabilities(picture)
        if len(chances) != len(LABELS):
            raise Err(Failure(500, f"`{MODEL}` knows {len(chances)} classes, and the pipeline names {len(LABELS)}"))
        found = nlargest(best, zip(chances, LABELS, strict=True))
        return [
            ("names", texts([label for _, label in found])),
            (
                "probabilities",
                Tensor([len(found)], TensorType.FP32, array("f", [chance for chance, _ in found]).tobytes()),
            ),
        ]


def wanted(request: Request) -> int:
    """How many classes the client wants: its parameter `best`."""
    given = dict(request.parameters).get("best", Parameter_Int(BEST))
    if not isinstance(given, Parameter_Int) or not 1 <= given.value <= len(LABELS):
        raise Err(Failure(400, f"the parameter `best` must be an integer from 1 to {len(LABELS)}"))
    return given.value


def only_element(photo: Tensor) -> bytes:
    """The bytes of the only element, which come after their length."""
    with photo:
        return photo.data()[4:]


def texts(every: list[str]) -> Tensor:
    """A tensor of texts: for each its length, as four bytes, and its characters in UTF-8."""
    data = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in every)
    return Tensor([len(data)], TensorType.U8, data)


def probabilities(picture: Picture) -> array[float]:
    """The probability of each class."""
    image = Tensor([picture.height, picture.width, 3], TensorType.U8, picture.pixels)
    try:
        [(_, output)] = classifier().compute([("image", image)])  # `image` now belongs to the host
    except Err as refusal:
        with refusal.value as error:
            status = 400 if error.code() == ErrorCode.INVALID_ARGUMENT else 500
            raise Err(Failure(status, error.data())) from None
    with output:
        return array("f", output.data())


@cache
def classifier() -> GraphExecutionContext:
    """The model, which stays open for later requests."""
    with load_by_name(MODEL) as graph:
        return graph.init_execution_context()
