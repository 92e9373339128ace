"""Python modules that the operator has imported because they register operators that models need."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable

from wasi_nn_torch.contract.arguments import require_texts
from wasi_nn_torch.contract.muting import muted
from wasi_nn_torch.contract.text import one_line, quote

logger = logging.getLogger(__name__)

_NOT_FOUND = (
    "was not found; install its package in this environment, or add the directory that it is in to the environment "
    "variable PYTHONPATH"
)


def import_modules(names: Iterable[str]) -> tuple[str, ...]:
    """Import modules by their full names, such as "torchvision" or "package.operators", in the given order.

    Returns the names. Their output goes to the log. Raises ValueError, with one line of text, for a name that is not
    valid, and for a module that is not found or cannot be imported; TypeError for what is not several names.
    """
    wanted = tuple(require_texts("`imports`", names, '["torchvision"]'))
    for name in wanted:
        _import(_checked(name))
    return wanted


def _checked(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{quote(name)} is not the name of a module; give a full name, such as `torchvision`")
    return name


def _import(name: str) -> None:
    try:
        with muted(f"importing {quote(name)}"):
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        is_missing = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        reason = _NOT_FOUND if is_missing else _failed(error)
    except (Exception, SystemExit) as error:  # a module may raise anything
        logger.debug("importing %s failed", name, exc_info=True)
        reason = _failed(error)
    else:
        return
    raise ValueError(f"the module {quote(name)} {reason}")


def _failed(error: BaseException) -> str:
    raised = one_line(f"{type(error).__name__}: {error}")
    return f"cannot be imported ({raised}); check whether `python -c 'import …'` works in this environment"
