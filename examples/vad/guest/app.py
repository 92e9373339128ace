"""A command that finds speech with wasi-nn: `vad [--probabilities] RECORDING…`.

It contains no model. It uses the host's model `vad`, which takes the chunks of a recording one by one and returns the
probability of speech in each. The model keeps its state in the execution context, so each recording has its own, and
all recordings are processed side by side.
"""

import sys
from array import array
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import NoReturn

from componentize_py_types import Err
from recording import CHUNK, RATE, RecordingError, chunks, read_recording
from segments import Rules, speech_segments
from wit_world import exports
from wit_world.imports.errors import Error
from wit_world.imports.graph import Graph, load_by_name
from wit_world.imports.inference import GraphExecutionContext
from wit_world.imports.tensor import Tensor, TensorType

MODEL = "vad"
PROBABILITIES = "--probabilities"


class UsageError(Exception):
    """The arguments of the command are wrong."""


class Run(exports.Run):
    """The export `wasi:cli/run`: raising `Err` makes the exit status 1."""

    def run(self) -> None:
        try:
            vad(sys.argv[1:])
        except Err as refusal:
            fail(describe(refusal.value))
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror}")
        except (RecordingError, UsageError) as error:
            fail(str(error))


def vad(arguments: list[str]) -> None:
    """Prints the segments with speech in each recording, or with `--probabilities` the probability for each chunk."""
    paths = [Path(argument) for argument in arguments if argument != PROBABILITIES]
    if not paths:
        raise UsageError(f"usage: vad [{PROBABILITIES}] RECORDING…")
    recordings = [read_recording(path) for path in paths]
    with load_by_name(MODEL) as graph:
        heard = listen(graph, recordings)
    for path, samples, probabilities in zip(paths, recordings, heard, strict=True):
        print(f"{path}  {len(samples) / RATE:.2f} s")
        if PROBABILITIES in arguments:
            print_probabilities(probabilities)
        else:
            print_segments(probabilities, len(samples))


def listen(graph: Graph, recordings: list[array[int]]) -> list[array[float]]:
    """Processes a chunk of each recording in turn; returns the probability of speech per chunk, for each recording."""
    heard = [array("f") for _ in recordings]
    with ExitStack() as stack:
        contexts = [stack.enter_context(graph.init_execution_context()) for _ in recordings]
        for turn in zip_longest(*map(chunks, recordings)):
            for context, chunk, probabilities in zip(contexts, turn, heard, strict=True):
                if chunk is not None:
                    probabilities.append(infer(context, chunk))
    return heard


def infer(context: GraphExecutionContext, chunk: array[float]) -> float:
    """Runs the model on the next chunk; returns the probability of speech in it."""
    sound = Tensor([1, CHUNK], TensorType.FP32, chunk.tobytes())
    rate = Tensor([1], TensorType.I64, array("q", [RATE]).tobytes())
    [(_, output)] = context.compute([("x", sound), ("sr", rate)])  # `sound` and `rate` now belong to the host
    with output:
        [probability] = array("f", output.data())
    return probability


def print_segments(probabilities: array[float], length: int) -> None:
    """Prints the beginning and the end of each segment."""
    for segment in speech_segments(probabilities, CHUNK, length, Rules()):
        print(f"  {segment.start / RATE:6.2f} s … {segment.end / RATE:6.2f} s", flush=True)


def print_probabilities(probabilities: array[float]) -> None:
    """Prints the beginning of each chunk and its probability, with as many digits as the number needs."""
    for number, probability in enumerate(probabilities):
        # Line by line, because this Python loses all output after 4096 characters of a single write.
        print(f"  {number * CHUNK / RATE:7.3f} s  {probability:.9g}", flush=True)


def describe(error: Error) -> str:
    """The error of the host, as `code: text`."""
    with error:
        return f"{error.code().name.lower().replace('_', '-')}: {error.data()}"


def fail(message: str) -> NoReturn:
    """Ends the command with a message and exit status 1."""
    print(message, file=sys.stderr)
    raise Err(None)
