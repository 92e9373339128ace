"""Where compiled guests are kept: in the user's cache folder, unless a variable names another one."""

from __future__ import annotations

import logging
import os

from platformdirs import user_cache_path

from wit_host import CompileCache

logger = logging.getLogger(__name__)

#: The environment variable that names another folder.
VARIABLE = "WASI_NN_TORCH_CACHE"


def user_cache() -> CompileCache | None:
    """The cache of this user, which may be empty; nothing for users without a home."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return CompileCache(chosen)
    folder = user_cache_path("wasi-nn-torch", appauthor=False) / "compiled"
    if folder.is_absolute():
        return CompileCache(folder)
    logger.info("compiled guests are not kept: there is no home; name a folder in %s", VARIABLE)
    return None
