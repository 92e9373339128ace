"""Computing models with degenerate calls through workers, and counting what came of each call."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import torch

from tests.wasi_nn_torch.helpers.degenerate_calls import Model, rebuilt
from tests.wasi_nn_torch.helpers.direct import Direct
from wasi_nn_torch import Engine, GuestTrap
from wasi_nn_torch.contract.errors import ErrorCode, NnError

X = torch.arange(16.0).reshape(4, 4)
#: What each call is made with: as integers, they are also negative, huge, and the smallest that there is.
INPUTS = (X, -X, X * 1e17, torch.where(X % 2 == 0, torch.nan, torch.inf), torch.full((4, 4), 2.0))
MIB = 1 << 20
_SIGNAL = re.compile(r"\((SIG[A-Z]+|signal [0-9]+|exit status [0-9]+)\)")


class Fuzz:
    """Computes models in one session after the other, each of which brings some models."""

    def __init__(self, engine: Engine, models_in_a_session: int = 50, timeout: float = 2.0) -> None:
        self.counts: Counter[str] = Counter()
        #: For each call that ended its process: the signal, the operator and the call.
        self.deaths: list[tuple[str, str]] = []
        self._engine = engine
        self._most = models_in_a_session
        self._timeout = timeout

    def run(self, models: Iterable[Model], calls: int) -> None:
        """Make a number of calls."""
        rest = iter(models)
        while self.calls < calls:
            with Direct(self._engine, 64 * MIB, self._timeout) as session:
                for _ in range(self._most):
                    if self.calls < calls:
                        self._compute(session, next(rest))
            memory = session.ledger.snapshot()
            assert memory.live_bytes == memory.live_tensors == 0

    @property
    def calls(self) -> int:
        """The number of calls up to now."""
        return self.counts.total()

    def _compute(self, session: Direct, model: Model) -> None:
        """Make each call of a model on each input; after one that ends the process, the model is loaded again."""
        rest = list(range(len(model.calls)))
        while rest:
            try:
                context = session.load(model.data)
            except NnError as error:
                self._not_loaded(session, model, rest, error)
                return
            while rest:
                case = rest.pop(0)
                if not all(self._call(session, context, model, case, x) for x in INPUTS):
                    break

    def _not_loaded(self, session: Direct, model: Model, rest: list[int], error: NnError) -> None:
        """Count calls of a model that is not loaded; if it ends the process, each call by itself."""
        ended = self._why_ended(error)
        if ended and len(model.calls) > 1:
            for case in rest:
                self._compute(session, rebuilt(model, case))
        elif ended:
            self.counts[f"{ended} when loading"] += 1
            self.deaths.append((ended, f"loading {model.calls[0]}"))
        else:
            self.counts[f"not loaded: {error.code.value}"] += len(rest) * len(INPUTS)

    def _call(self, session: Direct, context: object, model: Model, case: int, x: torch.Tensor) -> bool:
        """Make one call; returns whether the process lives."""
        try:
            session.compute(context, x=x, case=torch.tensor(case))
        except NnError as error:
            ended = self._why_ended(error)
            self.counts[ended or error.code.value] += 1
            if ended:
                self.deaths.append((ended, model.calls[case]))
            return not ended
        except GuestTrap:
            self.counts["trap"] += 1
            return False
        self.counts["answered"] += 1
        return True

    def _why_ended(self, error: NnError) -> str | None:
        """Why the process of a session ended, if it did."""
        if error.code is ErrorCode.TIMEOUT:
            return "timeout"
        if "sent something that is not an answer" in error.text:
            return "no answer"
        found = _SIGNAL.search(error.text) if "the process with the models" in error.text else None
        return found[1] if found else None
