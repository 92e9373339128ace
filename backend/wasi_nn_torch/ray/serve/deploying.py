"""Deployments of Ray Serve, made on the driver: from the configuration of a server to an application of Serve."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.config import AutoscalingConfig

from wasi_nn_torch.configuration.serving import Configuration, configuration, read_config
from wasi_nn_torch.contract.text import one_line, quote, quote_all
from wasi_nn_torch.ray.serve.errors import DeploymentFailed

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

#: The name of a deployment, which a Serve configuration refers to.
NAME = "wasi-nn-torch"
#: How often replicas may fail to start; the reason is nearly always a file that will not get better.
_STARTS = 3
#: The characters of a refusal by Serve.
_LONGEST = 1000
#: The keys of `application`.
_ARGUMENTS = ("config",)


class Replica:
    """What Serve asks a replica, beside requests; Serve makes it an ASGI application, which is `app`."""

    app: Any

    async def check_health(self) -> None:
        """Raise ModelFails if a model does not compute any more; Serve then replaces the replica."""
        await self.app.check_health()


def deployment(
    config: str | os.PathLike[str] | Configuration,
    *,
    name: str = NAME,
    num_replicas: int | Literal["auto"] | None = None,
    max_ongoing_requests: int | None = None,
    autoscaling_config: Mapping[str, Any] | AutoscalingConfig | None = None,
    ray_actor_options: Mapping[str, Any] | None = None,
    **options: Any,  # noqa: ANN401  # those of Serve
) -> serve.Application:
    """What `wasi-nn-torch serve --config` serves, as an application for `serve.run`.

    `config` is the TOML file of the command, or what was read from it. Its relative paths are those of the nodes, in
    the working directory of the runtime environment if there is one, or else in the directory that is current here.
    `ray_actor_options` are the resources of a replica, such as `{"num_cpus": 2, "num_gpus": 1}`: graphs without a
    `device` run on the first GPU that Ray assigned, or on the CPU; `cuda:1` is the second one that it assigned.

    The other arguments are those of `serve.deployment`. Unless they are given, `max_ongoing_requests` is the sum of
    `concurrency` and `max-waiting` of all graphs and pipelines, so that requests wait in the replica, where deadlines
    and queues for each model are; `concurrency` is by default `num_cpus` of the replica. `max_queued_requests` is the
    sum of `max-waiting`; `target_ongoing_requests` of an autoscaling configuration is the sum of `concurrency`;
    `graceful_shutdown_timeout_s` is `stop-timeout`; and a replica that cannot start is tried 3 times.

    Imports neither PyTorch nor Wasmtime. Raises ValueError for a file that cannot be read or is not valid, with the
    line, and TypeError for an argument of another type.
    """
    if options.get("user_config") is not None:  # which Serve would pass to replicas, and they could not start
        raise ValueError("`user_config` changes nothing here; change serve.toml, and run it again")
    resources = _resources(ray_actor_options)
    chosen = config if isinstance(config, Configuration) else _read(_path(config), resources.get("num_cpus"))
    if not chosen.graphs and not chosen.pipelines:
        raise ValueError("there is nothing to serve; the configuration needs [graphs.NAME] or [pipelines.NAME]")
    directory = os.getcwd()

    # Serve calls a function in the replica, and sends it by value.
    def hosted() -> object:
        from wasi_nn_torch.ray.serve.hosted import Hosted

        return Hosted(chosen, directory)

    options |= _derived(chosen, options)
    if num_replicas is not None:
        options["num_replicas"] = num_replicas
    if num_replicas == "auto" or autoscaling_config is not None:
        options["autoscaling_config"] = _with_target(autoscaling_config, _concurrency(chosen))
    places = _concurrency(chosen) + _waiting(chosen)
    options["max_ongoing_requests"] = places if max_ongoing_requests is None else max_ongoing_requests
    if resources:
        options["ray_actor_options"] = resources
    made: serve.Application = serve.deployment(name=name, **options)(serve.ingress(hosted)(Replica)).bind()
    return made


def application(arguments: Mapping[str, Any]) -> serve.Application:
    """The builder for `serve run wasi_nn_torch.ray:application config=serve.toml`, and for Serve's YAML.

    Options of the deployment belong into the YAML, in the deployment with the name `wasi-nn-torch`. Raises ValueError
    as `deployment` does, and for other arguments.
    """
    unknown = [str(key) for key in arguments or () if key not in _ARGUMENTS]
    if unknown or not arguments:
        wrong = f"unknown argument {quote_all(unknown)}" if unknown else "the argument `config` is missing"
        raise ValueError(f"{wrong}; give config=FILE, the configuration of `wasi-nn-torch serve`")
    return deployment(arguments["config"])


def run(
    target: serve.Application,
    *,
    name: str = "default",
    **options: Any,  # noqa: ANN401  # those of Serve
) -> DeploymentHandle[Any]:
    """`serve.run`, with an error that says why.

    Serve's own error names the deployment alone; the reason is in `serve.status()`. What Serve's controller refuses,
    such as a `route_prefix` of another application, comes without its traces. Raises DeploymentFailed.
    """
    try:
        return serve.run(target, name=name, **options)
    except RayTaskError as error:
        reason = one_line(error.cause, _LONGEST)
    except RuntimeError:
        reason = _reason(name)
        if not reason:
            raise
    raise DeploymentFailed(f"the application {quote(name)} was not deployed: {reason}")


def _reason(name: str) -> str:
    """The text of the failure in a replica; empty if no deployment of the application has failed."""
    found = serve.status().applications.get(name)
    for each in found.deployments.values() if found else ():
        _, has_reason, reason = each.message.rpartition(f"{DeploymentFailed.__name__}: ")
        if has_reason:
            return reason.strip()
        if each.status == "DEPLOY_FAILED":
            return each.message.strip()
    return ""


def _path(config: object) -> Path:
    if isinstance(config, str | os.PathLike):
        return Path(config)
    raise TypeError(f"`config` is {config!r}; give the path of a TOML file, or what `read_config` has made of it")


def _resources(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of a replica's actor, of which the number of CPUs is needed here."""
    if not isinstance(given, Mapping | None):
        raise TypeError(f'`ray_actor_options` is {given!r}; give a dictionary, such as {{"num_cpus": 2}}')
    resources = dict(given or {})
    processors = resources.get("num_cpus")
    if not isinstance(processors, int | float | None):
        raise TypeError(f'`ray_actor_options["num_cpus"]` is {processors!r}; give a number')
    return resources


def _read(file: Path, processors: float | None) -> Configuration:
    return configuration([read_config(file)], max(1, math.ceil(1 if processors is None else processors)))


def _concurrency(chosen: Configuration) -> int:
    """How many requests a replica computes at a time."""
    graphs = (each.settings.concurrency for each in chosen.graphs.values())
    return sum(graphs) + sum(each.concurrency for each in chosen.pipelines.values())


def _waiting(chosen: Configuration) -> int:
    """How many requests wait in a replica."""
    graphs = (each.settings.max_waiting for each in chosen.graphs.values())
    return sum(graphs) + sum(each.max_waiting for each in chosen.pipelines.values())


def _derived(chosen: Configuration, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that follow from the configuration, without those that are given."""
    derived = {
        "max_queued_requests": _waiting(chosen),
        "graceful_shutdown_timeout_s": chosen.listening.stop_seconds,
        "max_constructor_retry_count": _STARTS,
    }
    return {key: value for key, value in derived.items() if key not in given}


def _with_target(
    config: Mapping[str, Any] | AutoscalingConfig | None, concurrency: int
) -> dict[str, Any] | AutoscalingConfig:
    if config is not None and not isinstance(config, Mapping):
        return config
    known = [name for name in get_annotations(AutoscalingConfig) if not name.startswith("_")]
    unknown = [name for name in config or () if name not in known]  # which Serve would pass over
    if unknown:
        raise ValueError(f"`autoscaling_config` has {quote_all(unknown)}; Serve knows {quote_all(known)}")
    return {"target_ongoing_requests": concurrency, **(config or {})}
