"""The settings of a server, of a graph that it serves, and of a pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.http.paths import require_beginning
from wasi_nn_torch.sessions.durations import require_duration
from wasi_nn_torch.sessions.limits import Limits

if TYPE_CHECKING:
    from wasi_host import Outgoing
    from wasi_nn_torch.sessions.guests import Guest

#: What the name of a header may be.
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)


class Reuse(Enum):
    """Whether an instance answers several requests: those of one tenant, or only one."""

    TENANT = "tenant"
    NEVER = "never"


@dataclass(frozen=True)
class Settings:
    """The settings of a server; sizes are in bytes, times in seconds.

    `max_body` is the most that one request may have, also decompressed, and `max_bodies` the most that all requests
    together may have at a time; a body has to arrive within `body_timeout`. `max_json` is the most that the JSON of one
    request may have, since no other request is read while it is parsed. `timeout` is the time to answer a request
    that names none, and the most that one may name; None means no limit. The header `tenant_header` names the tenant
    of a request; None means that tenants are not told apart.
    """

    max_body: int = 64 << 20
    max_bodies: int = 1 << 30
    max_json: int = 16 << 20
    body_timeout: float = 30.0
    timeout: float | None = 60.0
    tenant_header: str | None = "x-tenant"

    def __post_init__(self) -> None:
        require_amount("`max_body`", self.max_body)
        require_amount("`max_bodies`", self.max_bodies)
        require_amount("`max_json`", self.max_json)
        require_duration("`body_timeout`", self.body_timeout)
        require_duration("`timeout`", self.timeout)
        if self.tenant_header is not None and not _HEADER.fullmatch(self.tenant_header):
            raise ValueError(f"`tenant_header` is {quote(self.tenant_header)}, which no header is called")


@dataclass(frozen=True)
class GraphSettings:
    """The settings of a graph: how many requests are computed at a time, by default as many as there are processors.

    `max_waiting` is the number of others that may wait. `limits` are those of each request. `reuse` is for models
    of which only their own code knows whether they keep a state. With `inline`, the event loop itself computes a graph
    without a state on inputs of sizes that took less than half a millisecond before; use False for a model that takes
    much longer for some values than for others.
    """

    concurrency: int = field(default_factory=processors)
    max_waiting: int = 256
    limits: Limits = field(default_factory=Limits)
    reuse: Reuse = Reuse.TENANT
    inline: bool = True

    def __post_init__(self) -> None:
        _require_places(self.concurrency, self.max_waiting)


@dataclass(frozen=True)
class PipelineSettings:
    """The settings of a pipeline: `guest` is the file of the component, its bytes, or what
    `Engine.compile` made of it.

    `graphs` are the names of the graphs that it may compute; None means all. `concurrency` is the number of instances,
    and `max_waiting` the number of requests that may wait for one. `limits` are those of each instance,
    with the time of each request. With `reuse`, an instance answers at most `max_uses` requests of one tenant.
    """

    guest: str | os.PathLike[str] | bytes | Guest
    graphs: Collection[str] | None = None
    concurrency: int = field(default_factory=processors)
    max_waiting: int = 256
    limits: Limits = field(default_factory=lambda: Limits(memory=256 << 20, timeout=30.0))
    reuse: Reuse = Reuse.TENANT
    max_uses: int = 1000

    def __post_init__(self) -> None:
        _require_places(self.concurrency, self.max_waiting)

    @property
    def file(self) -> Path | None:
        """The file of the component, if it has one."""
        return Path(self.guest) if isinstance(self.guest, str | os.PathLike) else None


@dataclass(frozen=True)
class ComponentSettings:
    """The settings of a component that answers requests of HTTP itself, at paths that begin with `path`.

    `guest`, `graphs`, `concurrency`, `max_waiting` and `limits` are as of `PipelineSettings`; the time of the limits is
    that of one request, until the component has done everything. By default, each request gets an instance of its own.
    `env` has the variables of its environment, and `outgoing` says which requests it may make; by default, none.
    """

    guest: str | os.PathLike[str] | bytes
    path: str = "/"
    graphs: Collection[str] | None = None
    concurrency: int = field(default_factory=processors)
    max_waiting: int = 256
    limits: Limits = field(default_factory=lambda: Limits(memory=256 << 20, timeout=30.0))
    reuse: Reuse = Reuse.NEVER
    max_uses: int = 1000
    env: Mapping[str, str] = field(default_factory=dict)
    outgoing: Outgoing | None = None

    def __post_init__(self) -> None:
        _require_places(self.concurrency, self.max_waiting)
        require_beginning(self.path)

    @property
    def file(self) -> Path | None:
        """The file of the component, if it has one."""
        return None if isinstance(self.guest, bytes) else Path(self.guest)


def _require_places(concurrency: int, max_waiting: int) -> None:
    require_amount("`concurrency`", concurrency)
    require_amount("`max_waiting`", max_waiting)
    if concurrency < 1:
        raise ValueError("`concurrency` is 0; give at least 1")
