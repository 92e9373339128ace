"""The limits of one session."""

from __future__ import annotations

from dataclasses import dataclass

from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.sessions.durations import require_duration


@dataclass(frozen=True)
class Limits:
    """The limits of one session; None means no limit.

    `device_bytes` is for tensors on devices, guest-supplied models, and the state of contexts; `host_bytes` for tensors
    that wait in the host's memory; `memory` for each linear memory of the guest, in bytes. `tensors` is the number of
    tensors at a time, and `resources` the number of tensors, graphs, contexts and errors that the guest itself may
    hold: one more traps it. `timeout` is in seconds of wall-clock time.

    Raises ValueError for a negative number, and for a timeout that is not above 0 or not finite.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    tensors: int | None = None
    memory: int | None = None
    timeout: float | None = None
    resources: int | None = None

    def __post_init__(self) -> None:
        for name in ("device_bytes", "host_bytes", "tensors", "memory", "resources"):
            require_amount(f"the limit `{name}`", getattr(self, name))
        require_duration("the limit `timeout`", self.timeout)
