"""The command `wasi-nn-torch serve`."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wasi_nn_torch.cli.exits import HOST_FAILURE, fail, fails_on
from wasi_nn_torch.cli.graph_option import SPELLINGS
from wasi_nn_torch.cli.options_of_paths import require_no_option, split_options
from wasi_nn_torch.configuration.graphs import OPTIONS

if TYPE_CHECKING:
    from wasi_nn_torch.configuration.serving import Configuration, Origin

EXAMPLES = """Examples:

wasi-nn-torch serve --graph net=net.pt2 --pipeline classify=classify.wasm

wasi-nn-torch serve --config serve.toml --port 9000
"""

#: The headings of `--help`.
MODELS, LISTENING, REQUESTS, OUTPUT = "Models", "Listening", "Requests", "Output"


def _option(*names: str, metavar: str, help: str, panel: str) -> Any:  # noqa: ANN401  # an annotation that typer reads
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, rich_help_panel=panel)


def serve(
    graph: Annotated[
        list[str] | None,
        _option(
            "--graph",
            metavar="NAME=PATH[,OPTION=VALUE]…",
            help="Serve a model under a name, with the options of `run`, and concurrency, max-waiting, reuse, timeout.",
            panel=MODELS,
        ),
    ] = None,
    pipeline: Annotated[
        list[str] | None,
        _option(
            "--pipeline",
            metavar="NAME=PATH[,OPTION=VALUE]…",
            help="Serve a pipeline under a name; options: graphs=A+B, concurrency, max-waiting, reuse, max-uses, "
            "timeout, max-memory.",
            panel=MODELS,
        ),
    ] = None,
    http: Annotated[
        list[str] | None,
        _option(
            "--http",
            metavar="[NAME=]PATH[,OPTION=VALUE]…",
            help="Serve a component that answers HTTP requests itself, as for `wasmtime serve`, at all other paths, or "
            "with /BEGINNING=PATH at some; options: those of --pipeline, at, env.NAME, allow=ORIGIN+ORIGIN.",
            panel=MODELS,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        _option("--config", metavar="FILE", help="Read options from a TOML file; those given here win.", panel=MODELS),
    ] = None,
    device: Annotated[
        str | None, _option("--device", metavar="DEVICE", help="The device that graphs run on.", panel=MODELS)
    ] = None,
    threads: Annotated[
        str | None,
        _option("--threads", metavar="N", help="The number of threads for one computation on the CPU.", panel=MODELS),
    ] = None,
    imports: Annotated[
        list[str] | None,
        _option("--import", metavar="MODULE", help="Import a Python module that registers operators.", panel=MODELS),
    ] = None,
    guest_models: Annotated[
        str | None,
        _option(
            "--guest-models",
            metavar="none|isolated|any",
            help="The models that pipelines may supply: those that pass a check, isolated in confined processes (by "
            "default, if this system can do that), none, or any, which can take over this process.",
            panel=MODELS,
        ),
    ] = None,
    guest_devices: Annotated[
        bool | None,
        typer.Option(
            "--guest-devices",
            help="Let isolated models use other devices than the CPU.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
    waive: Annotated[
        list[str] | None,
        _option(
            "--waive",
            metavar="PART",
            help="Isolate models even if this system lacks a part of the confinement: landlock, seccomp.",
            panel=MODELS,
        ),
    ] = None,
    model_memory: Annotated[
        str | None,
        _option(
            "--model-memory", metavar="SIZE", help="Limit for the weights of all graphs on one device.", panel=MODELS
        ),
    ] = None,
    reload: Annotated[
        str | None,
        _option(
            "--reload",
            metavar="TIME",
            help="Look for changed files this often; without it, only on SIGHUP.",
            panel=MODELS,
        ),
    ] = None,
    host: Annotated[
        str | None,
        _option("--host", metavar="ADDRESS", help="The address to listen on, by default 127.0.0.1.", panel=LISTENING),
    ] = None,
    port: Annotated[
        str | None,
        _option("--port", metavar="N", help="The port, by default 8080; 0 is any free one.", panel=LISTENING),
    ] = None,
    max_connections: Annotated[
        str | None,
        _option("--max-connections", metavar="N", help="Limit for connections, by default 1000.", panel=LISTENING),
    ] = None,
    stop_timeout: Annotated[
        str | None,
        _option(
            "--stop-timeout",
            metavar="TIME",
            help="The time for requests to be answered when the server stops, by default 30s.",
            panel=LISTENING,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        _option(
            "--timeout",
            metavar="TIME|none",
            help="The time to answer a request, by default 60s; a request may ask for less.",
            panel=REQUESTS,
        ),
    ] = None,
    max_body: Annotated[
        str | None,
        _option("--max-body", metavar="SIZE", help="Limit for one request, by default 64MiB.", panel=REQUESTS),
    ] = None,
    max_bodies: Annotated[
        str | None,
        _option("--max-bodies", metavar="SIZE", help="Limit for all requests, by default 1GiB.", panel=REQUESTS),
    ] = None,
    max_json: Annotated[
        str | None,
        _option(
            "--max-json", metavar="SIZE", help="Limit for the JSON of a request, by default 16MiB.", panel=REQUESTS
        ),
    ] = None,
    body_timeout: Annotated[
        str | None,
        _option(
            "--body-timeout", metavar="TIME", help="The time for a body to arrive, by default 30s.", panel=REQUESTS
        ),
    ] = None,
    tenant_header: Annotated[
        str | None,
        _option(
            "--tenant-header",
            metavar="NAME|none",
            help="The header that names the tenant of a request, by default X-Tenant.",
            panel=REQUESTS,
        ),
    ] = None,
    log: Annotated[
        str | None,
        _option("--log", metavar="text|json", help="How the log is written on standard error.", panel=OUTPUT),
    ] = None,
    cache: Annotated[
        bool | None,
        typer.Option(
            "--cache/--no-cache",
            help="Keep compiled pipelines and components in the user's cache directory.",
            show_default=False,
            rich_help_panel=MODELS,
        ),
    ] = None,
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
    """Serve graphs and pipelines over HTTP, by the Open Inference Protocol, version 2, and components that answer."""
    try:
        from wasi_nn_torch.configuration.serving import configuration
        from wasi_nn_torch.http.logs import configure
    except ModuleNotFoundError as error:
        fail(f"`serve` needs the package {error.name}; install it with: pip install 'wasi-nn-torch[serve]'")
    given = {
        "device": device,
        "threads": threads,
        "import": imports,
        "guest-models": guest_models,
        "guest-devices": guest_devices,
        "waive": waive,
        "model-memory": model_memory,
        "reload": reload,
        "host": host,
        "port": port,
        "max-connections": max_connections,
        "stop-timeout": stop_timeout,
        "timeout": timeout,
        "max-body": max_body,
        "max-bodies": max_bodies,
        "max-json": max_json,
        "body-timeout": body_timeout,
        "tenant-header": tenant_header,
        "log": log,
        "cache": cache,
    }
    with fails_on(ValueError):
        chosen = configuration(_origins(config, given, graph or [], pipeline or [], http or []))
        if not chosen.graphs and not chosen.pipelines and not chosen.components:
            raise ValueError("there is nothing to serve; give --graph, --pipeline, --http or --config")
    configure(chosen.log, verbose)
    _serve(chosen)


def _origins(
    config: Path | None, given: Mapping[str, Any], graphs: list[str], pipelines: list[str], http: list[str]
) -> list[tuple[Mapping[str, Any], Origin]]:
    from wasi_nn_torch.cli.http_option import components_of
    from wasi_nn_torch.configuration.serving import GRAPH, HTTP, PIPELINE, Origin, read_config

    tables: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    tables["graphs"] = _all_named("--graph", graphs, [OPTIONS, *map(re.escape, GRAPH)], [*SPELLINGS, *GRAPH])
    tables["pipelines"] = _all_named("--pipeline", pipelines, map(re.escape, PIPELINE), PIPELINE)
    tables["http"] = components_of(http, HTTP)
    return [*([] if config is None else [read_config(config)]), (tables, Origin())]


def _all_named(option: str, texts: list[str], keys: Iterable[str], known: Iterable[str]) -> dict[str, dict[str, str]]:
    """The values of an option that may be repeated, by name; raises ValueError if a name is, too.

    `keys` are patterns of the options after the path, which `known` lists for error texts.
    """
    tables: dict[str, dict[str, str]] = {}
    pattern = "|".join(keys)
    for text in texts:
        try:
            name, table = _named(text, pattern, known)
        except ValueError as error:
            raise ValueError(f"{option}: {error}") from None
        if name in tables:
            raise ValueError(f"{option}: `{name}` is given more than once")
        tables[name] = table
    return tables


def _named(text: str, keys: str, known: Iterable[str]) -> tuple[str, dict[str, str]]:
    """`NAME=PATH[,OPTION=VALUE]…` as the name and a table; raises ValueError."""
    rest, given = split_options(text, keys)
    name, _, path = rest.partition("=")
    if not name or not path:
        raise ValueError(f"`{text}` is not NAME=PATH[,OPTION=VALUE]…")
    require_no_option(path, known)
    return name, {"path": path, **given}


def _serve(chosen: Configuration) -> None:
    from wasi_nn_torch.configuration.hosting import REFUSALS, opened, sources
    from wasi_nn_torch.http.reloading import Reloading
    from wasi_nn_torch.http.server import Server, run

    with ExitStack() as stack:
        with fails_on(*REFUSALS):
            since = time.time_ns()
            engine, app = stack.enter_context(opened(chosen))

        async def reload_changed() -> None:
            reloading = Reloading(sources(engine, app, chosen), chosen.reload, since)
            if hasattr(signal, "SIGHUP"):
                _on_hang_up(reloading)
            await reloading.run()

        announce = partial(_announce, chosen.listening.host)
        server = Server(app, chosen.listening, announce, reload_changed)
        has_listened = run(server)
    if not has_listened:
        fail(f"cannot listen on {chosen.listening.host}, port {chosen.listening.port}; the log says why", HOST_FAILURE)


def _on_hang_up(reloading: Any) -> None:  # noqa: ANN401  # imported only when it is used
    import asyncio

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.now)


def _announce(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    print(f"serving on http://{shown}:{port}", file=sys.stderr, flush=True)
