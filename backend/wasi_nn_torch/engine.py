"""What sessions share: the compiler of guests, the device, and the models by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import wasmtime

import wit_host
from wasi_nn_torch import hosts
from wasi_nn_torch.backend import Backend
from wasi_nn_torch.cache import user_cache
from wasi_nn_torch.devices import Devices
from wasi_nn_torch.guests import Guest, GuestFile, GuestSource, compile_guest, read_guest
from wasi_nn_torch.policy import GuestModels
from wasi_nn_torch.registry import ModelSource, Registry
from wasi_nn_torch.session import Limits, Output, Session
from wit_host import Store

if TYPE_CHECKING:
    import torch


class Engine:
    """Makes sessions, which may run in threads side by side.

    `device` is where graphs run, such as "cuda:0" or "cpu"; by default the accelerator that PyTorch reports, else the
    CPU. `guest_models` says which models guests may bring along: "none", "checked" or "any". `cache` keeps compiled
    guests in the user's cache folder, or in the one that the variable `WASI_NN_TORCH_CACHE` names. Raises ValueError
    where there is no such device.
    """

    def __init__(
        self,
        device: str | torch.device | None = None,
        *,
        guest_models: str | GuestModels = GuestModels.CHECKED,
        cache: bool = True,
    ) -> None:
        self._devices = Devices(device)
        self._registry = Registry(self._devices)
        self.backend = Backend(self._devices, self._registry, GuestModels(guest_models))
        self._engine = wit_host.Engine(cache=user_cache() if cache else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def device(self) -> torch.device:
        """Where named graphs run unless `register` says otherwise, and what the target `gpu` means to guests."""
        return self._devices.default

    def register(self, name: str, model: ModelSource, device: str | torch.device | None = None) -> None:
        """Offer a model to guests as `name`; it is loaded now, and shared.

        It is the path or the bytes of a TorchScript file, of an exported program or of an AOTInductor package, or a
        `torch.nn.Module`, which is left in its mode and shares its weights with guests on its own device.

        Raises ModelError where it cannot be used, ValueError where the name is taken or there is no such device.
        """
        self._registry.register(name, model, device)

    def compile(self, guest: GuestFile | GuestSource) -> Guest:
        """Compile a guest, to run it in several sessions; raises InvalidGuest where it is no component."""
        file = guest if isinstance(guest, GuestFile) else read_guest(guest)
        return compile_guest(self._engine, file, hosts.BUFFERS)

    def session(
        self,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        stdin: str | os.PathLike[str] | None = None,
        stdout: Output = None,
        stderr: Output = None,
    ) -> Session:
        """A session for one guest; use it in a `with` block.

        `args` are the guest's arguments behind its own name, `env` its whole environment, `dirs` the folders that it
        may read and write, from the host's path to the guest's. `stdin` is a file; `stdout` and `stderr` are functions
        that take bytes. What is left out is the host's own stream. Raises NotADirectoryError for a folder that is none,
        and ValueError for text that WASI cannot pass on.
        """
        return Session(self, args, env, dirs, limits, stdin, stdout, stderr)

    def open_store(self, wasi: wasmtime.WasiConfig, limits: Limits) -> Store:
        """A store for one guest, with the limits that are not those of its tensors."""
        return self._engine.store(wasi=wasi, memory=limits.memory, timeout=limits.timeout)

    def close(self) -> None:
        """Forget every model; the memory of one that a session still uses goes free with that session."""
        self._registry.close()
