"""The decision whether the computations of a model can be joined: by what it declares, and by trial.

A model that treats each row by itself gives a row the same outputs whatever its neighbours are, in any batch and each
time. The trial computes a few rows alone and together, with neighbours that are harmless, huge, infinite and NaN.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields

import torch

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.errors import ModelError, ModelTooLarge, NnError
from wasi_nn_torch.contract.frames import release_frames
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.contract.warm_up import Example, WarmUp
from wasi_nn_torch.pytorch.dtypes import DTYPES
from wasi_nn_torch.pytorch.graphs.computing.batched import BatchedGraph, NotByRows, Outputs, compute_rows, lanes_on
from wasi_nn_torch.pytorch.graphs.computing.failures import gist, is_out_of_memory
from wasi_nn_torch.pytorch.graphs.computing.graph import Graph
from wasi_nn_torch.pytorch.graphs.inputs.signature import Kind, Parameter
from wasi_nn_torch.pytorch.graphs.loading.warming import element_type_for, examples_of

logger = logging.getLogger(__name__)

Values = Mapping[str, object]

#: How much outputs of one row may differ, in proportion to their largest element, by the dtype of the outputs: on the
#: CPU, and on accelerators, which may round more.
_TOLERANCES = {torch.float64: (1e-6, 1e-6), torch.float32: (1e-4, 2e-3)}
_COARSE = (3e-2, 3e-2)
#: The factor of the neighbours that are huge; their squares are still finite in FP32.
_HUGE = 1e6

_VOUCH = (
    "leave out the option `batch`, or vouch for the model with Batch(trial=False), on the command line batch-trial=no"
)


def batched(graph: Graph, batch: Batch, warm_up: WarmUp | None, name: str) -> BatchedGraph:
    """A graph whose computations can be joined; error texts call the model `name`.

    The sizes for the trial are those of `warm_up`, or the model's own. Raises ModelError, which says why, if the
    computations cannot be joined or if that cannot be tried; ModelTooLarge if memory does not suffice.
    """
    _require_open_sizes(graph, name)
    own = {each.name: getattr(graph, each.name) for each in fields(graph)}
    lanes = lanes_on(graph.device)
    is_shared = graph.instance() is graph.instance()
    # The state of a model that keeps none is that of its instances, whatever it is for.
    nbytes = graph.nbytes + lanes * graph.state_nbytes
    made = BatchedGraph(**{**own, "nbytes": nbytes, "state_nbytes": 0}, lanes=lanes, is_shared=is_shared)
    if not batch.trial:
        return made
    started = time.perf_counter()
    examples = _sizes(graph, warm_up, name)
    refusal: ModelError
    try:
        _Trial(made, examples, batch.max_size).run()
    except _Unfit as unfit:
        refusal = ModelError(f"{name} cannot be batched: {unfit}; {_VOUCH}")
    except NotByRows as unfit:
        refusal = ModelError(f"{name} cannot be batched: {unfit}; leave out the option `batch`")
    except Exception as error:  # noqa: BLE001  # a model may raise anything
        refusal = _failure(error, name)
        release_frames(error)
    else:
        logger.info("trying whether %s can be batched took %.3f s", name, time.perf_counter() - started)
        return made
    raise refusal


class _Unfit(Exception):
    """The reason why the computations of a model cannot be joined."""


class _Trial:
    """Computes rows alone and together, and raises `_Unfit` if they do not come out the same."""

    def __init__(self, graph: BatchedGraph, examples: Mapping[str, Example], max_size: int) -> None:
        self._graph = graph
        self._parameters = graph.signature.match(list(examples))
        self._examples = examples
        self._max_size = max_size
        self._random = torch.Generator().manual_seed(0)

    def run(self) -> None:
        """Try everything."""
        a, b, c = (self._row() for _ in range(3))
        alone = self._alone(a)
        others = [self._alone(each) for each in (b, c)]
        if _difference(alone, self._alone(a)):
            raise _Unfit(
                "it computes something else when it computes the same input again, so that it keeps a state, or draws "
                "random numbers"
            )
        self._compare([a, b, c], [1, 1, 1], [alone, *others], "its neighbours")
        self._compare([_both(a, b), c], [2, 1], [_both_outputs(alone, others[0]), others[1]], "the rows of others")
        self._compare_beside([_filled(b, _HUGE), _filled(c, -_HUGE)], a, alone, "huge neighbours")
        if self._has_floats():
            invalid = [_filled(b, float("nan")), _filled(c, float("inf"))]
            self._compare_beside(invalid, a, alone, "neighbours that are NaN or infinite")
        self._try_most([a, b], [alone, others[0]])

    def _alone(self, row: Values) -> Outputs:
        return self._computed([row], [1])[0]

    def _computed(self, values: Sequence[Values], rows: Sequence[int]) -> list[Outputs]:
        model = self._graph.borrow()
        try:
            return compute_rows(self._graph, model, self._parameters, values, rows)
        finally:
            self._graph.give_back(model)

    def _compare(self, values: Sequence[Values], rows: Sequence[int], wanted: Sequence[Outputs], what: str) -> None:
        """Compare the first parts of a joined computation with what they are alone."""
        for part, alone in zip(self._computed(values, rows), wanted, strict=False):
            name = _difference(alone, part)
            if name:
                raise _Unfit(f"it mixes rows: its output {quote(name)} for one row depends on {what}")

    def _compare_beside(self, neighbours: Sequence[Values], row: Values, alone: Outputs, what: str) -> None:
        """Compare with neighbours that the model may also refuse, for then requests are computed each by itself."""
        try:
            self._compare([row, *neighbours], [1, *[1] * len(neighbours)], [alone], what)
        except (_Unfit, NotByRows):
            raise
        except Exception as error:  # noqa: BLE001  # a model may raise anything
            logger.debug("the model does not compute %s: %s", what, gist(error))
            release_frames(error)

    def _try_most(self, rows: Sequence[Values], alone: Sequence[Outputs]) -> None:
        """Compute as many rows as there may be in a batch."""
        most = self._max_size
        try:
            self._compare([rows[at % 2] for at in range(most)], [1] * most, [*alone] * (most // 2), "their number")
        except (_Unfit, NotByRows):
            raise
        except Exception as error:  # a model may raise anything
            if is_out_of_memory(error):
                raise
            reason = error.text if isinstance(error, NnError) else gist(error)
            release_frames(error)
        else:
            return
        raise _Unfit(f"it cannot compute {most} rows ({reason}); give a smaller max_size")

    def _row(self) -> Values:
        """Inputs of one row."""
        return {
            parameter.name: self._value(parameter, example)
            for parameter, example in zip(self._parameters, self._examples.values(), strict=True)
        }

    def _value(self, parameter: Parameter, example: Example) -> object:
        if not isinstance(example, tuple):
            return {Kind.INTEGER: int, Kind.BOOLEAN: bool}.get(parameter.kind, float)(example)
        if not example:
            raise _Unfit(f"its input {quote(parameter.name)} has no dimensions, so that it has no rows")
        shape = (1, *example[1:])
        dtype = parameter.dtype or DTYPES[element_type_for(None)]
        if dtype.is_floating_point:
            value = torch.randn(shape, generator=self._random).to(dtype)
        else:  # numbers that are valid in any vocabulary, and as a mask
            value = torch.randint(256 if dtype is torch.uint8 else 2, shape, generator=self._random).to(dtype)
        return value.to(self._graph.device)

    def _has_floats(self) -> bool:
        return any(isinstance(value, torch.Tensor) and value.is_floating_point() for value in self._row().values())


def _require_open_sizes(graph: Graph, name: str) -> None:
    """Raise ModelError for a program that was exported for a fixed number of rows."""
    fixed = [
        parameter
        for parameter in graph.signature.inputs
        if parameter.kind is Kind.TENSOR and parameter.shape is not None
        if not parameter.shape or isinstance(parameter.shape[0], int)
    ]
    if not fixed:
        return
    first = fixed[0]
    sizes = "[" + ", ".join(map(str, first.shape or ())) + "]"
    dims = ", ".join(f'"{parameter.name}": {{0: batch}}' for parameter in graph.signature.inputs)
    raise ModelError(
        f"{name} cannot be batched, because it was exported for the fixed size {sizes} of {quote(first.name)}; leave "
        'dimension 0 open and export it with two rows: batch = torch.export.Dim("batch"); '
        f"torch.export.export(model, inputs, dynamic_shapes={{{dims}}})"
    )


def _sizes(graph: Graph, warm_up: WarmUp | None, name: str) -> Mapping[str, Example]:
    try:
        return examples_of(graph, dict(warm_up.given) if warm_up is not None else {}, name)
    except ModelError as error:
        text = str(error)
    raise ModelError(f"whether requests to it can be joined has to be tried, but {text}; or {_VOUCH}")


def _failure(error: Exception, name: str) -> ModelError:
    if is_out_of_memory(error):
        return ModelTooLarge(f"{name} cannot be tried in batches, because memory does not suffice: {gist(error)}")
    reason = error.text if isinstance(error, NnError) else gist(error)
    return ModelError(
        f"{name} cannot be batched, because it failed when that was tried ({reason}); give inputs that it takes with "
        f"the options warm_up and dtypes, or {_VOUCH}"
    )


def _both(one: Values, other: Values) -> Values:
    return {
        name: torch.cat([value, other[name]]) if isinstance(value, torch.Tensor) else value  # type: ignore[list-item]
        for name, value in one.items()
    }


def _both_outputs(one: Outputs, other: Outputs) -> Outputs:
    return [(name, torch.cat([output, more])) for (name, output), (_, more) in zip(one, other, strict=True)]


def _filled(row: Values, number: float) -> Values:
    """A row whose floating-point numbers are multiplied or invalid, and whose whole numbers are others."""
    changed = dict(row)
    for name, value in row.items():
        if isinstance(value, torch.Tensor):
            changed[name] = value * number if value.is_floating_point() else _other(value)
    return changed


def _other(value: torch.Tensor) -> torch.Tensor:
    if value.dtype is torch.bool:
        return ~value
    return 255 - value if value.dtype is torch.uint8 else 1 - value


def _difference(wanted: Outputs, found: Outputs) -> str:
    """The name of an output that is not the same, to rounding; empty if all are."""
    if [name for name, _ in wanted] != [name for name, _ in found]:
        return next(iter({name for name, _ in wanted} ^ {name for name, _ in found}), "output")
    return next((name for (name, one), (_, other) in zip(wanted, found, strict=True) if not _is_close(one, other)), "")


def _is_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.shape != other.shape or one.dtype is not other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return bool(torch.equal(one, other))
    on_cpu, elsewhere = _TOLERANCES.get(one.dtype, _COARSE)
    tolerance = on_cpu if one.device.type == "cpu" else elsewhere
    one, other = one.cpu(), other.cpu()
    finite = one[one.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    wide = torch.complex128 if one.is_complex() else torch.float64
    return bool(torch.allclose(one.to(wide), other.to(wide), rtol=tolerance, atol=tolerance * largest, equal_nan=True))
