"""A command that computes a model once on inputs from files: `compute name=NAME|file=PATH`.

`job/inputs.json` lists the inputs: name, type, dimensions, and the file in `job` that holds the elements. Outputs are
written to `answer` in the same way.
"""

import json
import sys
from pathlib import Path

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.graph import ExecutionTarget, Graph, GraphEncoding, load, load_by_name
from wit_world.imports.tensor import Tensor, TensorType

JOB, ANSWER = Path("job"), Path("answer")


class Run(exports.Run):
    """The export `wasi:cli/run`."""

    def run(self) -> None:
        try:
            compute()
        except Err as refusal:
            with refusal.value as error:
                print(f"{error.code().name.lower().replace('_', '-')}: {error.data()}", file=sys.stderr)
            raise Err(None) from None


def compute() -> None:
    """Compute the model, and write each output."""
    listed = json.loads((JOB / "inputs.json").read_text())
    inputs = [
        (name, Tensor(dimensions, TensorType[ty], (JOB / file).read_bytes())) for name, ty, dimensions, file in listed
    ]
    answered = []
    with model() as graph, graph.init_execution_context() as context:
        for number, (name, output) in enumerate(context.compute(inputs)):
            with output:
                (ANSWER / str(number)).write_bytes(output.data())
                answered.append([name, output.ty().name, output.dimensions(), str(number)])
    (ANSWER / "outputs.json").write_text(json.dumps(answered))


def model() -> Graph:
    """The graph that the arguments name."""
    kind, _, value = sys.argv[1].partition("=")
    if kind == "name":
        return load_by_name(value)
    return load([Path(value).read_bytes()], GraphEncoding.PYTORCH, ExecutionTarget.CPU)
