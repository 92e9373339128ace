"""`set-input`, `compute` and `get-output`: how contexts were used before `compute` took and returned the tensors."""

from __future__ import annotations

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.hosts.resources import held

_LONGEST_NAME = 1 << 16


class StepwiseContext:
    """The inputs that were set, and the outputs of the last `compute`, over a context.

    An input stays until another one takes its place, so that a guest can set it once and compute as often as it likes.
    Outputs can be got as often as the guest likes, all on the same memory; the next `compute` lets go of them, and what
    the guest got stays its own. The drop of the context lets go of everything.
    """

    def __init__(self, context: Context) -> None:
        self._context: Context | None = context
        self._inputs: dict[str, Share] = {}
        self._outputs: list[tuple[str, Share]] = []
        self._by_name: dict[str, Share] = {}

    def set_input(self, name: str, tensor: Tensor) -> None:
        """Take `tensor`, instead of what was set under this name before.

        Raises NnError `invalid-argument` where its bytes do not fill its dimensions: then it is dropped, and what was
        set before stays.
        """
        try:
            if len(name) > _LONGEST_NAME:
                raise _wrong(f"the name of an input has {len(name)} characters; at most {_LONGEST_NAME} are possible")
            tensor.require_fit(name)
        except NnError:
            tensor.drop()
            raise
        before = self._inputs.get(name)
        self._inputs[name] = Share.of(tensor)
        if before is not None:
            before.drop()

    def compute(self) -> None:
        """Run the graph once on the inputs that were set, which stay; raises NnError, as `Context.compute` does."""
        self._drop_outputs()
        made = held(self._context).compute([(name, share.another()) for name, share in self._inputs.items()])
        self._outputs = [(name, Share.of(tensor)) for name, tensor in made]
        positions = {str(position): share for position, (_, share) in enumerate(self._outputs)}
        self._by_name = {**positions, **dict(self._outputs)}

    def output(self, name: str) -> Share:
        """A share of an output of the last `compute`: by its name, or by its position if no output has that name.

        The only output may have any name, as the only input may. Raises NnError `invalid-argument` if there is none.
        """
        share = self._by_name.get(name)
        if share is None and len(self._outputs) == 1:
            share = self._outputs[0][1]
        if share is not None:
            return share.another()
        if not self._outputs:
            raise _wrong(f"there is no output {quote(name)}: call `compute` first, and see that it succeeds")
        made = quote_all(made for made, _ in self._outputs)
        raise _wrong(f"there is no output {quote(name)}; the last compute made {made}")

    def drop(self) -> None:
        """Drop every tensor, and let go of the context."""
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
