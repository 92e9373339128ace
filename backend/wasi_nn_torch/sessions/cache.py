"""The cache of compiled guests: in the user's cache directory, unless an environment variable names another one."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from platformdirs import user_cache_path

from wasi_nn_torch.sessions.cache_key import UnusableKey, find_key, find_or_make_key, key_path
from wit_host import CacheDirectory, CompileCache

logger = logging.getLogger(__name__)

#: The environment variable that names another directory.
VARIABLE = "WASI_NN_TORCH_CACHE"


def user_cache() -> CompileCache | None:
    """The cache of this user, with the key in place; None if there is no directory, or no key that can be trusted."""
    directory, path = user_cache_directory(), key_path()
    if directory is None or path is None:
        logger.info("compiled guests are not kept: this user has no home directory; name a directory in %s", VARIABLE)
        return None
    try:
        _require_apart(path, directory.folder)
        return CompileCache(directory.folder, find_or_make_key(path), directory.largest)
    except UnusableKey as error:
        logger.warning("compiled guests are not kept: %s", error)
    except OSError as error:
        logger.info("compiled guests are not kept: the key %s cannot be written: %s", path, error.strerror)
    return None


def user_cache_directory() -> CacheDirectory | None:
    """The directory of the cache, whether or not it exists yet; None for a user without a home directory."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return CacheDirectory(chosen)
    folder = user_cache_path("wasi-nn-torch", appauthor=False) / "compiled"
    return CacheDirectory(folder) if folder.is_absolute() else None


def key_trouble(folder: Path) -> str:
    """The reason why the cache in `folder` has no key that can be trusted; empty if it has one, or can get one."""
    path = key_path()
    if path is None:
        return "there is no home directory for its key"
    try:
        _require_apart(path, folder)
        find_key(path)
    except UnusableKey as error:
        return str(error)
    return ""


def _require_apart(path: Path, folder: Path) -> None:
    """Raise UnusableKey if the key is in the directory of the cache, which others may get to read or write."""
    if path.resolve().is_relative_to(folder.resolve()):
        raise UnusableKey(f"{folder} contains the key {path}; name another directory in {VARIABLE}")
