"""A chain: a text goes through its plug-ins in order, and passes only if each of them lets it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from guardrail.answers import Verdict
from guardrail.plugin import Plugin, PluginFailure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What one plug-in has said, and what it handed on: the sizes, and the address of the memory on its device."""

    plugin: str
    verdict: Verdict
    handed_on: tuple[int, ...] | None = None
    address: int | None = None


@dataclass(frozen=True)
class Decision:
    """The decision about a text: `text` is what may be used, and None if nothing may; `by` is who denied it, and why.

    `failure` is the kind of the failure if that is the reason.
    """

    verdict: Verdict
    text: str | None
    by: str | None = None
    reason: str | None = None
    failure: str | None = None
    steps: tuple[Step, ...] = ()


async def decide(plugins: Sequence[Plugin], text: str, tenant: str, deadline: float) -> Decision:
    """Ask each plug-in in turn, the next one about the text that the one before has left, with what it handed on.

    `deadline` is the most seconds for all of them. **Closed by default**: the one way to a text that may be used is
    that every plug-in has answered, has made sense, and has not denied. Everything else is a denial, or an exception.
    """
    steps: list[Step] = []
    try:
        async with asyncio.timeout(deadline):
            return await _ask_all(plugins, text, tenant, steps)
    except PluginFailure as failure:
        by, kind = plugins[len(steps)].name, failure.kind
        logger.warning("tenant %s: %s", tenant, failure)
    except TimeoutError:
        by, kind = plugins[len(steps)].name, "deadline"
        logger.warning("tenant %s: %s: the request took longer than %g s", tenant, by, deadline)
    return Decision("deny", None, by, f"the plug-in failed ({kind})", kind, tuple(steps))


async def _ask_all(plugins: Sequence[Plugin], text: str, tenant: str, steps: list[Step]) -> Decision:
    scores: torch.Tensor | None = None
    now = text
    for plugin in plugins:
        answer = await plugin.check(now, scores, tenant)
        if answer.verdict == "deny":
            steps.append(Step(plugin.name, "deny"))
            logger.info("tenant %s: %s denied a text: %s", tenant, plugin.name, answer.reason)
            return Decision("deny", None, plugin.name, answer.reason, steps=tuple(steps))
        now, scores = answer.text, answer.scores
        steps.append(_step(plugin.name, answer.verdict, scores))
        logger.debug("tenant %s: %s", tenant, steps[-1])
    return Decision("allow" if now == text else "redact", now, steps=tuple(steps))


def _step(name: str, verdict: Verdict, scores: torch.Tensor | None) -> Step:
    if scores is None:
        return Step(name, verdict)
    return Step(name, verdict, tuple(scores.shape), scores.data_ptr())
