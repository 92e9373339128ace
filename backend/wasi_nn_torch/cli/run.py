"""The command `wasi-nn-torch run`.

Standard output belongs to the guest; all messages of the host go to standard error. The exit status is the guest's own,
2 if the command line is wrong, or 70 if the guest did not run to completion.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wasi_nn_torch.cli import limit_options
from wasi_nn_torch.cli.dir_option import METAVAR as DIR_METAVAR
from wasi_nn_torch.cli.exits import HOST_FAILURE, fail, fails_on
from wasi_nn_torch.cli.graph_option import METAVAR, parse_graph
from wasi_nn_torch.cli.option_values import directories, servers, size, variable
from wasi_nn_torch.cli.rebuilding import repeat
from wasi_nn_torch.cli.stats_option import StatsFormat, print_last_refusal, print_session_stats
from wasi_nn_torch.cli.watching import announced, killed_by_ctrl_c, overdue
from wasi_nn_torch.configuration.graphs import OfferedModel
from wasi_nn_torch.contract.policy import GuestModels, Optimize
from wasi_nn_torch.contract.sizes import spell_size

if TYPE_CHECKING:
    from wasi_nn_torch.engine import Engine
    from wasi_nn_torch.sessions.compiling import CompileLimits
    from wasi_nn_torch.sessions.guests import Guest
    from wasi_nn_torch.sessions.session import Session
    from wit_host import GuestError

logger = logging.getLogger(__name__)

#: The headings of `--help`.
MODELS, GUEST, OUTPUT = "Models", "Guest", "Output"

EXAMPLES = """Examples:

wasi-nn-torch run --graph classifier=model.pt2 --dir photos guest.wasm photos/cat.ppm

wasi-nn-torch run --timeout 30s --max-memory 256MiB --dir out:rw guest.wasm
"""


def run(
    guest: Annotated[
        Path,
        typer.Argument(metavar="GUEST", help="The guest: a WebAssembly component or core module.", show_default=False),
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(help="Arguments after GUEST are passed to the guest.", show_default=False),
    ] = None,
    graph: Annotated[
        list[str] | None,
        typer.Option(
            metavar=METAVAR, help="Register a model under a name.", show_default=False, rich_help_panel=MODELS
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICE",
            help="The device that graphs run on: cpu, cuda:0, …; by default the accelerator, if there is one.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    dir_: Annotated[
        list[str] | None,
        typer.Option(
            "--dir",
            metavar=DIR_METAVAR,
            help="Give the guest access to a directory, read-only unless :rw.",
            show_default=False,
            rich_help_panel=GUEST,
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE]",
            help="Set an environment variable for the guest, or pass on the host's.",
            show_default=False,
            rich_help_panel=GUEST,
        ),
    ] = None,
    allow_http: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN[@NETWORK]",
            help="Let the guest ask a server by HTTP, such as https://api.example.com; may be repeated.",
            show_default=False,
            rich_help_panel=GUEST,
        ),
    ] = None,
    guest_models: Annotated[
        GuestModels | None,
        typer.Option(
            help="The models that the guest may supply: those that pass a check, isolated in a confined process (by "
            "default, if this system can do that), none, or any, which can take over this process.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
    guest_devices: Annotated[
        bool,
        typer.Option(
            "--guest-devices",
            help="Let isolated models use other devices than the CPU.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = False,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Isolate models even if this system lacks a part of the confinement: landlock, seccomp.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
    timeout: limit_options.Timeout = None,
    max_memory: limit_options.MaxMemory = None,
    max_memories: limit_options.MaxMemories = None,
    max_tables: limit_options.MaxTables = None,
    max_table_elements: limit_options.MaxTableElements = None,
    max_instances: limit_options.MaxInstances = None,
    max_host_memory: limit_options.MaxHostMemory = None,
    max_device_memory: limit_options.MaxDeviceMemory = None,
    max_tensors: limit_options.MaxTensors = None,
    max_resources: limit_options.MaxResources = None,
    max_output: limit_options.MaxOutput = None,
    max_fuel: limit_options.MaxFuel = None,
    no_limits: limit_options.NoLimits = False,
    compile_timeout: limit_options.CompileTimeout = None,
    compile_memory: limit_options.CompileMemory = None,
    compile_in_process: limit_options.CompileInProcess = False,
    model_memory: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            parser=size,
            help="Limit for the weights of all graphs on one device.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The number of threads for one computation on the CPU; chosen by PyTorch by default.",
            min=1,
            rich_help_panel=MODELS,
        ),
    ] = None,
    stats: Annotated[
        StatsFormat | None,
        typer.Option(
            metavar="[=table|json]",
            help="Print calls, transfers, memory and times on standard error.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import a Python module that registers operators for models.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
    optimize: Annotated[
        bool,
        typer.Option(
            " /--no-optimize",
            help="Compile the guest in less than half the time, to slower code; for guests under development.",
            rich_help_panel=GUEST,
            show_default=False,
        ),
    ] = True,
    watch: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Build the guest with this command, such as make, and run it; again after every change of a file in "
            "the current directory.",
            show_default=False,
            rich_help_panel=GUEST,
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option(help="Keep compiled guests in the user's cache directory.", rich_help_panel=GUEST)
    ] = True,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Log more; -vv logs everything.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = 0,
) -> None:
    """Run a guest."""
    _log(verbose)
    dirs = directories(dir_ or [])
    variables = dict(variable(text) for text in env or [])
    outgoing = servers(allow_http) if allow_http else None
    models = [parse_graph(text) for text in graph or []]
    limits = limit_options.limits(
        no_limits,
        {
            "timeout": timeout,
            "memory": max_memory,
            "memories": max_memories,
            "tables": max_tables,
            "table_elements": max_table_elements,
            "instances": max_instances,
            "host_bytes": max_host_memory,
            "device_bytes": max_device_memory,
            "tensors": max_tensors,
            "resources": max_resources,
            "output": max_output,
            "fuel": max_fuel,
        },
    )

    def once() -> int:
        # PyTorch takes a second to import, so the command line is checked first.
        from wasi_nn_torch.contract.errors import ModelError
        from wasi_nn_torch.engine import Engine
        from wasi_nn_torch.sessions.guests import InvalidGuest

        with ExitStack() as stack:
            with fails_on(InvalidGuest, ModelError, NotADirectoryError, ValueError), _logged_warnings():
                engine = stack.enter_context(
                    Engine(
                        device,
                        guest_models=guest_models,
                        guest_devices=guest_devices,
                        waive=waive or [],
                        model_bytes=model_memory,
                        threads=threads,
                        cache=cache,
                        fuel=limits.fuel is not None,
                        compile_limits=_compile_limits(compile_timeout, compile_memory, compile_in_process),
                        imports=imports or [],
                    )
                )
                compiled = _compile(engine, guest, optimize, in_python=outgoing is not None)
                engine.prepare(compiled)  # before the timeout starts
                for model in models:
                    _register(engine, model)
                world = None
                if outgoing is not None:
                    from wasi_nn_torch.cli.python_world import make_world

                    world = make_world(compiled.name, args or [], variables, dirs, limits, outgoing)
                session = engine.session(args=args or [], env=variables, dirs=dirs, limits=limits, data=world)
            return _run(stack.enter_context(session), compiled, limits.timeout, stats)

    if watch is not None:
        repeat(watch, once)
    raise typer.Exit(once())


def _run(session: Session, guest: Guest, timeout: float | None, stats: StatsFormat | None) -> int:
    from wit_host import GuestError

    try:
        with killed_by_ctrl_c(), overdue(guest.name, timeout):
            status = session.run(guest)
        print_last_refusal(session, guest.name, status)
        return status
    except GuestError as error:
        if error.backtrace:
            logger.info("%s", error.backtrace)
        fail(_text(session, error), HOST_FAILURE)
    except Exception as error:
        logger.exception("this is a fault of the host, not of the guest")
        fail(f"the host failed while it ran {guest.name}: {type(error).__name__}", HOST_FAILURE)
    finally:
        if stats is not None:
            print_session_stats(session.stats, stats)


def _text(session: Session, error: GuestError) -> str:
    if session.data is None:
        return str(error)
    from wasi_nn_torch.cli.python_world import in_options

    return in_options(error)


def _compile_limits(seconds: float | None, memory: int | None, in_process: bool) -> CompileLimits | None:
    """The limits that options choose, or the default ones; raises ValueError for limits of what has none."""
    from wasi_nn_torch.sessions.compiling import COMPILE_LIMITS, CompileLimits

    if not in_process:
        return CompileLimits(
            COMPILE_LIMITS.seconds if seconds is None else seconds, COMPILE_LIMITS.memory if memory is None else memory
        )
    if seconds is None and memory is None:
        return None
    raise ValueError("`--compile-in-process` has no limits; leave out `--compile-timeout` and `--compile-memory`")


def _compile(engine: Engine, path: Path, optimize: bool, in_python: bool) -> Guest:
    """Compile the guest, for WASI in Python or for the engine's; raises ValueError if it needs another one."""
    from wasi_nn_torch.cli.http_access import require_fit
    from wasi_nn_torch.sessions.guests import read_guest

    file = read_guest(path)
    compile_file = engine.compile
    if in_python:
        from wasi_nn_torch.cli.python_world import BUFFERS, link

        compile_file = partial(engine.compile, link=link, buffers=BUFFERS)
    with announced(f"compiling {file.name} ({spell_size(len(file.content))}) …"):
        compiled = compile_file(file, optimize=optimize)
    require_fit(compiled, in_python)
    return compiled


def _register(engine: Engine, model: OfferedModel) -> None:
    """Register a model; if it is to be compiled, which takes long, announce that."""
    with ExitStack() as stack:
        if model.options.optimize is Optimize.COMPILE:
            stack.enter_context(announced(f"compiling the model {Path(model.path).name} …"))
        model.load(engine.register)


@contextmanager
def _logged_warnings() -> Iterator[None]:
    """Log what the library warns about the options, instead of printing it with a line of its code."""
    with warnings.catch_warnings(record=True, category=FutureWarning) as raised:
        warnings.simplefilter("always", FutureWarning)
        warnings.filterwarnings("ignore", "Failed to initialize NumPy")  # which nothing here needs
        yield
    for warning in raised:
        logger.warning("%s", warning.message)


def _log(verbose: int) -> None:
    level = [logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
