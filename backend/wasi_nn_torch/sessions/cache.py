"""The cache of compiled guests: in the user's cache directory, unless an environment variable names another one."""

from __future__ import annotations

import logging
import os

from platformdirs import user_cache_path

from wit_host import CompileCache

logger = logging.getLogger(__name__)

#: The environment variable that names another directory.
VARIABLE = "WASI_NN_TORCH_CACHE"


def user_cache() -> CompileCache | None:
    """The cache of this user, whether or not it exists yet; None for a user without a home directory."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return CompileCache(chosen)
    directory = user_cache_path("wasi-nn-torch", appauthor=False) / "compiled"
    if directory.is_absolute():
        return CompileCache(directory)
    logger.info("compiled guests are not kept: this user has no home directory; name a directory in %s", VARIABLE)
    return None
