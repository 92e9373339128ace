"""The service on HTTP: it checks texts, shows what plug-ins cost, and takes up a changed configuration on SIGHUP."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from guardrail.answers import Verdict
from guardrail.config import ConfigError, read_config
from guardrail.page import page
from guardrail.service import Guardrail, UnfitText, UnknownChain

logger = logging.getLogger(__name__)


class Request(BaseModel):
    """A text to check."""

    text: str


class Reply(BaseModel):
    """The decision: `text` is what may be used, or null; `by` is the plug-in that denied it, for this `reason`."""

    verdict: Verdict
    text: str | None
    by: str | None
    reason: str | None


def create_app(path: Path) -> FastAPI:
    """The application for a configuration file."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        config = read_config(path)
        app.state.guardrail = guardrail = Guardrail(config.models)
        await guardrail.apply(config)
        gc.freeze()  # so that a full run of the garbage collector does not stop the event loop
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload_soon, guardrail, path)
        yield
        guardrail.close()

    app = FastAPI(title="guardrail", lifespan=lifespan)

    @app.post("/check/{chain}")
    async def check(chain: str, request: Request, x_tenant: Annotated[str, Header()] = "public") -> Reply:
        """Check a text. A client must treat every answer but `allow` and `redact` with status 200 as `deny`."""
        guardrail: Guardrail = app.state.guardrail
        try:
            decision = await guardrail.decide(chain, request.text, x_tenant)
        except UnknownChain:
            raise HTTPException(404, "there is no such chain") from None
        except UnfitText as error:
            raise HTTPException(422, str(error)) from None
        return Reply(verdict=decision.verdict, text=decision.text, by=decision.by, reason=decision.reason)

    @app.get("/stats")
    async def stats() -> dict[str, object]:
        """What each plug-in has cost."""
        plugins = app.state.guardrail.plugins
        return {
            name: {**plugin.costs.to_dict(), "instances": plugin.instances.to_dict()}
            for name, plugin in plugins.items()
        }

    @app.get("/", response_class=HTMLResponse)
    async def overview() -> str:
        """The same as a page."""
        return page(app.state.guardrail)

    return app


_reloads: set[asyncio.Task[None]] = set()


def _reload_soon(guardrail: Guardrail, path: Path) -> None:
    task = asyncio.ensure_future(_reload(guardrail, path))
    _reloads.add(task)
    task.add_done_callback(_reloads.discard)


async def _reload(guardrail: Guardrail, path: Path) -> None:
    try:
        await guardrail.apply(read_config(path))
    except ConfigError as error:
        logger.error("the configuration stays as it was: %s", error)
    else:
        logger.info("the configuration has been read again")
