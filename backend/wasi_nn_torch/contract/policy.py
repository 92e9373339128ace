"""What the operator allows and wants; free of torch, so that the command line can offer the choices at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wasi_nn_torch.contract.warm_up import WarmUp


class GuestModels(Enum):
    """Which models a guest may supply: none, those that pass a static check, or any.

    The check makes most refusals clear and cheap; it is not a boundary: a model that passes can still end the host.
    """

    NONE = "none"
    CHECKED = "checked"
    ANY = "any"


class Release(Enum):
    """Where device memory goes that tensors leave behind: to a pool for the next ones, or back to the driver.

    A backend keeps freed memory in a pool, since to ask the driver takes long. `DRIVER` empties the pool whenever a
    session ends, so that other programs can have the memory.
    """

    POOL = "pool"
    DRIVER = "driver"


class Optimize(Enum):
    """How much is done to make a model faster when it is loaded.

    `NONE` computes it as it was saved. `FREEZE` makes constants of its weights and folds what can be folded. `COMPILE`
    makes native code of it, which takes from seconds to minutes and needs a C++ compiler. Left out, a model gets those
    steps of `FREEZE` that never lose.
    """

    NONE = "none"
    FREEZE = "freeze"
    COMPILE = "compile"


@dataclass(frozen=True)
class ModelOptions:
    """How a model of the operator is offered: see `Engine.register`; what is None is the backend's choice.

    `dtypes` has pairs of the name of an input and that of its dtype, as the backend spells it. Raises ValueError for a
    method that is not a name.
    """

    optimize: Optimize | None = None
    method: str | None = None
    warm_up: WarmUp | None = None
    dtypes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.method is not None and not (isinstance(self.method, str) and self.method.isidentifier()):
            raise ValueError(f"`{self.method!r:.64}` is not the name of a method, such as `encode`")
