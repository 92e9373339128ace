"""The assignment of a guest's inputs to a model's parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.pytorch.graphs.inputs import parameters as tree
from wasi_nn_torch.pytorch.graphs.inputs.parameters import Argument, Group, Kind, Many, Parameter

__all__ = ["Kind", "LeftOut", "Parameter", "Signature"]


@dataclass(frozen=True)
class LeftOut:
    """A parameter that no guest can give, so it has its default in every computation."""

    name: str
    kind: str


@dataclass(frozen=True)
class Signature:
    """The parameters of a model in their order, and those that no guest can give."""

    parameters: tuple[Argument, ...]
    left_out: tuple[LeftOut, ...] = ()

    @cached_property
    def absent(self) -> dict[str, None]:
        """The parameters that need None if a guest omits them."""
        return dict.fromkeys(parameter.name for parameter in self.parameters if parameter.none_if_absent)

    @cached_property
    def inputs(self) -> tuple[Parameter, ...]:
        """All inputs, with names such as "state.h"; a name with an asterisk stands for any number, as "images.*"."""
        return tuple(leaf for parameter in self.parameters for leaf in tree.leaves(parameter))

    @cached_property
    def is_nested(self) -> bool:
        """Whether some inputs are parts of a parameter, which `arguments` assembles."""
        return any(not isinstance(parameter, Parameter) for parameter in self.parameters)

    def match(self, names: Sequence[str]) -> list[Parameter]:
        """The parameter for each of a guest's input names, in the order of the names.

        Names are the model's own. If none of them is, they are the positions "0", "1", … of the inputs; and if the
        model needs one input and one is given, it may have any name. Parameters with any number of parts have no
        positions, unless a list is the only parameter of the model: then "0" is its first element.

        Raises NnError `invalid-argument`, which says what is mixed, missing, unknown or repeated, what the model wants
        and what was given.
        """
        if names == self._names and not self._is_open:  # the usual case
            return list(self.inputs)
        if len(set(names)) < len(names):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            raise self._refusal(names, f"repeated: {quote_all(repeated)}")
        known = self._names_in_use(names)
        unknown = [name for name in names if name not in known]
        if unknown:
            mixed = "names and positions are mixed, or unknown" if len(unknown) < len(names) else "unknown"
            raise self._refusal(names, f"{mixed}: {quote_all(unknown)}")
        found = [known[name] for name in names]
        self._require_all(names, found)
        return found

    def find(self, name: str) -> Parameter | None:
        """The input with one of the model's own names, or None."""
        first, *keys = name.split(".")
        argument = self._by_argument.get(first)
        found = None if argument is None else tree.find(argument, keys)
        return found or self._by_name.get(name)

    def arguments(self, parameters: Sequence[Parameter], values: Mapping[str, object]) -> dict[str, object]:
        """The arguments of a call, from the values of inputs by name; `parameters` are those from `match`."""
        return tree.arguments_of(self.parameters, tree.grown(parameters, values))

    @cached_property
    def _names(self) -> list[str]:
        return [parameter.name for parameter in self.inputs]

    @cached_property
    def _is_open(self) -> bool:
        return any(map(tree.is_open, self.parameters))

    @cached_property
    def _by_argument(self) -> dict[str, Argument]:
        return {parameter.name: parameter for parameter in self.parameters}

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.inputs}

    @cached_property
    def _by_position(self) -> dict[str, Parameter]:
        return {str(position): parameter for position, parameter in enumerate(self.inputs)}

    def _names_in_use(self, names: Sequence[str]) -> Mapping[str, Parameter]:
        """The parameters under the names that the guest uses for them: their own, positions, or any."""
        own = self._own(names)
        if own:
            return own
        positions = self._positions(names)
        if positions:
            return positions
        needed = [parameter for parameter in self.inputs if not parameter.optional] or list(self.inputs)
        if len(names) == 1 and len(needed) == 1 and not self._is_open:
            return {names[0]: needed[0]}
        return own

    def _own(self, names: Sequence[str]) -> Mapping[str, Parameter]:
        if not self._is_open:
            return self._by_name if not self._by_name.keys().isdisjoint(names) else {}
        return self._found({name: name for name in names})

    def _positions(self, names: Sequence[str]) -> Mapping[str, Parameter]:
        if not self._is_open:
            return self._by_position if not self._by_position.keys().isdisjoint(names) else {}
        match self.parameters:
            case (Many(name=name, key=None, item=Parameter()),):
                return self._found({position: f"{name}.{position}" for position in names})
        return {}

    def _found(self, names: Mapping[str, str]) -> dict[str, Parameter]:
        """The inputs with these names, each under its key, without names that do not exist."""
        found = {key: self.find(name) for key, name in names.items()}
        return {key: parameter for key, parameter in found.items() if parameter is not None}

    def _require_all(self, names: Sequence[str], found: Sequence[Parameter]) -> None:
        if self.is_nested:
            grown = tree.grown(found, dict.fromkeys(parameter.name for parameter in found))
            missing = [name for argument in self.parameters for name in tree.missing(argument, grown)]
        else:
            given = {parameter.name for parameter in found}
            missing = [each.name for each in self.inputs if not each.optional and each.name not in given]
        if missing:
            raise self._refusal(names, f"missing: {quote_all(missing)}")

    def _refusal(self, names: Sequence[str], reason: str) -> NnError:
        wanted = ", ".join(text for parameter in self.parameters for text in _wanted(parameter)) or "none"
        return NnError(
            ErrorCode.INVALID_ARGUMENT,
            f"the inputs do not match the model: {reason}; the model wants {wanted}; given: {quote_all(names)}",
        )


def _wanted(argument: Argument, path: tree.Path = (), optional: bool = False) -> list[str]:
    """The names of an argument's inputs, for an error text."""
    path, optional = (*path, argument.name), optional or argument.optional
    suffix = " (optional)" if optional else ""
    match argument:
        case Parameter():
            return [quote(tree.spelled(path)) + suffix]
        case Group(parts=parts):
            return [text for part in parts for text in _wanted(part, path, optional)]
        case Many(key=None):
            return [f"{_both(path, leaf)}, …{suffix}" for leaf in tree.leaves(replace(argument, known=()), path[:-1])]
        case Many():
            return [f"any {quote(leaf.name)}{suffix}" for leaf in tree.leaves(replace(argument, known=()), path[:-1])]


def _both(path: tree.Path, leaf: Parameter) -> str:
    """The names of a list's first two parts, for an error text."""
    rest = leaf.path[len(path) + 1 :]
    return ", ".join(quote(tree.spelled((*path, position, *rest))) for position in (0, 1))
