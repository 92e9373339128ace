"""A guest that a test controls: `probe COMMAND…`. Answers are JSON, one value on each line of standard output."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.errors import Error
from wit_world.imports.graph import ExecutionTarget, Graph, GraphEncoding, load, load_by_name
from wit_world.imports.tensor import Tensor, TensorType

#: The guest's Python writes no more characters than this at once, and drops the others.
PIECE = 4096

KEPT: list[object] = []
#: The objects that `play` has made, by the names that the test gave them.
THINGS: dict[str, Any] = {}


class Run(exports.Run):
    """The export `wasi:cli/run`."""

    def run(self) -> None:
        command, *arguments = sys.argv[1:]
        COMMANDS[command](*arguments)


def tensors(inputs: str) -> None:
    """Makes each tensor of a JSON list, and shows it as the host returns it."""
    for dimensions, ty, data in json.loads(inputs):
        with Tensor(dimensions, TensorType[ty], bytes.fromhex(data)) as tensor:
            answer([tensor.dimensions(), tensor.ty().name, tensor.data().hex()])


def by_name(name: str, *computations: str) -> None:
    """Computes one of the host's graphs once for each JSON list of inputs."""
    with_graph(lambda: load_by_name(name), computations)


def from_bytes(path: str, encoding: str, target: str, *computations: str) -> None:
    """Computes a graph from a file; several files make several builders."""
    builders = [Path(part).read_bytes() for part in path.split(",") if part]
    with_graph(lambda: load(builders, GraphEncoding[encoding], ExecutionTarget[target]), computations)


def with_graph(get: Callable[[], Graph], computations: tuple[str, ...]) -> None:
    try:
        with get() as graph, graph.init_execution_context() as context:
            for inputs in computations:
                named = [
                    (name, Tensor(dims, TensorType[ty], bytes.fromhex(data)))
                    for name, dims, ty, data in json.loads(inputs)
                ]
                try:
                    outputs = context.compute(named)
                except Err as refusal:
                    answer(described(refusal.value))
                    continue
                answer([[name, out.dimensions(), out.ty().name, out.data().hex()] for name, out in outputs])
                for _, output in outputs:
                    output.__exit__(None, None, None)
    except Err as refusal:
        answer(described(refusal.value))


def chain(name: str, times: str, inputs: str) -> None:
    """Feeds the output of a graph back into it, as its input `x`, and reads it only at the end."""
    named = [(name, Tensor(dims, TensorType[ty], bytes.fromhex(data))) for name, dims, ty, data in json.loads(inputs)]
    with load_by_name(name) as graph, graph.init_execution_context() as context:
        for _ in range(int(times)):
            named = [("x", tensor) for _, tensor in context.compute(named)]
        answer([["output", out.dimensions(), out.ty().name, out.data().hex()] for _, out in named])


def leave(name: str) -> None:
    """Leaves a tensor, a graph, a context, an output and an error behind."""
    graph = load_by_name(name)
    context = graph.init_execution_context()
    outputs = context.compute([("x", Tensor([2], TensorType.FP32, bytes(8)))])
    KEPT.extend([Tensor([4], TensorType.U8, bytes(4)), graph, context, outputs])
    try:
        load_by_name("there is none")
    except Err as refusal:
        KEPT.append(refusal.value)


def leave_and(name: str, command: str, *arguments: str) -> None:
    """Leaves resources behind, then does something else."""
    leave(name)
    COMMANDS[command](*arguments)


def play(script: str) -> None:
    """Does the steps of a JSON list, one after the other; objects that are not dropped are left behind.

    A step is the name of a function, which is one of the steps below or of the commands, and its arguments.
    """
    for name, *arguments in json.loads(script):
        try:
            {**COMMANDS, **STEPS}[name](*arguments)
        except Err as refusal:
            if refusal.value is None:  # of `refuse`
                raise
            answer(described(refusal.value))


def make(name: str, dimensions: list[int], ty: str, data: str | int) -> None:
    """Makes a tensor; `data` in hexadecimal, or a number of zeros."""
    content = bytes.fromhex(data) if isinstance(data, str) else bytes(data)
    THINGS[name] = Tensor(dimensions, TensorType[ty], content)


def get(name: str, graph: str) -> None:
    """Gets one of the host's graphs."""
    THINGS[name] = load_by_name(graph)


def bring(name: str, path: str, target: str) -> None:
    """Loads a graph from a file."""
    THINGS[name] = load([Path(path).read_bytes()], GraphEncoding.PYTORCH, ExecutionTarget[target])


def begin(name: str, graph: str) -> None:
    """Makes a context."""
    THINGS[name] = THINGS[graph].init_execution_context()


def compute(context: str, inputs: dict[str, str], *outputs: str) -> None:
    """Computes; the inputs are gone afterwards, whatever the outcome."""
    named = [(parameter, THINGS.pop(tensor)) for parameter, tensor in inputs.items()]
    results = [tensor for _, tensor in THINGS[context].compute(named)]
    THINGS.update(zip(outputs, results, strict=True))


def drop(*names: str) -> None:
    """Drops things."""
    for name in names:
        THINGS.pop(name).__exit__(None, None, None)


def show(name: str) -> None:
    """Shows a tensor with its elements."""
    tensor = THINGS[name]
    answer([tensor.dimensions(), tensor.ty().name, tensor.data().hex()])


def describe(name: str) -> None:
    """Shows a tensor without its elements."""
    answer([THINGS[name].dimensions(), THINGS[name].ty().name])


def say(text: str) -> None:
    """Tells the test how far the play is."""
    answer(text)


def big(size: str) -> None:
    """Passes one tensor of many bytes to the host and gets it back."""
    content = os.urandom(1024) * (int(size) // 1024 + 1)
    content = content[: int(size)]
    with Tensor([len(content)], TensorType.U8, content) as tensor:
        answer(tensor.data() == content)


def trap() -> None:
    """Raises an exception that is not caught."""
    raise ValueError("as the test told me to")


def leave_with(status: str) -> None:
    """Exits."""
    sys.exit(int(status))


def refuse() -> None:
    """Returns an error from `run`."""
    raise Err(None)


def loop() -> None:
    """Never ends."""
    while True:
        pass


def speak_and_loop() -> None:
    """Says a word, then never ends."""
    print("running", flush=True)
    loop()


def sleep(seconds: str) -> None:
    """Waits in a call of WASI."""
    time.sleep(float(seconds))


def surroundings(*_: str) -> None:
    """Shows arguments, environment and standard input."""
    answer([sys.argv, dict(os.environ), sys.stdin.read()])


def copy(source: str, target: str) -> None:
    """Copies a file."""
    Path(target).write_bytes(Path(source).read_bytes())


def change(*arguments: str) -> None:
    """Tries several ways to change a directory, each on its own path or two; shows which of them the host refused."""
    refused = {}
    for how, path in zip(arguments[::2], arguments[1::2], strict=True):
        try:
            CHANGES[how](path)
        except OSError as error:
            refused[how] = error.strerror
    answer(refused)


CHANGES: dict[str, Callable[[str], object]] = {
    "create": lambda path: Path(path).write_text("new"),
    "overwrite": lambda path: os.close(os.open(path, os.O_WRONLY)),
    "append": lambda path: Path(path).open("ab").close(),
    "truncate": lambda path: os.truncate(path, 1),
    "empty": lambda path: Path(path).open("wb").close(),
    "delete": os.unlink,
    "rename": lambda paths: os.rename(*paths.split(",")),
    "make a folder": os.mkdir,
    "remove a folder": os.rmdir,
    "link": lambda paths: os.link(*paths.split(",")),
    "link by name": lambda path: os.symlink("a", path),
    "set times": lambda path: os.utime(path, (1, 1)),
}


def execute(code: str) -> None:
    """Executes Python code, which can call `answer`."""
    exec(code, {"answer": answer})


def speak(text: str) -> None:
    """Writes to both streams."""
    print(text)
    print(text, file=sys.stderr)


def described(error: Error) -> dict[str, str]:
    with error:
        return {"code": error.code().name, "text": error.data()}


def answer(value: object) -> None:
    text = json.dumps(value)
    for start in range(0, len(text), PIECE):
        print(text[start : start + PIECE], end="", flush=True)
    print(flush=True)


COMMANDS: dict[str, Callable[..., None]] = {
    command.__name__: command
    for command in (
        tensors, by_name, from_bytes, chain, leave, leave_and, big, trap, leave_with, refuse, loop, sleep, surroundings,
        copy, change, speak, speak_and_loop, play, execute,
    )
}  # fmt: skip
STEPS: dict[str, Callable[..., None]] = {
    step.__name__: step for step in (make, get, bring, begin, compute, drop, show, describe, say)
}
