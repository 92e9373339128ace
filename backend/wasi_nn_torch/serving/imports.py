"""Modules of Python that the operator wants imported, since models need what they register."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable

from wasi_nn_torch.contract.errors import quote
from wasi_nn_torch.contract.muting import muted

logger = logging.getLogger(__name__)


def import_modules(names: Iterable[str]) -> None:
    """Import modules by their full names, such as "torchvision" or "package.operators", in this order.

    What they print goes to the log. Raises ValueError, with one line, for what is not a name of a module, one that is
    not there, and one that cannot be imported.
    """
    if isinstance(names, str):
        raise ValueError(f"the modules to import are a list of names; give [{names!r}] instead of one text")
    for name in list(names):
        _import(_checked(name))


def _checked(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a module to import is given by its name, and not as a {quote(type(name).__name__)}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{quote(name)} is not the name of a module that could be imported, such as `torchvision`")
    return name


def _import(name: str) -> None:
    try:
        with muted(f"importing {quote(name)}"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_missing = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        reason = _MISSING if is_missing else _failed(error)
    except (Exception, SystemExit) as error:  # a module may raise anything
        logger.debug("importing %s failed", name, exc_info=True)
        reason = _failed(error)
    else:
        return
    raise ValueError(f"the module {quote(name)} {reason}")


_MISSING = (
    "is not there to be imported; install its package in this environment, or put the folder that it is in into the "
    "variable PYTHONPATH"
)


def _failed(error: BaseException) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in said[:300])
    return f"cannot be imported ({printable}); see whether `python -c 'import …'` works in this environment"
