"""What a user may say about a guest for a dataset; all of it can be pickled, and nothing here imports an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, TypeVar

from wasi_nn_torch.contract.sizes import require_amount
from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.sessions.limits import Limits

if TYPE_CHECKING:
    from ray import ObjectRef

    from wasi_nn_torch.sessions.compiling import CompileLimits

    #: A file on the workers, its bytes, or those in Ray's object store: `ray.put(bytes)`.
    Source: TypeAlias = str | PathLike[str] | bytes | ObjectRef[bytes]

C = TypeVar("C", bound=Enum)
T = TypeVar("T")

#: The limits of the guest in each actor, where `timeout` is for each call.
DEFAULT_LIMITS: Final = Limits(memory=256 << 20, timeout=30.0)


class OnError(Enum):
    """What a failure of the guest does to the rows that it was called with."""

    RAISE = "raise"
    NULL = "null"
    DROP = "drop"


class Per(Enum):
    """What a guest is called for."""

    BATCH = "batch"
    ROW = "row"


class EngineOptions(TypedDict, total=False):
    """The arguments of `Engine`, except for the deprecated."""

    device: str | None
    guest_models: str | None
    guest_devices: bool
    waive: Sequence[str]
    model_bytes: int | None
    release: str
    threads: int | None
    cache: bool
    compile_limits: CompileLimits | None
    imports: Sequence[str]
    fuel: bool


@dataclass(frozen=True)
class Model:
    """A model that the guest may compute: a file or bytes, and the arguments of `Engine.register`.

    models={"clf": Model("clf.pt2", {"optimize": "freeze", "warm_up": (1, 3, 224, 224)})}

    Raises TypeError for anything else, such as a module of PyTorch.
    """

    source: Source
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_source(self.source)
        require_mapping("options", self.options)


@dataclass(frozen=True)
class Columns:
    """Which columns are inputs, and which are made: by the names of the pipeline, where they differ.

    `keep` are the columns that stay; None means all. `error` is the column with the reasons of failures. `text` are the
    outputs of BYTES whose columns are strings.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    keep: Sequence[str] | None
    text: Sequence[str]
    error: str


def choice(kind: type[C], name: str, value: object) -> C:
    """The member of an enum with a value; raises ValueError that lists them."""
    if isinstance(value, kind):
        return value
    for member in kind:
        if member.value == value:
            return member
    listed = ", ".join(repr(member.value) for member in kind)
    raise ValueError(f"`{name}` is {value!r}; choose one of {listed}")


def require_source(source: T) -> T:
    """What may be a guest or a model; raises TypeError for anything else."""
    if isinstance(source, str | PathLike | bytes):
        return source
    import ray

    if isinstance(source, ray.ObjectRef):
        return source
    kind = quote(type(source).__name__)
    raise TypeError(f"a guest or a model is a path, bytes, or `ray.put` of its bytes, not {kind}")


def require_kind(name: str, value: T, kind: type[T]) -> T:
    """A value of a class; raises TypeError for anything else."""
    if isinstance(value, kind):
        return value
    raise TypeError(f"`{name}` is {value!r}; a value of the type {kind.__name__} was expected")


def require_mapping(name: str, value: Mapping[str, T]) -> Mapping[str, T]:
    """A mapping with names; raises TypeError for anything else."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise TypeError(f"`{name}` is {value!r}; give a dictionary whose keys are names")


def require_names(name: str, value: Mapping[str, str]) -> Mapping[str, str]:
    """A mapping from names of the guest to names of columns; raises TypeError for anything else."""
    if isinstance(value, Mapping) and all(isinstance(each, str) for item in value.items() for each in item):
        return value
    raise TypeError(f"`{name}` is {value!r}; give a dictionary from names of the guest to names of columns")


def require_list(name: str, value: Sequence[str]) -> Sequence[str]:
    """A list of names; raises TypeError for anything else, such as one name."""
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value):
        return value
    raise TypeError(f"`{name}` is {value!r}; give a list of names")


def require_uses(max_uses: int | None) -> int | None:
    """The number of calls of one instance; raises ValueError for 0, and TypeError for what is not a number."""
    if isinstance(max_uses, bool) or not isinstance(max_uses, int | None):
        raise TypeError(f"`max_uses` is {max_uses!r}; give a whole number, or None for no limit")
    require_amount("`max_uses`", max_uses)
    if max_uses == 0:
        raise ValueError("`max_uses` is 0; give at least 1, or None for no limit")
    return max_uses
