"""`set-input`, `compute` and `get-output`: contexts of the versions in which `compute` has no parameters."""

from __future__ import annotations

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.hosts.resources import held

_LONGEST_NAME = 1 << 16


class StepwiseContext:
    """A context with the inputs that were set and the outputs of the last `compute`.

    An input stays until it is replaced, so that a guest can set it once and compute several times. A guest can get an
    output several times, always on the same memory; the next `compute` releases the outputs, except those that the
    guest holds. Dropping the context releases everything.
    """

    def __init__(self, context: Context) -> None:
        self._context: Context | None = context
        self._inputs: dict[str, Share] = {}
        self._outputs: list[tuple[str, Share]] = []
        self._by_name: dict[str, Share] = {}

    def set_input(self, name: str, tensor: Tensor) -> None:
        """Take ownership of `tensor`, in place of the input that was set under this name before.

        Raises NnError `invalid-argument` if its bytes do not fill its dimensions; then it is dropped, and the earlier
        input stays.
        """
        try:
            if len(name) > _LONGEST_NAME:
                raise _wrong(f"the name of an input is too long: {len(name)} characters (limit {_LONGEST_NAME})")
            tensor.require_fit(name)
        except NnError:
            tensor.drop()
            raise
        before = self._inputs.get(name)
        self._inputs[name] = Share.of(tensor)
        if before is not None:
            before.drop()

    def compute(self) -> None:
        """Run the graph once on the inputs, which stay; raises NnError, as `Context.compute` does."""
        self._drop_outputs()
        made = held(self._context).compute([(name, share.another()) for name, share in self._inputs.items()])
        self._outputs = [(name, Share.of(tensor)) for name, tensor in made]
        positions = {str(position): share for position, (_, share) in enumerate(self._outputs)}
        self._by_name = {**positions, **dict(self._outputs)}

    def output(self, name: str) -> Share:
        """A share of an output of the last `compute`: by its name, or by its position if no output has that name.

        A model's only output can be got by any name, as its only input can be set by any name. Raises NnError
        `invalid-argument` if there is no such output.
        """
        share = self._by_name.get(name)
        if share is None and len(self._outputs) == 1:
            share = self._outputs[0][1]
        if share is not None:
            return share.another()
        if not self._outputs:
            raise _wrong(f"there is no output {quote(name)}; call `compute` first, and check that it succeeds")
        known = quote_all(known for known, _ in self._outputs)
        raise _wrong(f"there is no output {quote(name)}; expected one of {known}")

    def drop(self) -> None:
        """Drop every tensor, and release the context."""
        while self._inputs:
            self._inputs.popitem()[1].drop()
        self._drop_outputs()
        self._context = None

    def _drop_outputs(self) -> None:
        self._by_name.clear()
        while self._outputs:
            self._outputs.pop()[1].drop()


def _wrong(text: str) -> NnError:
    return NnError(ErrorCode.INVALID_ARGUMENT, text)
