"""The decision whether the requests to a model can be joined: by what it declares, and by trial.

A model that treats each row by itself gives a row the same outputs whatever its neighbours are, in any batch and each
time. The trial computes a few rows alone and together, with neighbours that are harmless, huge, infinite and NaN.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.joining.rows import NotByRows

logger = logging.getLogger(__name__)

V = TypeVar("V")
T = TypeVar("T")
#: Inputs of one or several rows, and the outputs for them.
Inputs = Mapping[str, V]
Outputs = Sequence[tuple[str, V]]

#: How much outputs of one row may differ, in proportion to their largest element, by the bits of the elements: on the
#: CPU, and on accelerators, which may round more.
_TOLERANCES = {64: (1e-6, 1e-6), 32: (1e-4, 2e-3)}
_COARSE = (3e-2, 3e-2)
#: The factor of the neighbours that are huge; their squares are still finite in FP32.
_HUGE = 1e6

_VOUCH = (
    "leave out the option `batch`, or vouch for the model with Batch(trial=False), on the command line batch-trial=no"
)


class Engine(Protocol[V]):
    """What the trial needs of an engine with a model; its values have rows in dimension 0, or are numbers."""

    def draw(self) -> Inputs[V]:
        """Inputs of one row, by name, drawn at random; raises Unfit if there is an input without rows."""
        ...

    def compute(self, inputs: Sequence[Inputs[V]], rows: Sequence[int]) -> Sequence[Outputs[V]]:
        """The outputs for each of several inputs, of so many rows, which are joined for one computation.

        Raises NotByRows if the outputs cannot be split, and any exception of the engine.
        """
        ...

    def joined(self, values: Sequence[V]) -> V:
        """The rows of values one below the other; of numbers, the first."""
        ...

    def scaled(self, value: V, factor: float) -> V:
        """A value with all elements multiplied by a factor, if they are floats; other elements are changed."""
        ...

    def is_float(self, value: V) -> bool:
        """Whether the elements of a value are floats; False for a number."""
        ...

    def is_close(self, one: V, other: V) -> bool:
        """Whether two outputs are the same, to rounding."""
        ...

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an exception means that memory ran out."""
        ...

    def gist(self, error: BaseException) -> str:
        """The message of an exception, for the operator."""
        ...


class Unfit(Exception):
    """The reason why the requests to a model cannot be joined."""


def tolerance_for(bits: int, is_cpu: bool) -> float:
    """How much floats of so many bits may differ, in proportion to the largest of them."""
    on_cpu, elsewhere = _TOLERANCES.get(bits, _COARSE)
    return on_cpu if is_cpu else elsewhere


def require_open(shapes: Mapping[str, Sequence[object] | None], name: str, advice: str) -> None:
    """Raise ModelError, which ends in `advice`, if an input of the model `name` has a fixed number of rows.

    `shapes` are those that the model declares; None if it does not.
    """
    for each, shape in shapes.items():
        if shape is not None and (not shape or isinstance(shape[0], int)):
            sizes = "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
            raise ModelError(
                f"{name} cannot be batched, because it was exported for the fixed size {sizes} of {quote(each)}; "
                f"{advice}"
            )


def sizes_for_trial(find: Callable[[], T]) -> T:
    """The sizes that `find` returns; raises ModelError, with what `find` raises, if they are not known."""
    try:
        return find()
    except ModelError as error:
        text = str(error)
    raise ModelError(f"whether requests to it can be joined has to be tried, but {text}; or {_VOUCH}")


def require_joinable(engine: Engine[V], batch: Batch, name: str) -> None:
    """Try whether requests can be joined; error texts call the model `name`.

    Raises ModelError, which says why, if they cannot or if that cannot be tried; ModelTooLarge if memory does not
    suffice.
    """
    started = time.perf_counter()
    refusal: ModelError
    try:
        _Trial(engine, batch.max_size).run()
    except Unfit as unfit:
        refusal = ModelError(f"{name} cannot be batched: {unfit}; {_VOUCH}")
    except NotByRows as unfit:
        refusal = ModelError(f"{name} cannot be batched: {unfit}; leave out the option `batch`")
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        refusal = _failure(engine, error, name)
        release_frames(error)
    else:
        logger.info("trying whether %s can be batched took %.3f s", name, time.perf_counter() - started)
        return
    raise refusal


class _Trial(Generic[V]):
    """Computes rows alone and together, and raises `Unfit` if they do not come out the same."""

    def __init__(self, engine: Engine[V], max_size: int) -> None:
        self._engine = engine
        self._max_size = max_size

    def run(self) -> None:
        """Try everything."""
        a, b, c = (self._engine.draw() for _ in range(3))
        alone = self._alone(a)
        others = [self._alone(each) for each in (b, c)]
        if self._difference(alone, self._alone(a)):
            raise Unfit(
                "it computes something else when it computes the same input again, so that it keeps a state, or draws "
                "random numbers"
            )
        self._compare([a, b, c], [1, 1, 1], [alone, *others], "its neighbours")
        self._compare(
            [self._both(a, b), c], [2, 1], [self._both_made(alone, others[0]), others[1]], "the rows of others"
        )
        self._compare_beside([self._scaled(b, _HUGE), self._scaled(c, -_HUGE)], a, alone, "huge neighbours")
        if any(map(self._engine.is_float, a.values())):
            invalid = [self._scaled(b, float("nan")), self._scaled(c, float("inf"))]
            self._compare_beside(invalid, a, alone, "neighbours that are NaN or infinite")
        self._try_most([a, b], [alone, others[0]])

    def _alone(self, row: Inputs[V]) -> Outputs[V]:
        return self._engine.compute([row], [1])[0]

    def _compare(
        self,
        values: Sequence[Inputs[V]],
        rows: Sequence[int],
        wanted: Sequence[Outputs[V]],
        what: str,
    ) -> None:
        """Compare the first parts of a joined computation with what they are alone."""
        for part, alone in zip(self._engine.compute(values, rows), wanted, strict=False):
            name = self._difference(alone, part)
            if name:
                raise Unfit(f"it mixes rows: its output {quote(name)} for one row depends on {what}")

    def _compare_beside(
        self,
        neighbours: Sequence[Inputs[V]],
        row: Inputs[V],
        alone: Outputs[V],
        what: str,
    ) -> None:
        """Compare with neighbours that the model may also refuse, for then requests are computed each by itself."""
        try:
            self._compare([row, *neighbours], [1, *[1] * len(neighbours)], [alone], what)
        except (Unfit, NotByRows):
            raise
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            logger.debug("the model does not compute %s: %s", what, self._engine.gist(error))
            release_frames(error)

    def _try_most(self, rows: Sequence[Inputs[V]], alone: Sequence[Outputs[V]]) -> None:
        """Compute as many rows as there may be in a batch."""
        most = self._max_size
        try:
            self._compare([rows[at % 2] for at in range(most)], [1] * most, [*alone] * (most // 2), "their number")
        except (Unfit, NotByRows):
            raise
        except Exception as error:  # a model may raise anything
            if self._engine.is_out_of_memory(error):
                raise
            reason = error.text if isinstance(error, NnError) else self._engine.gist(error)
            release_frames(error)
        else:
            return
        raise Unfit(f"it cannot compute {most} rows ({reason}); give a smaller max_size")

    def _both(self, one: Inputs[V], other: Inputs[V]) -> Inputs[V]:
        return {name: self._engine.joined([value, other[name]]) for name, value in one.items()}

    def _both_made(self, one: Outputs[V], other: Outputs[V]) -> Outputs[V]:
        pairs = zip(one, other, strict=True)
        return [(name, self._engine.joined([output, more])) for (name, output), (_, more) in pairs]

    def _scaled(self, row: Inputs[V], factor: float) -> Inputs[V]:
        return {name: self._engine.scaled(value, factor) for name, value in row.items()}

    def _difference(self, wanted: Outputs[V], found: Outputs[V]) -> str:
        """The name of an output that is not the same, to rounding; empty if all are."""
        if [name for name, _ in wanted] != [name for name, _ in found]:
            return next(iter({name for name, _ in wanted} ^ {name for name, _ in found}), "output")
        pairs = zip(wanted, found, strict=True)
        return next((name for (name, one), (_, other) in pairs if not self._engine.is_close(one, other)), "")


def _failure(engine: Engine[V], error: Exception, name: str) -> ModelError:
    if engine.is_out_of_memory(error):
        return ModelTooLarge(
            f"{name} cannot be tried in batches, because memory does not suffice: {engine.gist(error)}"
        )
    reason = error.text if isinstance(error, NnError) else engine.gist(error)
    return ModelError(
        f"{name} cannot be batched, because it failed when that was tried ({reason}); give inputs that it takes with "
        f"the options warm_up and dtypes, or {_VOUCH}"
    )
