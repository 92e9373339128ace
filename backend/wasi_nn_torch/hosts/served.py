"""The data of a store whose guest uses wasi-nn, by which the shared host functions find its session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from wasi_nn_torch.contract.arguments import wrong_type
from wasi_nn_torch.serving.serving import Serving
from wit_host import per_store
from wit_host.core import CallerMemory, ResourceTable

H = TypeVar("H")


@dataclass(slots=True)
class Served:
    """The operations of wasi-nn for one guest, and what its operator passed to `Engine.session` as `data`."""

    serving: Serving
    data: object


@dataclass(slots=True)
class ServedModule(Served):
    """The same for a core module, whose functions also need its memory, and its table of resources."""

    memory: CallerMemory
    resources: ResourceTable


def per_serving(host: Callable[[Serving], H]) -> H:
    """A stand-in for the host of each guest, which `host` makes."""
    return per_store(lambda served: host(served.serving))


def per_session(get: Callable[[Any], H]) -> H:
    """A stand-in for the host of each session, to be passed to the `add_to_linker` of bindings.

    `get` returns the host for the `data` that was passed to `Engine.session`. Use it in the function that
    `Engine.compile` takes as `link`.
    """
    if not callable(get):
        raise wrong_type("`per_session`", "a function of the session's `data`", get)
    return per_store(lambda served: get(None if served is None else served.data))
