"""The command line: `wasi-nn-torch run`; the other commands are in modules of their own.

Standard output belongs to the guest; everything that the host says goes to standard error. The exit status is the
guest's own; 2 where the command line cannot be carried out as it was given; 70 where the guest could not be run to its
end.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from wasi_nn_torch import cache_commands, doctor_command, inspect_command
from wasi_nn_torch.graph_option import METAVAR, OfferedModel, parse_graph
from wasi_nn_torch.policy import GuestModels, Optimize
from wasi_nn_torch.sizes import parse_size

if TYPE_CHECKING:
    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.guests import Guest
    from wasi_nn_torch.session import Session

logger = logging.getLogger(__name__)

USAGE = 2
HOST_FAILURE = 70

#: Seconds of compiling after which a person wants to know what takes so long.
_PATIENCE = 0.5
#: Seconds that a guest that sits in a call of WASI gets beyond its timeout.
_GRACE = 1.0

app = typer.Typer(
    help="Run WebAssembly guests that use wasi-nn, on PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cache_commands.app, name="cache")


def _size(text: str) -> int:
    """Bytes, or a number with a unit."""
    try:
        return parse_size(text)
    except ValueError as error:
        reason = str(error)
    raise typer.BadParameter(reason)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wasi-nn-torch {version('wasi-nn-torch')}")
        raise typer.Exit


@app.callback()
def _commands(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run WebAssembly guests that use wasi-nn, on PyTorch."""


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    guest: Annotated[
        Path, typer.Argument(metavar="GUEST", help="The guest: a component or a core module.", show_default=False)
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGS]...", help="Everything behind the guest is the guest's.", show_default=False),
    ] = None,
    graph: Annotated[
        list[str] | None,
        typer.Option(metavar=METAVAR, help="Offer a model under a name.", show_default=False),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE", help="Where graphs run: cpu, cuda:0, …; by default the accelerator, if there is one."
        ),
    ] = None,
    dir_: Annotated[
        list[str] | None,
        typer.Option("--dir", metavar="HOST[::GUEST]", help="Let the guest use a folder.", show_default=False),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Set a variable for the guest, or pass on ours.", show_default=False),
    ] = None,
    guest_models: Annotated[
        GuestModels, typer.Option(help="Which models the guest may bring along.")
    ] = GuestModels.CHECKED,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Stop the guest after this time.", min=0.001)
    ] = None,
    max_device_memory: Annotated[
        int | None, typer.Option(metavar="SIZE", parser=_size, help="For the guest's tensors on devices: 512MiB, 2GB.")
    ] = None,
    max_host_memory: Annotated[
        int | None, typer.Option(metavar="SIZE", parser=_size, help="For its tensors that no graph has used yet.")
    ] = None,
    max_tensors: Annotated[
        int | None, typer.Option(metavar="N", help="How many tensors it may have at a time.", min=0)
    ] = None,
    max_resources: Annotated[
        int | None, typer.Option(metavar="N", help="How many tensors, graphs, … it may hold at a time.", min=0)
    ] = None,
    max_memory: Annotated[
        int | None, typer.Option(metavar="SIZE", parser=_size, help="For each memory of the guest itself.")
    ] = None,
    model_memory: Annotated[
        int | None, typer.Option(metavar="SIZE", parser=_size, help="For the weights of all graphs on one device.")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Threads for one computation on the CPU; PyTorch's own choice by default.", min=1
        ),
    ] = None,
    stats: Annotated[bool, typer.Option("--stats", help="Print what was done and held, on standard error.")] = False,
    cache: Annotated[bool, typer.Option(help="Keep compiled guests in the user's cache folder.")] = True,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more; twice for everything.", show_default=False)
    ] = 0,
) -> None:
    """Run a guest."""
    _log(verbose)
    folders = dict(_folder(text) for text in dir_ or [])
    variables = dict(_variable(text) for text in env or [])
    models = [parse_graph(text) for text in graph or []]

    # PyTorch takes a second to import: only now, when the command line is known to be right.
    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.session import Limits

    with ExitStack() as stack:
        with _usage_errors():
            engine = stack.enter_context(
                Engine(device, guest_models=guest_models, model_bytes=model_memory, threads=threads, cache=cache)
            )
            compiled = _compile(engine, guest)
            for model in models:
                _register(engine, model)
            limits = Limits(
                device_bytes=max_device_memory,
                host_bytes=max_host_memory,
                tensors=max_tensors,
                resources=max_resources,
                memory=max_memory,
                timeout=timeout,
            )
            session = engine.session(args=args or [], env=variables, dirs=folders, limits=limits)
        status = _run(stack.enter_context(session), compiled, timeout, stats)
    raise typer.Exit(status)


# Behind `run`, so that help lists it first.
app.command()(inspect_command.inspect)
app.command()(doctor_command.doctor)


def main() -> None:
    """Run the command line."""
    app(windows_expand_args=False)


def _run(session: Session, guest: Guest, timeout: float | None, stats: bool) -> int:
    from wit_host import GuestError

    try:
        with _killed_by_ctrl_c(), _overdue(guest.name, timeout):
            return session.run(guest)
    except GuestError as error:
        if error.backtrace:
            logger.info("%s", error.backtrace)
        _fail(str(error), HOST_FAILURE)
    except Exception as error:
        logger.exception("this is a fault of the host, not of the guest")
        _fail(f"the host failed while it ran {guest.name}: {type(error).__name__}", HOST_FAILURE)
    finally:
        if stats:
            from wasi_nn_torch.report import print_stats

            print_stats(session.stats)


def _compile(engine: Engine, path: Path) -> Guest:
    from wasi_nn_torch.guests import read_guest

    file = read_guest(path)
    with _announced(f"compiling {file.name} ({len(file.wasm) / 1e6:.1f} MB) …"):
        return engine.compile(file)


def _register(engine: Engine, model: OfferedModel) -> None:
    """Offer a model; who asked for it to be compiled sees that this is what takes so long."""
    with ExitStack() as stack:
        if model.options.optimize is Optimize.COMPILE:
            stack.enter_context(_announced(f"compiling the model {Path(model.path).name} …"))
        options = model.options
        dtypes = dict(options.dtypes)
        engine.register(model.name, model.path, model.device, optimize=options.optimize, dtypes=dtypes)


@contextmanager
def _announced(task: str) -> Iterator[None]:
    """Say what is being done if it takes long, as it does for a large guest that has not been compiled before."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    status = console.status(Text(task))

    def announce() -> None:
        if console.is_terminal:
            status.start()
        else:
            console.print(Text(task), soft_wrap=True)

    timer = threading.Timer(_PATIENCE, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()


@contextmanager
def _usage_errors() -> Iterator[None]:
    """End with one clear line where what the command line names is not there or not what it should be."""
    from wasi_nn_torch.errors import ModelError
    from wasi_nn_torch.guests import InvalidGuest

    try:
        yield
    except (InvalidGuest, ModelError, NotADirectoryError, ValueError) as error:
        message = str(error)
    else:
        return
    _fail(message, USAGE)


@contextmanager
def _killed_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once, as it ends any program, even while the guest waits in a call of WASI."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def _overdue(name: str, timeout: float | None) -> Iterator[None]:
    """End the process where a guest waits in a call of WASI, which nothing interrupts, long after its time is over."""
    if timeout is None:
        yield
        return

    def end() -> None:
        print(f"error: {name} did not end within {timeout:g} s, and waits for its host", file=sys.stderr, flush=True)
        os._exit(HOST_FAILURE)

    timer = threading.Timer(timeout + _GRACE, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _folder(text: str) -> tuple[str, str]:
    """`HOST[::GUEST]`; without a name for the guest it is the host's."""
    host, separator, guest = text.partition("::")
    if not host or (separator and not guest):
        raise typer.BadParameter(f"`{text}` is not HOST or HOST::GUEST", param_hint="--dir")
    return host, guest or host


def _variable(text: str) -> tuple[str, str]:
    """`NAME=VALUE`; or `NAME`, with the value that it has here."""
    name, separator, value = text.partition("=")
    if not name:
        raise typer.BadParameter(f"`{text}` is not NAME=VALUE", param_hint="--env")
    if not separator and name not in os.environ:
        raise typer.BadParameter(f"`{name}` is not set here; give it a value: {name}=VALUE", param_hint="--env")
    return name, value if separator else os.environ[name]


def _log(verbose: int) -> None:
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def _fail(message: str, status: int) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(status)
