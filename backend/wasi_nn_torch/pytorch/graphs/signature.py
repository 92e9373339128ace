"""What a model takes: its parameters by name, and which of them each of a guest's inputs is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import torch

from wasi_nn_torch.errors import ErrorCode, NnError, quote_all


class Kind(Enum):
    """What a parameter takes; `INTEGER`, `FLOAT` and `BOOLEAN` take a tensor of one element."""

    TENSOR = "tensor"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    A guest may leave out an optional one: the model then uses its default or, if `none_if_absent`, must be given None.
    Formats that keep the `dtype` and `shape` of a tensor tell them; a text in a shape, such as "s0" or "2*s0", is a
    size that may vary.
    """

    name: str
    kind: Kind
    optional: bool = False
    none_if_absent: bool = False
    dtype: torch.dtype | None = None
    shape: tuple[int | str, ...] | None = None


@dataclass(frozen=True)
class Signature:
    """The parameters of a model, in their order."""

    parameters: tuple[Parameter, ...]

    @cached_property
    def absent(self) -> dict[str, None]:
        """The parameters that must be given None where a guest leaves them out."""
        return dict.fromkeys(parameter.name for parameter in self.parameters if parameter.none_if_absent)

    @cached_property
    def _names(self) -> list[str]:
        return [parameter.name for parameter in self.parameters]

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def _by_position(self) -> dict[str, Parameter]:
        return {str(position): parameter for position, parameter in enumerate(self.parameters)}

    def match(self, names: Sequence[str]) -> list[Parameter]:
        """Return the parameter for each of a guest's input names, in the order of the names.

        Names are the model's own; where none of them is, they are the positions "0", "1", …; and where the model needs
        one input and one came, it may have any name. Raises NnError `invalid-argument` that says what is mixed,
        missing, unknown or repeated, what the model wants and what came.
        """
        if names == self._names:  # nearly always
            return list(self.parameters)
        given = set(names)
        if len(given) < len(names):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            raise self._refusal(names, f"repeated: {quote_all(repeated)}")
        known = self._names_in_use(names)
        unknown = [name for name in names if name not in known]
        if unknown:
            mixed = "names and positions are mixed, or unknown" if len(unknown) < len(names) else "unknown"
            raise self._refusal(names, f"{mixed}: {quote_all(unknown)}")
        missing = [p.name for name, p in known.items() if not p.optional and name not in given]
        if missing:
            raise self._refusal(names, f"missing: {quote_all(missing)}")
        return [known[name] for name in names]

    def _names_in_use(self, names: Sequence[str]) -> dict[str, Parameter]:
        """Return the parameters under the names that the guest uses for them: their own, positions, or any."""
        own, positions = self._by_name, self._by_position
        if not own.keys().isdisjoint(names):
            return own
        if not positions.keys().isdisjoint(names):
            return positions
        needed = [parameter for parameter in self.parameters if not parameter.optional] or list(self.parameters)
        if len(names) == 1 and len(needed) == 1:
            return {names[0]: needed[0]}
        return own

    def _refusal(self, names: Sequence[str], reason: str) -> NnError:
        wanted = ", ".join(f"`{p.name}`" + (" (optional)" if p.optional else "") for p in self.parameters) or "none"
        return NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"the inputs do not fit the model: {reason}; the model wants {wanted}; given: {quote_all(names)}",
        )
