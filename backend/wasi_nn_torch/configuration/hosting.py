"""The engine and the application for a configuration, and the files that they look after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from wasi_nn_torch.configuration.serving import Configuration
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.engine import Engine
from wasi_nn_torch.http.app import Application, create_app
from wasi_nn_torch.http.components import Component
from wasi_nn_torch.http.graphs import GraphModel
from wasi_nn_torch.http.metrics import Observer
from wasi_nn_torch.http.pipelines import PipelineModel
from wasi_nn_torch.http.reloading import Source
from wasi_nn_torch.sessions.guests import InvalidGuest
from wit_host import GuestError

#: What a configuration that cannot be served leads to.
REFUSALS: Final = (ModelError, InvalidGuest, GuestError, ValueError)


@contextmanager
def opened(chosen: Configuration, observer: Observer | None = None) -> Iterator[tuple[Engine, Application]]:
    """The engine with all graphs, and the application, for the time of the block; raises `REFUSALS`.

    `observer` is that of `create_app`.
    """
    with _engine(chosen) as engine:
        for offered in chosen.graphs.values():
            offered.model.load(engine.register)
        app = create_app(
            engine,
            graphs={name: offered.settings for name, offered in chosen.graphs.items()},
            pipelines=chosen.pipelines,
            components=chosen.components,
            settings=chosen.settings,
            observer=observer,
        )
        try:
            yield engine, app
        finally:
            app.close()


def _engine(chosen: Configuration) -> Engine:
    return Engine(
        chosen.device,
        guest_models=chosen.guest_models,
        guest_devices=chosen.guest_devices,
        waive=chosen.waive,
        model_bytes=chosen.model_memory,
        threads=chosen.threads,
        cache=chosen.cache,
        imports=list(chosen.imports),
        async_threads=sum(each.settings.concurrency for each in chosen.graphs.values())
        + sum(each.concurrency for each in chosen.pipelines.values())
        + sum(each.concurrency for each in chosen.components.values()),
    )


def sources(engine: Engine, app: Application, chosen: Configuration) -> list[Source]:
    """The files to look after, and how each is loaded again."""

    def replace_graph(name: str, model: GraphModel) -> None:
        chosen.graphs[name].model.load(engine.replace)
        model.refresh()
        # Those that keep a graph open from one request to the next would go on with the old one.
        for each in (*app.models.values(), *app.components.values()):
            if isinstance(each, PipelineModel | Component):
                each.use_new(name)

    found = []
    for name, model in app.models.items():
        if isinstance(model, GraphModel):
            file = Path(chosen.graphs[name].model.path)
            found.append(Source(name, file, partial(replace_graph, name, model), partial(engine.files, name)))
        elif isinstance(model, PipelineModel):
            found.append(Source(name, Path(str(chosen.pipelines[name].file)), model.reload))
    for name, component in app.components.items():
        found.append(Source(name, Path(str(chosen.components[name].file)), component.reload))
    return found
