"""A pipeline: it checks scores, computes the model, and adds the place of the best score to the answer."""

from functools import cache

from componentize_py_types import Err
from models import Model, ModelError, passed, taken
from tensors import Tensor
from wit_world import exports
from wit_world.exports.handler import Datatype, Description, Failure, Request, TensorDescription
from wit_world.imports import tensor


class Handler(exports.Handler):
    """The export `wasi-nn-torch:pipeline/handler`."""

    def describe(self) -> Description:
        return Description(
            inputs=[TensorDescription("scores", Datatype.FP32, [-1])],
            outputs=[
                TensorDescription("probabilities", Datatype.FP32, [-1]),
                TensorDescription("best", Datatype.INT64, [1]),
            ],
        )

    def infer(self, request: Request, inputs: list[tuple[str, tensor.Tensor]]) -> list[tuple[str, tensor.Tensor]]:
        scores = taken(dict(inputs)["scores"])  # the server has compared the inputs with the description
        try:
            outputs = answer(scores)
        except ModelError as error:
            is_request = error.code == "invalid-argument"
            raise Err(Failure(400 if is_request else 500, error.data)) from None
        return [(name, passed(output)) for name, output in outputs.items()]


def answer(scores: Tensor) -> dict[str, Tensor]:
    """The outputs for the scores, FP32 [n]. Raises `Err` for the client, and `ModelError`."""
    if not scores.numbers():
        raise Err(Failure(400, "there are no scores; give at least one"))
    probabilities = model().compute({"scores": scores})["probabilities"]
    chances = probabilities.numbers()
    return {"probabilities": probabilities, "best": Tensor.of([chances.index(max(chances))], "I64")}


@cache
def model() -> Model:
    """The model, which stays open for later requests."""
    return Model("model")
