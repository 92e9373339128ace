"""The inputs that a guest can give for a parameter of a module, derived from its annotation and default.

Annotations are written for people and type checkers, and are less precise than they look: a parameter that can be a
tensor is treated as one. A dtype is taken from an annotation only if it is reliable: `torch.LongTensor` and the other
integer and boolean types, and `Annotated[Tensor, torch.bool]`; but people write `torch.FloatTensor` for integer masks
too.
"""

from __future__ import annotations

import builtins
import collections
import collections.abc
import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from wasi_nn_torch.pytorch.fitting import INTEGERS, OFFERED
from wasi_nn_torch.pytorch.graphs.inputs.parameters import EACH, Argument, Group, Kind, Many, Parameter

_DEEPEST = 8

_NUMBERS = {int: Kind.INTEGER, float: Kind.FLOAT, bool: Kind.BOOLEAN}
_TENSOR = Parameter("", Kind.TENSOR)
_LISTS = frozenset(
    getattr(collections.abc, name) for name in "Sequence MutableSequence Collection Iterable Reversible".split()
) | {list}
_DICTS = frozenset({dict, collections.OrderedDict, collections.abc.Mapping, collections.abc.MutableMapping})
_KEYS: dict[object, type[str | int]] = {str: str, int: int}
_WRAPPERS = (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)
_LEGACY = type(torch.FloatTensor)


class _Names(type):
    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, _: object) -> object:
        return cls


class _Unknown(metaclass=_Names):
    """Stands for a name that only type checkers can look up, and for its attributes and items."""


class _Scope(Mapping[str, object]):
    """The names that an annotation may use: those of its module, and those that modules import for type checkers."""

    def __init__(self, own: Mapping[str, object]) -> None:
        self._own = own

    def __getitem__(self, name: str) -> object:
        for names in (self._own, vars(builtins), {"torch": torch, "typing": typing}, vars(typing)):
            if name in names:
                return names[name]
        found = getattr(torch, name, None)
        return found if isinstance(found, _LEGACY) or found is torch.Tensor else _Unknown

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)


def argument_of(parameter: inspect.Parameter, namespace: Mapping[str, object]) -> Argument | None:
    """The argument for a parameter, or None if a guest cannot give it; names are looked up in `namespace` first."""
    has_default = parameter.default is not inspect.Parameter.empty
    read = _Reader(namespace)
    meaning = read.resolved(parameter.annotation)
    if _says_nothing(meaning) and has_default and parameter.default is not None:
        meaning = type(parameter.default)
        if meaning not in _NUMBERS and not issubclass(meaning, torch.Tensor):
            return None
    found = read(meaning)
    if found is None:
        return None
    return _named(found, parameter.name, has_default=has_default)


def _named(found: Argument, name: str, *, has_default: bool) -> Argument:
    """An argument read from an annotation, under its name; it is optional if it accepts None or has a default."""
    takes_none = found.optional
    return replace(found, name=name, optional=takes_none or has_default, none_if_absent=takes_none and not has_default)


def _says_nothing(annotation: object) -> bool:
    return annotation in (inspect.Parameter.empty, typing.Any, object, _Unknown)


class _Reader:
    """Reads annotations of one module."""

    def __init__(self, namespace: Mapping[str, object], depth: int = 0) -> None:
        self._namespace = namespace
        self._depth = depth

    def __call__(self, annotation: object) -> Argument | None:
        """The argument for values of this type, `optional` if it accepts None; None if a guest cannot give any."""
        annotation = self.resolved(annotation)
        origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
        if _says_nothing(annotation):
            return _TENSOR
        if isinstance(annotation, typing.TypeVar):
            return self._any_of(annotation.__constraints__) if annotation.__constraints__ else self(_bound(annotation))
        if origin is typing.Annotated:
            return _of_dtype(self(inner[0]), annotation.__metadata__)  # type: ignore[attr-defined]  # it has one
        if origin in _WRAPPERS and inner:
            return self(inner[0])
        if origin in (typing.Union, types.UnionType):
            return self._any_of(inner)
        if not isinstance(origin, type):
            return None
        return self._of_class(origin, inner)

    def resolved(self, annotation: object) -> object:
        """The type that an annotation stands for: strings, new types and type aliases are looked up."""
        while True:
            if isinstance(annotation, typing.ForwardRef):
                annotation = annotation.__forward_arg__
            if isinstance(annotation, str):
                annotation = self._evaluated(annotation)
            elif isinstance(annotation, typing.NewType):
                annotation = annotation.__supertype__
            elif type(annotation).__name__ == "TypeAliasType":  # `type X = …`, since Python 3.12
                annotation = annotation.__value__  # type: ignore[attr-defined]  # it has one
            else:
                return annotation

    def _evaluated(self, text: str) -> object:
        try:
            return eval(text, {}, _Scope(self._namespace))  # the operator's own code
        except Exception:  # noqa: BLE001  # an annotation may be any text, which then means nothing
            return _Unknown

    def _any_of(self, choices: Sequence[object]) -> Argument | None:
        """The argument for a union of types: a tensor if one of them is a tensor, otherwise the first usable one."""
        read = [self(choice) for choice in choices if choice is not types.NoneType and choice is not None]
        found = [each for each in read if each is not None]
        tensors = [each for each in found if isinstance(each, Parameter) and each.kind is Kind.TENSOR]
        takes_none = any(choice in (None, types.NoneType) for choice in choices) or any(each.optional for each in found)
        if tensors:
            dtypes = {each.dtype for each in tensors}
            return replace(_TENSOR, dtype=dtypes.pop() if len(dtypes) == 1 else None, optional=takes_none)
        return replace(found[0], optional=takes_none) if found else None

    def _of_class(self, kind: type, inner: Sequence[object]) -> Argument | None:
        if isinstance(kind, _LEGACY):
            dtype = kind.dtype
            return replace(_TENSOR, dtype=dtype if dtype is torch.bool or dtype in INTEGERS else None)
        if issubclass(kind, torch.Tensor):
            return _TENSOR
        if hasattr(kind, "array_type"):  # as jaxtyping has it
            return _of_dtype(self(kind.array_type), [getattr(torch, str(name), None) for name in _only(kind)])
        if kind in _NUMBERS:
            return Parameter("", _NUMBERS[kind])
        if kind in _LISTS or (kind is tuple and (not inner or inner[-1] is Ellipsis)):
            item = self(inner[0]) if inner else _TENSOR
            return None if item is None else Many("", replace(item, name=EACH), tuple if kind is tuple else list)
        if kind is tuple:
            return self._group({str(at): each for at, each in enumerate(inner)}, _tuple)
        if kind in _DICTS:
            key, value = inner or (str, torch.Tensor)
            item = self(value)
            return None if item is None or key not in _KEYS else Many("", replace(item, name=EACH), dict, _KEYS[key])
        return self._of_fields(kind)

    def _of_fields(self, kind: type) -> Argument | None:
        """The argument that makes a NamedTuple, a dataclass or a TypedDict from its fields."""
        names = getattr(sys.modules.get(kind.__module__), "__dict__", {})
        read = _Reader(names, self._depth + 1)
        if self._depth > _DEEPEST:
            return None
        if dataclasses.is_dataclass(kind):
            fields = [field for field in dataclasses.fields(kind) if field.init]
            missing = dataclasses.MISSING
            defaults = {each.name for each in fields if (each.default, each.default_factory) != (missing, missing)}
            return read._group({field.name: field.type for field in fields}, _making(kind), defaults)
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            types_of = {name: inspect.get_annotations(kind).get(name, torch.Tensor) for name in kind._fields}
            return read._group(types_of, _making(kind), set(getattr(kind, "_field_defaults", ())))
        if typing.is_typeddict(kind):
            return read._group(inspect.get_annotations(kind), dict, set(getattr(kind, "__optional_keys__", ())))
        return None

    def _group(
        self,
        kinds: Mapping[str, object],
        make: Callable[[Mapping[str, object]], object],
        defaults: Collection[str] = (),
    ) -> Argument | None:
        """The argument that makes a value from its parts; parts that no guest can give need a default."""
        parts: list[Argument] = []
        for name, kind in kinds.items():
            part, has_default = self(kind), name in defaults
            if part is not None:
                parts.append(_named(part, name, has_default=has_default))
            elif not has_default:
                return None
        return Group("", tuple(parts), make) if parts else None


def _bound(variable: typing.TypeVar) -> object:
    return typing.Any if variable.__bound__ is None else variable.__bound__


def _of_dtype(found: Argument | None, notes: Sequence[object]) -> Argument | None:
    """A tensor with the dtype in its annotation, if there is exactly one; any other argument as it is."""
    dtypes = [note for note in notes if isinstance(note, torch.dtype) and note in OFFERED]
    if isinstance(found, Parameter) and found.kind is Kind.TENSOR and len(dtypes) == 1:
        return replace(found, dtype=dtypes[0])
    return found


def _only(kind: type) -> Sequence[object]:
    """The name of the dtype of a class that describes arrays, if it has exactly one."""
    names = getattr(kind, "dtypes", ())
    return names if isinstance(names, list | tuple) and len(names) == 1 else ()


def _tuple(parts: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(parts.values())


def _making(kind: Callable[..., object]) -> Callable[[Mapping[str, object]], object]:
    return lambda parts: kind(**parts)
