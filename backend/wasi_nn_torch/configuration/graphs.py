"""The options of a model that is registered, as text by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wasi_nn_torch.contract.batch import Batch
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.contract.text import quote_all
from wasi_nn_torch.contract.warm_up import WarmUp
from wasi_nn_torch.sessions.durations import parse_duration

#: The names of the options, as a pattern.
OPTIONS = r"device|optimize|method|dtype\.[^,=]*|warm-up(?:\.[^,=]*)?|batch|delay|preferred|queue|batch-trial"
#: The same as keys of a configuration, where `dtype` and `warm-up` may be tables with a key for each input.
KEYS = ("device", "optimize", "method", "dtype", "warm-up", "batch", "delay", "preferred", "queue", "batch-trial")
_DTYPE = "dtype."
#: The options of batches, which need `batch`.
_OF_BATCHES = ("delay", "preferred", "queue", "batch-trial")
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


class OfferedModel(NamedTuple):
    """A model that is to be registered."""

    name: str
    path: str
    device: str | None
    options: ModelOptions

    def load(self, function: Callable[..., object]) -> None:
        """Call `Engine.register` or `Engine.replace` with it."""
        function(
            self.name,
            self.path,
            self.device,
            optimize=self.options.optimize,
            method=self.options.method,
            warm_up=self.options.warm_up,
            dtypes=dict(self.options.dtypes),
            batch=self.options.batch,
        )


def graph_of(name: str, path: str, options: Mapping[str, str]) -> OfferedModel:
    """A model with options by name, as `--graph` spells them, such as `device` or `dtype.x`; raises ValueError."""
    unknown = [option for option in options if not re.fullmatch(OPTIONS, option)]
    if unknown:
        raise ValueError(f"unknown options of a graph: {quote_all(unknown)}")
    return OfferedModel(name, path, options.get("device"), _options(dict(options)))


def _options(given: dict[str, str]) -> ModelOptions:
    return ModelOptions(
        optimize=_optimize(given.get("optimize")),
        method=given.get("method"),
        warm_up=WarmUp.parse(_warm_up(given)),
        dtypes=_dtypes(given),
        batch=_batch(given),
    )


def _batch(given: dict[str, str]) -> Batch | None:
    """How requests are batched: `batch=16,delay=2ms,preferred=8+16,queue=256,batch-trial=no`."""
    if "batch" not in given:
        stray = next((option for option in _OF_BATCHES if option in given), None)
        if stray is not None:
            raise ValueError(f"{stray} is about batches; give their size too, such as batch=16")
        return None
    options: dict[str, Any] = {"max_size": _number("batch", given["batch"])}
    if "delay" in given:
        options["max_delay"] = 0.0 if given["delay"] == "0" else parse_duration(given["delay"])
    if "preferred" in given:
        options["preferred"] = tuple(_number("preferred", each) for each in given["preferred"].split("+"))
    if "queue" in given:
        options["max_queue"] = _number("queue", given["queue"])
    trial = given.get("batch-trial", "yes")
    if trial not in ("yes", "no"):
        raise ValueError(f"batch-trial is `{trial}`; expected yes or no")
    return Batch(**options, trial=trial == "yes")


def _number(option: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{option} is `{text}`; give a whole number")
    return int(text)


def _warm_up(given: dict[str, str]) -> dict[str | None, str]:
    """The values of `warm-up.INPUT=…` by the name of the input, and the value of `warm-up=…` by None."""
    options = {tuple(option.partition(".")): value for option, value in given.items()}
    return {name if dot else None: value for (option, dot, name), value in options.items() if option == "warm-up"}


def _dtypes(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((option.removeprefix(_DTYPE), value) for option, value in given.items() if option.startswith(_DTYPE))


def _optimize(value: str | None) -> Optimize | None:
    choices = {choice.value: choice for choice in Optimize}
    if value is not None and value not in choices:
        raise ValueError(f"unknown optimization `{value}`; expected {' or '.join(choices)}")
    return None if value is None else choices[value]
