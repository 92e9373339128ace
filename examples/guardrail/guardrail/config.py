"""The configuration of the service: a file in TOML, checked and as plain values."""

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ConfigError(Exception):
    """The configuration cannot be used; the text says where it is wrong."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PluginConfig(_Section):
    """One plug-in: its file, the models that it finds, its environment, and what each of its instances may take.

    `timeout` is in seconds, for each call. All other limits are for the life of an instance, which ends after
    `max_uses` calls or with its first failure. At most `instances` run at a time.
    """

    file: Path
    models: tuple[str, ...] = ()
    env: dict[str, str] = {}
    timeout: Annotated[float, Field(gt=0)] = 0.5
    memory_mib: Annotated[int, Field(gt=0)] = 16
    tensors_mib: Annotated[int, Field(gt=0)] = 8
    output_kib: Annotated[int, Field(ge=0)] = 16
    instances: Annotated[int, Field(gt=0)] = 4
    max_uses: Annotated[int, Field(gt=0)] = 1000


class Config(_Section):
    """The service: its models and plug-ins by name, and its chains, each of which is an order of plug-ins.

    `deadline` is in seconds, for a whole request. Scores that plug-ins hand on are FP32 [rows, `score_columns`], and
    have at most `score_rows` rows.
    """

    models: dict[str, Path]
    plugins: dict[str, PluginConfig]
    chains: dict[str, tuple[str, ...]]
    deadline: Annotated[float, Field(gt=0)] = 5.0
    longest_text: Annotated[int, Field(gt=0)] = 8192
    score_columns: Annotated[int, Field(gt=0)] = 3
    score_rows: Annotated[int, Field(gt=0)] = 256

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for chain, names in self.chains.items():
            _require_known(names, self.plugins, f"chains.{chain}: there is no plug-in")
            if not names:
                raise ValueError(f"chains.{chain}: a chain without plug-ins would let everything pass")
        for name, plugin in self.plugins.items():
            _require_known(plugin.models, self.models, f"plugins.{name}.models: there is no model")
        return self


def read_config(path: Path) -> Config:
    """Read a configuration, whose paths are relative to its own directory; raises ConfigError."""
    try:
        config = Config.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from None
    plugins = {
        name: plugin.model_copy(update={"file": path.parent / plugin.file}) for name, plugin in config.plugins.items()
    }
    models = {name: path.parent / file for name, file in config.models.items()}
    return config.model_copy(update={"plugins": plugins, "models": models})


def _require_known(names: tuple[str, ...], known: dict[str, Path] | dict[str, PluginConfig], problem: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{problem} `{name}`; expected one of {', '.join(known)}")
