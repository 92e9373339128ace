"""Resources that a guest implements, as objects in Python.

In: a handle that a call of the guest returned. Out: an object of the bindings' class, which owns the resource until it
is dropped or passed back to the guest.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from .. import capi

if TYPE_CHECKING:
    from ..component.exports import Instance

G_co = TypeVar("G_co", bound="GuestResource", covariant=True)


class GuestResource:
    """One resource of a guest; bindings derive from it.

    Its owner drops it, preferably with a `with` block. One that is forgotten causes a ResourceWarning, and the guest
    drops it at the begin of its next call, or with its store. Using it after it was dropped or passed to the guest
    raises ValueError.
    """

    # Only names with an underscore, so that no method of a WIT resource has the same.
    __slots__ = ("__weakref__", "_handle", "_instance")

    def __init__(self, instance: Instance, handle: capi.ResourceHandle) -> None:
        self._instance = instance
        self._handle: capi.ResourceHandle | None = handle

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        handle = getattr(self, "_handle", None)  # it has none if a class of the host's own never calls `__init__`
        if handle is None or is_ending() or self._instance.runner.is_over:
            return
        self._handle = None
        self._instance.runner.forgotten.append(handle)
        text = f"{type(self).__name__} of {self._instance.runner.name} was never dropped; use it in a `with` block"
        warnings.warn(text, ResourceWarning, stacklevel=1, source=self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()

    def drop(self) -> None:
        """Have the guest drop the resource; dropping it again, or after the guest has ended, does nothing.

        A guest that imports `async` functions drops it only when its store is closed, without running its destructor.
        Raises the same as a call of the guest if its destructor does not return.
        """
        if self._handle is None:
            return
        runner = self._instance.runner
        if runner.is_over or runner.state.may_wait:  # the engine has no call for a destructor that may wait
            self._give_up().close()
            return
        runner.check()
        handle = self._give_up()
        runner.run(lambda: handle.drop(runner.state.context), f"did not drop {type(self).__name__}")

    def _give_up(self) -> capi.ResourceHandle:
        """Give the handle to a new owner."""
        handle, self._handle = self._handle, None
        if handle is None:
            raise ValueError(f"this {type(self).__name__} was dropped or passed to the guest")
        return handle

    def _take_back(self, handle: capi.ResourceHandle) -> None:
        """Own `handle` again, which the guest did not get."""
        self._handle = handle


class GuestResourceType(Generic[G_co]):
    """A resource type that guests implement, and the class of its objects; `name` is that of the WIT.

    It is a constant of the bindings; the corresponding type is found for each guest.
    """

    __slots__ = ("cls", "name")

    def __init__(self, name: str, cls: type[G_co]) -> None:
        self.name = name
        self.cls = cls

    def __repr__(self) -> str:
        return f"GuestResourceType({self.name!r}, {self.cls.__name__})"
