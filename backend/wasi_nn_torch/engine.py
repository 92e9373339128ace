"""What sessions share: the compiler of guests, the device, and the models by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from wasi_nn_torch.contract.backend import BackendOptions, ModelSource
from wasi_nn_torch.contract.policy import GuestModels, ModelOptions, Optimize, Release
from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.contract.vocabulary import Encoding
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.imports import import_modules
from wasi_nn_torch.serving.registry import Registry
from wasi_nn_torch.sessions.directories import Directory
from wasi_nn_torch.sessions.guests import Guest, GuestFile, GuestSource
from wasi_nn_torch.sessions.limits import Limits
from wasi_nn_torch.sessions.runtime import Runtime
from wasi_nn_torch.sessions.session import Session
from wasi_nn_torch.sessions.stats import EngineStats
from wasi_nn_torch.sessions.streams import Input, Output


class Engine:
    """Makes sessions, which may run in threads side by side.

    `device` is where graphs run, such as "cuda:0" or "cpu"; by default the accelerator that PyTorch reports, else the
    CPU. `guest_models` says which models guests may supply: "none", "checked" or "any". `model_bytes` is the most
    memory that the weights of registered models may take on one device: those that nobody uses make room, and are
    loaded anew when somebody asks for them; None keeps all. `release` says where device memory goes when a session
    ends: "pool" keeps it for the next one, "driver" gives it back. `threads` is how many threads of the CPU one
    computation uses; PyTorch has one such number for the whole process, and None leaves it alone. `cache` keeps
    compiled guests in the user's cache folder, or in the one that the variable `WASI_NN_TORCH_CACHE` names. `imports`
    are names of Python modules, such as "torchvision", that are imported first, since models need the operators that
    they register.

    PyTorch is imported when it is first needed: by `register`, by a guest that imports wasi-nn, or here to check a
    `device` or `threads` that is given. Raises ValueError if there is no such device or number of threads, and if a
    module cannot be imported.
    """

    def __init__(
        self,
        device: object = None,
        *,
        guest_models: str | GuestModels = GuestModels.NONE,
        model_bytes: int | None = None,
        release: str | Release = Release.POOL,
        threads: int | None = None,
        cache: bool = True,
        imports: Sequence[str] = (),
    ) -> None:
        require_amount("`model_bytes`", model_bytes)
        import_modules(imports)
        vetting = GuestModels(guest_models)
        self._release = Release(release)
        self._backends = Backends(BackendOptions(_name(device), vetting, threads))
        if device is not None or threads is not None:
            self._backends.start()
        self._registry = Registry(self._backends, model_bytes)
        self._runtime = Runtime(self._backends, self._registry, vetting, self._release, cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def device(self) -> str:
        """Where named graphs run unless `register` says otherwise, and what the target `gpu` means to guests.

        To find out imports PyTorch.
        """
        return self._backends.default.device

    @property
    def stats(self) -> EngineStats:
        """The figures of this moment: sessions and how they ended, errors, models, transfers; from any thread."""
        return self._runtime.tally.stats(self._registry.figures())

    def register(
        self,
        name: str,
        model: ModelSource,
        device: object = None,
        *,
        encoding: str | Encoding | None = None,
        optimize: str | Optimize | None = None,
        method: str | None = None,
        warm_up: object = None,
        dtypes: Mapping[str, object] | None = None,
    ) -> None:
        """Offer a model to guests as `name`; it is loaded now, and shared.

        It is the path or the bytes of a TorchScript file, of an exported program or of an AOTInductor package, or a
        `torch.nn.Module`, which is left in its mode and shares its weights with guests on its own device. Other
        backends take models of other encodings; `encoding` says which it is where it cannot be told from the model.

        `optimize` makes it faster: "none" computes it as it is, "freeze" makes constants of its weights, "compile"
        makes native code of it, which takes a while; by default it gets what never loses. `dtypes` says
        what the model's inputs are where it does not, such as `{"mask": torch.bool}` or `{"mask": "bool"}`: a guest's
        tensors are converted, and refused where they do not fit. See `docs/models.md`.

        `method` is which method of TorchScript or of a module guests compute; by default `forward`.

        `warm_up` lets it compute a few times when it is loaded, on zeros: True where the model says what sizes its
        inputs have, as exported programs do, else the sizes of the only input, such as (1, 3, 224, 224), or those of
        several by their names, with numbers for parameters that are numbers: `{"x": (1, 512), "rate": 16000}`.

        Raises ModelError where it cannot be used, optimized or warmed up so, or has no such input, ValueError where the
        name is taken, there is no such device, or an option is not what it should be.
        """
        self._registry.register(
            name,
            model,
            _name(device),
            None if encoding is None else Encoding(encoding),
            _options(optimize, method, warm_up, dtypes),
        )

    def replace(
        self,
        name: str,
        model: ModelSource,
        device: object = None,
        *,
        encoding: str | Encoding | None = None,
        optimize: str | Optimize | None = None,
        method: str | None = None,
        warm_up: object = None,
        dtypes: Mapping[str, object] | None = None,
    ) -> None:
        """Offer another model as `name`, in any thread and while sessions run.

        The arguments are those of `register`; nothing of the old ones stays. A guest that has the old graph keeps it,
        who asks from now on gets the new one; the old one's memory goes free when nobody uses it. Both are in memory
        for a moment. If the new one cannot be loaded, the old one stays: raises what `register` raises, and ValueError
        if there is no graph of that name.
        """
        self._registry.replace(
            name,
            model,
            _name(device),
            None if encoding is None else Encoding(encoding),
            _options(optimize, method, warm_up, dtypes),
        )

    def unregister(self, name: str) -> None:
        """Offer a model no longer; a guest that has the graph keeps it. Raises ValueError if there is no such name."""
        self._registry.unregister(name)

    @property
    def names(self) -> list[str]:
        """The names under which models are offered, in the order in which they were registered."""
        return self._registry.names

    def compile(self, guest: GuestFile | GuestSource) -> Guest:
        """Compile a guest, to run it in several sessions; raises InvalidGuest where it is none."""
        return self._runtime.compile(guest)

    def prepare(self, guest: Guest) -> None:
        """Have ready what a guest needs of this engine, so that it does not wait for PyTorch once it runs.

        `Session.run` does so before the guest's time starts.
        """
        self._runtime.prepare(guest)

    def session(
        self,
        *,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        dirs: Mapping[str, str | Directory] | None = None,
        limits: Limits | None = None,
        stdin: Input = None,
        stdout: Output = None,
        stderr: Output = None,
    ) -> Session:
        """A session for one guest; use it in a `with` block.

        `args` are the guest's arguments behind its own name, `env` its whole environment, `dirs` the folders that it
        may read, from the host's path to the guest's; `Directory(path, writable=True)` in place of the guest's path
        lets it write too. `stdin` is the path of a file, bytes, or a file that is open in binary mode, which is read to
        its end at once; `stdout` and `stderr` are functions that take bytes, or files that are open in binary mode, and
        stay open. What is left out is the host's own stream.

        Raises NotADirectoryError for a folder that does not exist, OSError for an input that does not, TypeError for a
        stream that is none of these, and ValueError for text that WASI cannot pass on.
        """
        return Session(self._runtime, args, env, dirs, limits, stdin, stdout, stderr)

    def close(self) -> None:
        """Forget every model; the memory of one that a session still uses goes free with that session."""
        self._registry.close()
        if self._release is Release.DRIVER:
            self._backends.trim()


def _options(
    optimize: str | Optimize | None, method: str | None, warm_up: object, dtypes: Mapping[str, object] | None
) -> ModelOptions:
    return ModelOptions(
        optimize=None if optimize is None else Optimize(optimize),
        method=method,
        warm_up=WarmUp.of(warm_up),
        dtypes=_dtypes(dtypes or {}),
    )


def _name(device: object) -> str | None:
    """The name of a device that is given by name, or as an object that prints as its name, such as `torch.device`."""
    return None if device is None else str(device)


def _dtypes(dtypes: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Dtypes by name, which may be given as objects that print as theirs: `torch.bool` does so as "torch.bool"."""
    return tuple((name, str(dtype).removeprefix("torch.")) for name, dtype in dtypes.items())
