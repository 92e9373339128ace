"""How the operator wants the requests of several sessions to be computed together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wasi_nn_torch.contract.arguments import require_flag, require_number, require_type, require_whole

#: In seconds.
_LONGEST_DELAY = 60.0


@dataclass(frozen=True)
class Batch:
    """How the requests of several sessions to one graph are computed together: see `Engine.register`.

    `max_size` is the most rows of a batch. `max_delay` is the longest that a request waits for others, in seconds,
    before its batch is computed; it waits only if other sessions are expected back that soon, so a lone session never
    does. A batch is of the largest of the `preferred` sizes that can be reached, if there are any. `max_queue` is the
    most requests that wait; one more is refused at once. `trial` tries whether the model can be batched when it is
    loaded; False means that the operator vouches for it.

    Raises ValueError for a number that is out of range, and TypeError for another type.
    """

    max_size: int = 16
    max_delay: float = 0.002
    preferred: tuple[int, ...] = ()
    max_queue: int = 256
    trial: bool = True

    def __post_init__(self) -> None:
        _require_at_least("max_size", self.max_size, 2)
        _require_at_least("max_queue", self.max_queue, 1)
        require_number("max_delay", self.max_delay, "seconds")
        if not (math.isfinite(self.max_delay) and 0 <= self.max_delay <= _LONGEST_DELAY):
            raise ValueError(f"max_delay is {self.max_delay!r}; give seconds, from 0 to {_LONGEST_DELAY:g}")
        require_type("preferred", self.preferred, (tuple, list), "a tuple of whole numbers")
        for size in self.preferred:
            _require_at_least("a preferred size", size, 1)
            if size > self.max_size:
                raise ValueError(f"the preferred size {size} is above max_size, which is {self.max_size}")
        require_flag("trial", self.trial)
        object.__setattr__(self, "preferred", tuple(sorted(self.preferred)))


def _require_at_least(name: str, number: int, least: int) -> None:
    if require_whole(name, number) < least:
        raise ValueError(f"{name} is {number}; give a whole number of at least {least}")
