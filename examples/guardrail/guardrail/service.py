"""The service without its web pages: one engine, the plug-ins by name, the chains, and changes while it runs."""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from contextlib import ExitStack

from guardrail.chain import Decision, decide
from guardrail.config import Config, ConfigError, PluginConfig
from guardrail.plugin import Plugin
from wasi_nn_torch import Engine, EngineStats, GuestError, InvalidGuest

logger = logging.getLogger(__name__)


class UnknownChain(Exception):
    """There is no chain of that name."""


class UnfitText(Exception):
    """A text is too long, or has characters that UTF-8 does not have; the text of the error is for the client."""


class Guardrail:
    """Decides about texts. Used by the thread of one event loop."""

    def __init__(self, models: Mapping[str, object], device: object = None) -> None:
        """Load the models, by name: files, or modules of PyTorch; raises ModelError."""
        self._engine = Engine(device, guest_models="none")
        for name, model in models.items():
            self._engine.register(name, model)
        self._models = dict(models)
        self._config: Config | None = None
        self._digests: dict[str, bytes] = {}
        self._changing = asyncio.Lock()
        self.plugins: dict[str, Plugin] = {}

    async def apply(self, config: Config) -> None:
        """Take up a configuration: start what is new, replace what has changed, and end what is gone.

        Requests that are under way end with the plug-ins with which they began. Raises ConfigError if a plug-in does
        not work; then nothing has changed.
        """
        async with self._changing:
            await self._apply(config)

    async def decide(self, chain: str, text: str, tenant: str) -> Decision:
        """Decide about a text by a chain of plug-ins; raises UnknownChain and UnfitText."""
        config = self.config
        if chain not in config.chains:
            raise UnknownChain(chain)
        _require_fit(text, config.longest_text)
        plugins = [self.plugins[name] for name in config.chains[chain]]
        with ExitStack() as held:
            for plugin in plugins:
                held.enter_context(plugin.in_use())
            return await decide(plugins, text, tenant, config.deadline)

    @property
    def config(self) -> Config:
        """The configuration of this moment."""
        if self._config is None:
            raise RuntimeError("the service has no configuration yet; call `apply` first")
        return self._config

    @property
    def stats(self) -> EngineStats:
        """The figures of the engine."""
        return self._engine.stats

    def close(self) -> None:
        """End all plug-ins and release the models."""
        self._engine.close()

    async def _apply(self, config: Config) -> None:
        if self._config is not None and config.models != self._config.models:
            raise ConfigError("models cannot change while the service runs; restart it")
        digests = {name: await asyncio.to_thread(_digest, name, each) for name, each in config.plugins.items()}
        plugins: dict[str, Plugin] = {}
        try:
            for name, each in config.plugins.items():
                kept = self._config is not None and self._keeps(name, each, config, digests[name])
                plugins[name] = self.plugins[name] if kept else await self._started(name, each, config)
        except BaseException:
            _retire(plugins, spare=self.plugins)
            raise
        before, self.plugins = self.plugins, plugins
        self._config, self._digests = config, digests
        _retire(before, spare=plugins)

    def _keeps(self, name: str, plugin: PluginConfig, config: Config, digest: bytes) -> bool:
        same_service = self.config.model_copy(update={"plugins": {}, "chains": {}}) == config.model_copy(
            update={"plugins": {}, "chains": {}}
        )
        return same_service and self.config.plugins.get(name) == plugin and self._digests.get(name) == digest

    async def _started(self, name: str, plugin: PluginConfig, config: Config) -> Plugin:
        try:
            started = await asyncio.to_thread(Plugin, self._engine, name, plugin, config)
        except InvalidGuest as error:
            raise ConfigError(f"plugins.{name}: {error}") from None
        try:
            await started.require_fit()
        except GuestError as error:
            started.retire()
            raise ConfigError(f"plugins.{name}: {plugin.file} is not a plug-in for this service: {error}") from None
        logger.info("the plug-in %s is ready", name)
        return started


def _digest(name: str, plugin: PluginConfig) -> bytes:
    try:
        return hashlib.sha256(plugin.file.read_bytes()).digest()
    except OSError as error:
        raise ConfigError(f"plugins.{name}: {error}") from None


def _require_fit(text: str, longest: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UnfitText("the text has a lone surrogate, which is not a character") from None
    if size > longest:
        raise UnfitText(f"the text has {size} bytes; at most {longest} are allowed")


def _retire(plugins: Mapping[str, Plugin], spare: Mapping[str, Plugin]) -> None:
    for name, plugin in plugins.items():
        if spare.get(name) is not plugin:
            plugin.retire()
