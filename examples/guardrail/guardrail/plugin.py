"""One plug-in: its instances, its limits, its costs, and the one way to ask it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from guardrail_bindings import Guest
from guardrail_bindings.exports.guard import Opinion, VerdictAllow, VerdictDeny, VerdictRedact

from guardrail.answers import Answer, WrongAnswer, readable, require_scores, without
from guardrail.config import Config, PluginConfig
from guardrail.costs import Costs
from wasi_nn_torch import (
    Engine,
    EngineBusy,
    GuestError,
    GuestLimit,
    GuestTimeout,
    GuestTrap,
    Limits,
    LinkError,
    PoolStats,
    Session,
)

logger = logging.getLogger(__name__)

_KIB, _MIB = 1 << 10, 1 << 20
#: The kinds of failure, by the first class that fits.
_KINDS: dict[type[Exception], str] = {
    WrongAnswer: "wrong answer",
    GuestLimit: "limit",
    GuestTimeout: "timeout",
    GuestTrap: "trap",
    LinkError: "unfit",
    TimeoutError: "busy",
    EngineBusy: "busy",
    GuestError: "ended",
}


class PluginFailure(Exception):
    """A plug-in did not judge a text; `kind` is one or two words for users, and the text is for the operator."""

    def __init__(self, name: str, kind: str, error: Exception) -> None:
        super().__init__(f"{name}: {kind}: {error}")
        self.kind = kind


class Plugin:
    """A plug-in that is served: a pool of instances, each of which no second tenant ever uses."""

    def __init__(self, engine: Engine, name: str, config: PluginConfig, service: Config) -> None:
        self.name = name
        self.config = config
        self.costs = Costs()
        self._service = service
        self._users = 0
        self._is_retired = False
        self._pool = engine.pool(
            engine.compile(config.file, name=name),
            Guest,
            size=config.instances,
            max_uses=config.max_uses,
            by_tenant=True,
            graphs=config.models,
            env=config.env,
            stdin=b"",
            stdout=_to_log(name),
            stderr=_to_log(name),
            limits=Limits(
                timeout=config.timeout,
                memory=config.memory_mib * _MIB,
                host_bytes=config.tensors_mib * _MIB,
                device_bytes=config.tensors_mib * _MIB,
                output=config.output_kib * _KIB,
            ),
        )

    async def check(self, text: str, scores: torch.Tensor | None, tenant: str) -> Answer:
        """What the plug-in says of a text; raises PluginFailure if it says nothing, or nothing that makes sense."""
        started = time.perf_counter()
        try:
            answer = await self._ask(text, scores, tenant)
        except tuple(_KINDS) as error:
            kind = next(kind for of, kind in _KINDS.items() if isinstance(error, of))
            self.costs.failures[kind] += 1
            raise PluginFailure(self.name, kind, error) from error
        finally:
            self.costs.add_call(time.perf_counter() - started)
        self.costs.verdicts[answer.verdict] += 1
        return answer

    async def require_fit(self) -> None:
        """Start an instance, to see whether the file is a plug-in at all; raises LinkError and other GuestErrors."""
        lease = self._pool.lease()
        async with lease:
            lease.session.cancel()  # it belongs to no tenant, so nobody could use it

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the plug-in for a request, even if it is retired meanwhile."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_over()

    def retire(self) -> None:
        """End the instances, when the last request that uses the plug-in has ended."""
        self._is_retired = True
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._is_retired and not self._users:
            self._pool.close()

    @property
    def instances(self) -> PoolStats:
        """The figures of the instances."""
        return self._pool.stats

    async def _ask(self, text: str, scores: torch.Tensor | None, tenant: str) -> Answer:
        lease = self._pool.lease(tenant, timeout=self.config.timeout)
        async with lease as plugin:
            session = lease.session
            before = session.stats
            try:
                given = None if scores is None else session.tensor(scores)
                opinion = await session.call_async(plugin.guard.check, text, given)
                return self._checked(text, opinion, session)
            except WrongAnswer:
                session.cancel()  # the instance is not used again
                raise
            finally:
                self.costs.add_session(before, session.stats)

    def _checked(self, text: str, opinion: Opinion, session: Session) -> Answer:
        """The opinion of the plug-in, of which nothing is left in the session."""
        scores = None if opinion.scores is None else session.take(opinion.scores)
        if scores is not None:
            require_scores(scores, self._service.score_rows, self._service.score_columns)
        match opinion.verdict:
            case VerdictAllow():
                return Answer("allow", text, scores=scores)
            case VerdictRedact(spans):
                return Answer("redact", without(text, spans), scores=scores)
            case VerdictDeny(reason):
                return Answer("deny", "", readable(reason))


def _to_log(name: str) -> Callable[[bytes], None]:
    def log(output: bytes) -> None:
        for line in output.decode(errors="replace").splitlines():
            logger.info("%s printed: %s", name, readable(line))

    return log
