"""The inputs and outputs of a model, and the assignment of a guest's inputs to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.onnx.dtypes import OnnxType


@dataclass(frozen=True)
class Value:
    """An input or output: its name, its type, and its shape, in which a size that may vary is its name or None.

    The shape is None if the model does not tell the number of dimensions.
    """

    name: str
    type: OnnxType
    shape: tuple[int | str | None, ...] | None

    def require_shape(self, dimensions: Sequence[int], name: str) -> None:
        """Raise NnError `invalid-argument` if a guest's tensor `name` has other dimensions than the model takes."""
        shape = self.shape
        if (
            shape is None
            or shape == dimensions
            or (len(shape) == len(dimensions) and all(map(_fits, shape, dimensions)))
        ):
            return
        raise NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"tensor {quote(name)} is {spell_shape(dimensions)}; the model wants {spell_shape(shape)}",
        )


@dataclass(frozen=True)
class Signature:
    """The inputs of a model in their order; those with a default, which no guest can set, are not among them."""

    inputs: tuple[Value, ...]

    def match(self, names: Sequence[str]) -> Sequence[Value]:
        """The input for each of a guest's names, in the order of the names.

        Names are the model's own. If none of them is, they are the positions "0", "1", … of the inputs; and a model
        with one input takes it under any name. Raises NnError `invalid-argument`, which says what is repeated, unknown
        or missing, what the model wants and what was given.
        """
        if names == self._names:  # the usual case
            return self.inputs
        if len(set(names)) < len(names):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            raise self._refusal(names, f"repeated: {quote_all(repeated)}")
        known = self._known(names)
        unknown = [name for name in names if name not in known]
        if unknown:
            mixed = "names and positions are mixed, or unknown" if len(unknown) < len(names) else "unknown"
            raise self._refusal(names, f"{mixed}: {quote_all(unknown)}")
        found = [known[name] for name in names]
        missing = [each.name for each in self.inputs if each not in found]
        if missing:
            raise self._refusal(names, f"missing: {quote_all(missing)}")
        return found

    @cached_property
    def _names(self) -> list[str]:
        return [each.name for each in self.inputs]

    def _known(self, names: Sequence[str]) -> Mapping[str, Value]:
        """The inputs under the names that the guest uses for them: their own, positions, or any."""
        own = {each.name: each for each in self.inputs}
        if not own.keys().isdisjoint(names):
            return own
        positions = {str(position): each for position, each in enumerate(self.inputs)}
        if not positions.keys().isdisjoint(names):
            return positions
        return {names[0]: self.inputs[0]} if len(names) == len(self.inputs) == 1 else own

    def _refusal(self, names: Sequence[str], reason: str) -> NnError:
        return NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"the inputs do not match the model: {reason}; the model wants {quote_all(self._names)}; "
            f"given: {quote_all(names)}",
        )


def spell_shape(shape: Sequence[int | str | None]) -> str:
    """A shape as "[1, batch, ?]", abbreviated if there are many sizes."""
    listed = ", ".join("?" if size is None else _size(size) for size in shape[:8])
    return f"[{listed}, … {len(shape)} in all]" if len(shape) > 8 else f"[{listed}]"


def _size(size: int | str) -> str:
    return quote(size) if isinstance(size, str) else str(size)


def _fits(wanted: int | str | None, given: int) -> bool:
    return not isinstance(wanted, int) or wanted == given
