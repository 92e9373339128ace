"""The choices of the operator; PyTorch is not imported here, so that the command line can list them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

from wasi_nn_torch.contract.arguments import choice, require_mapping, require_texts
from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.warm_up import WarmUp


class GuestModels(Enum):
    """The models that a guest may supply, and where they are computed.

    With `ISOLATED`, a model that passes the check is loaded and computed in a confined process of its session, which is
    all that it can crash, read or keep busy. With `ANY`, every model is loaded in the host's process, which it can take
    over. `CHECKED`, which is deprecated, computes in the host's process the models that pass the check. The check is
    not a security boundary: it makes most refusals clear and cheap, but a model that passes can still crash the host.
    """

    NONE = "none"
    ISOLATED = "isolated"
    ANY = "any"
    CHECKED = "checked"


class Release(Enum):
    """Where freed device memory goes: into a pool for new tensors, or back to the driver.

    A backend keeps freed memory in a pool, since allocating from the driver is slow. `DRIVER` empties the pool whenever
    a session ends, so that other programs can use the memory.
    """

    POOL = "pool"
    DRIVER = "driver"


class Optimize(Enum):
    """How a model is optimized when it is loaded.

    `NONE` computes it as it was saved. `FREEZE` turns its weights into constants and folds what can be folded.
    `COMPILE` compiles it to native code, which takes from seconds to minutes and needs a C++ compiler. By default, a
    model gets those steps of `FREEZE` that never make it slower.
    """

    NONE = "none"
    FREEZE = "freeze"
    COMPILE = "compile"


@dataclass(frozen=True)
class ModelOptions:
    """How one of the operator's models is offered: see `Engine.register`. None leaves the choice to the backend.

    `dtypes` has pairs of the name of an input and the name of its dtype, as the backend spells it. With `batch`, the
    requests of several sessions are computed together. Raises ValueError if `method` is not a valid name, and TypeError
    if `batch` is not a `Batch`.
    """

    optimize: Optimize | None = None
    method: str | None = None
    warm_up: WarmUp | None = None
    dtypes: tuple[tuple[str, str], ...] = ()
    batch: Batch | None = None

    def __post_init__(self) -> None:
        if self.method is not None and not (isinstance(self.method, str) and self.method.isidentifier()):
            raise ValueError(f"`{self.method!r:.64}` is not the name of a method, such as `encode`")
        if self.batch is not None and not isinstance(self.batch, Batch):
            raise TypeError(f"batch is {self.batch!r:.64}; give Batch(), or Batch(max_size=…)")

    @classmethod
    def of(
        cls,
        optimize: str | Optimize | None,
        method: str | None,
        warm_up: object,
        dtypes: Mapping[str, object] | None,
        batch: Batch | None,
    ) -> Self:
        """The options that Python code gives: see `Engine.register`.

        Dtypes may be objects that print as their names, such as `torch.bool`.
        """
        by_input = require_mapping("`dtypes`", dtypes, '{"mask": "bool"}')
        require_texts("the names of inputs in `dtypes`", by_input, '"mask"')
        return cls(
            optimize=None if optimize is None else choice("`optimize`", Optimize, optimize),
            method=method,
            warm_up=WarmUp.of(warm_up),
            dtypes=tuple((name, str(dtype).removeprefix("torch.")) for name, dtype in by_input.items()),
            batch=batch,
        )
