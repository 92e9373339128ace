"""The configuration of `wasi-nn-torch serve`: from a TOML file and from options, by one table of keys.

In: a TOML file, whose errors name the line, and options, whose values are text. Out: frozen values for the server.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from wasi_nn_torch.configuration.graphs import KEYS, OPTIONS, OfferedModel, graph_of
from wasi_nn_torch.configuration.values import (
    LIFTED,
    count,
    duration,
    flag,
    guest_models,
    log_format,
    names,
    or_none,
    reuse,
    size,
    text,
    texts,
)
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.contract.processors import processors
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.http.logs import LogFormat
from wasi_nn_torch.http.server import Listening
from wasi_nn_torch.http.settings import ComponentSettings, GraphSettings, PipelineSettings, Settings
from wasi_nn_torch.sessions.limits import Limits

if TYPE_CHECKING:
    from wasi_host import Outgoing

Parser = Callable[[object], object]
Table = Mapping[str, Any]

#: The keys of the server itself, which are also the long options of the command.
SERVER: Final[Mapping[str, Parser]] = {
    "host": text,
    "port": count,
    "device": text,
    "threads": count,
    "import": names,
    "guest-models": guest_models,
    "guest-devices": flag,
    "waive": names,
    "cache": flag,
    "model-memory": or_none(size),
    "max-body": size,
    "max-bodies": size,
    "max-json": size,
    "body-timeout": duration,
    "timeout": or_none(duration),
    "tenant-header": or_none(text),
    "max-connections": count,
    "stop-timeout": duration,
    "reload": or_none(duration),
    "log": log_format,
}
#: The limits of each request or instance, which graphs and pipelines have.
_LIMITS: Final[Mapping[str, tuple[str, Parser]]] = {
    "timeout": ("timeout", or_none(duration)),
    "max-device-memory": ("device_bytes", or_none(size)),
    "max-host-memory": ("host_bytes", or_none(size)),
    "max-tensors": ("tensors", or_none(count)),
}
_OF_PIPELINES: Final[Mapping[str, tuple[str, Parser]]] = {
    **_LIMITS,
    "max-memory": ("memory", or_none(size)),
    "max-output": ("output", or_none(size)),
    "max-resources": ("resources", or_none(count)),
}
#: What a component may ask of others, if `allow` lets it ask anybody.
_OUTGOING: Final[Mapping[str, tuple[str, Parser]]] = {
    "connect-timeout": ("connect_timeout", duration),
    "first-byte-timeout": ("first_byte_timeout", duration),
    "between-bytes-timeout": ("between_bytes_timeout", duration),
    "max-requests": ("connections", count),
    "max-request-body": ("request_body", size),
    "max-response-body": ("response_body", size),
}
_SERVING: Final[Mapping[str, Parser]] = {"concurrency": count, "max-waiting": count, "reuse": reuse}
#: The keys of a graph beside those of its model, such as `device`, which are those of `--graph` of `run`.
GRAPH: Final[Mapping[str, Parser]] = {**_SERVING, "inline": flag, **{key: parse for key, (_, parse) in _LIMITS.items()}}
#: The keys of a pipeline.
PIPELINE: Final[Mapping[str, Parser]] = {
    **_SERVING,
    "path": text,
    "graphs": names,
    "max-uses": count,
    **{key: parse for key, (_, parse) in _OF_PIPELINES.items()},
}
#: The keys of a component that answers requests itself; `env` is a table.
HTTP: Final[Mapping[str, Parser]] = {
    **PIPELINE,
    "at": text,
    "env": texts,
    "allow": names,
    **{key: parse for key, (_, parse) in _OUTGOING.items()},
}
_TABLES = ("graphs", "pipelines", "http")


@dataclass(frozen=True)
class OfferedGraph:
    """A graph to be registered, and its settings."""

    model: OfferedModel
    settings: GraphSettings


@dataclass(frozen=True)
class Configuration:
    """Everything that the command was told."""

    graphs: Mapping[str, OfferedGraph]
    pipelines: Mapping[str, PipelineSettings]
    components: Mapping[str, ComponentSettings]
    settings: Settings
    listening: Listening
    device: str | None
    threads: int | None
    imports: Collection[str]
    guest_models: GuestModels | None
    guest_devices: bool
    waive: Collection[str]
    cache: bool
    model_memory: int | None
    reload: float | None
    log: LogFormat


@dataclass(frozen=True)
class Origin:
    """Where values were given: in a file with this content, or on the command line."""

    file: Path | None = None
    content: str = ""

    def name(self, *path: str) -> str:
        """The place of a value, as the beginning of an error text."""
        if self.file is None:
            section, *rest = path
            option = f"--{section.removesuffix('s')}" if section in _TABLES else f"--{section}"
            return f"{option}: {'.'.join(rest) + ': ' if rest else ''}"
        return f"{self.file}:{_line_of(self.content, path)}: "

    def resolve(self, path: str) -> str:
        """A path, which is relative to the directory of the file."""
        return path if self.file is None else str(self.file.parent / path)


def read_config(file: Path) -> tuple[Table, Origin]:
    """The values of a TOML file; raises ValueError with the line if it is not TOML, or cannot be read."""
    try:
        content = file.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8") from None
    try:
        return tomllib.loads(content), Origin(file, content)
    except tomllib.TOMLDecodeError as error:
        reason, _, place = str(error).partition(" (at ")
        line = place.split(",")[0].removeprefix("line ") if place.startswith("line ") else len(content.splitlines())
        raise ValueError(f"{file}:{line}: {reason}") from None


def configuration(given: Collection[tuple[Table, Origin]], processor_count: int | None = None) -> Configuration:
    """The configuration from several origins, of which later ones win; raises ValueError with the place.

    `processor_count` is the number of processors that the server will have, by default that of this process.
    """
    concurrency = processor_count or processors()
    server: dict[str, Any] = {}
    graphs: dict[str, OfferedGraph] = {}
    pipelines: dict[str, PipelineSettings] = {}
    components: dict[str, ComponentSettings] = {}
    for table, origin in given:
        own = {key: value for key, value in table.items() if key not in _TABLES}
        server |= _parsed(own, SERVER, origin, (), also=_TABLES)
        for name, values in _tables(table, "graphs", origin):
            graphs[name] = _graph(name, values, origin, concurrency)
        for name, values in _tables(table, "pipelines", origin):
            pipelines[name] = _pipeline(name, values, origin, concurrency)
        for name, values in _tables(table, "http", origin):
            components[name] = _component(name, values, origin, concurrency)
    return _made(server, graphs, pipelines, components)


def _made(
    server: Mapping[str, Any],
    graphs: Mapping[str, OfferedGraph],
    pipelines: Mapping[str, PipelineSettings],
    components: Mapping[str, ComponentSettings],
) -> Configuration:
    settings = _with(
        Settings(),
        server,
        {
            "max-body": "max_body",
            "max-bodies": "max_bodies",
            "max-json": "max_json",
            "body-timeout": "body_timeout",
            "timeout": "timeout",
            "tenant-header": "tenant_header",
        },
    )
    listening = _with(
        Listening(),
        server,
        {"host": "host", "port": "port", "max-connections": "connections", "stop-timeout": "stop_seconds"},
    )
    return Configuration(
        graphs,
        pipelines,
        components,
        settings,
        listening,
        device=server.get("device"),
        threads=server.get("threads"),
        imports=server.get("import", ()),
        guest_models=server.get("guest-models"),
        guest_devices=server.get("guest-devices", False),
        waive=server.get("waive", ()),
        cache=server.get("cache", True),
        model_memory=server.get("model-memory"),
        reload=server.get("reload"),
        log=server.get("log", LogFormat.TEXT),
    )


def _graph(name: str, values: Table, origin: Origin, concurrency: int) -> OfferedGraph:
    where = ("graphs", name)
    own = _parsed({key: value for key, value in values.items() if key in GRAPH}, GRAPH, origin, where)
    path = values.get("path")
    if not isinstance(path, str) or not path:
        raise ValueError(f"{origin.name(*where)}the graph {quote(name)} needs a `path`, the file of its model")
    rest = {key: value for key, value in values.items() if key not in GRAPH and key != "path"}
    for key, value in rest.items():
        if not re.fullmatch(OPTIONS, f"{key}." if isinstance(value, dict) else key):
            raise ValueError(f"{origin.name(*where, key)}{_unknown(key, [*GRAPH, *KEYS, 'path'])}")
    try:
        model = graph_of(name, origin.resolve(path), dict(_model_options(rest)))
    except ValueError as error:
        wrong = [key for key, value in rest.items() if not _is_valid(key, value)]
        raise ValueError(f"{origin.name(*where, *wrong[:1])}{error}") from None
    limits = _limits(Limits(), own, _LIMITS)
    if model.options.batch is not None:  # so that the next batch can gather while one is computed
        own.setdefault("concurrency", 2 * model.options.batch.max_size)
    own.setdefault("concurrency", concurrency)
    with_limits = {key: value for key, value in own.items() if key not in _LIMITS}
    return OfferedGraph(model, replace(GraphSettings(), **_underscored(with_limits), limits=limits))


def _model_options(values: Table) -> Iterator[tuple[str, str]]:
    """The options of a model as `--graph` spells them: `warm-up`, or `warm-up.x` for an entry of a table."""
    for key, value in values.items():
        entries = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        for option, each in entries.items():
            yield option, _spelled(option, each)


def _spelled(option: str, value: object) -> str:
    if isinstance(value, list):
        return ("+" if option == "preferred" else "x").join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _is_valid(key: str, value: object) -> bool:
    """Whether a model may have an option."""
    try:
        graph_of("", "", dict(_model_options({key: value})))
    except ValueError:
        return False
    return True


def _pipeline(name: str, values: Table, origin: Origin, concurrency: int) -> PipelineSettings:
    where = ("pipelines", name)
    own = _parsed(values, PIPELINE, origin, where)
    path = own.pop("path", None)
    if not path:
        raise ValueError(f"{origin.name(*where)}the pipeline {quote(name)} needs a `path`, the file of its component")
    start = PipelineSettings(origin.resolve(path), concurrency=concurrency)
    limits = _limits(start.limits, own, _OF_PIPELINES)
    with_limits = {key: value for key, value in own.items() if key not in _OF_PIPELINES}
    return replace(start, **_underscored(with_limits), limits=limits)


def _component(name: str, values: Table, origin: Origin, concurrency: int) -> ComponentSettings:
    where = ("http", name)
    own = _parsed(values, HTTP, origin, where)
    path = own.pop("path", None)
    if not path:
        raise ValueError(f"{origin.name(*where)}the component {quote(name)} needs a `path`, its file")
    limits = _limits(ComponentSettings(path).limits, own, _OF_PIPELINES)
    apart = (*_OF_PIPELINES, *_OUTGOING, "allow", "at")
    rest = _underscored({"concurrency": concurrency} | {key: value for key, value in own.items() if key not in apart})
    try:
        outgoing = _outgoing(own)
        return ComponentSettings(origin.resolve(path), own.get("at", "/"), limits=limits, outgoing=outgoing, **rest)
    except ValueError as error:
        raise ValueError(f"{origin.name(*where)}{error}") from None


def _outgoing(own: Mapping[str, Any]) -> Outgoing | None:
    if "allow" not in own:
        without = [key for key in _OUTGOING if key in own]
        if without:
            raise ValueError(f"{quote(without[0])} needs `allow`, which says what the component may ask")
        return None
    from wasi_host import Outgoing  # which needs Wasmtime

    outgoing: Outgoing = _with(Outgoing(own["allow"]), own, {key: field for key, (field, _) in _OUTGOING.items()})
    return outgoing


def _limits(start: Limits, values: Mapping[str, Any], keys: Mapping[str, tuple[str, Parser]]) -> Limits:
    fields = {key: field for key, (field, _) in keys.items()}
    limits: Limits = _with(start, values, fields)
    return limits


def _with(start: Any, values: Mapping[str, Any], fields: Mapping[str, str]) -> Any:  # noqa: ANN401  # any dataclass
    return replace(start, **{field: _lifted(values[key]) for key, field in fields.items() if key in values})


def _underscored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): value for key, value in values.items()}


def _lifted(value: object) -> object:
    return None if value is LIFTED else value


def _parsed(
    values: Table, keys: Mapping[str, Parser], origin: Origin, where: tuple[str, ...], also: Collection[str] = ()
) -> dict[str, Any]:
    parsed: dict[str, Any] = {}
    for key, value in values.items():
        parse = keys.get(key)
        if parse is None:
            raise ValueError(f"{origin.name(*where, key)}{_unknown(key, [*keys, *also])}")
        try:
            parsed[key] = parse(value)
        except ValueError as error:
            raise ValueError(f"{origin.name(*where, key)}{error}") from None
    return parsed


def _unknown(key: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {quote(near[0])}?" if near else f"; expected one of {quote_all(known)}"
    return f"unknown key {quote(key)}{hint}"


def _tables(table: Table, key: str, origin: Origin) -> Iterator[tuple[str, Table]]:
    found = table.get(key, {})
    for name, values in found.items() if isinstance(found, dict) else [("", None)]:
        if not isinstance(values, dict):
            raise ValueError(f"{origin.name(key)}expected tables such as [{key}.NAME]")
        yield name, values


def _line_of(content: str, path: tuple[str, ...]) -> int:
    """The line on which the value at a path begins: the first after which the file, up to there, has it."""
    lines = content.splitlines()
    for number in range(1, len(lines) + 1):
        try:
            found: object = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:  # in the middle of a value
            continue
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            return number
    return len(lines)
