"""The pickles of a TorchScript archive, run as PyTorch's own machine runs them, but only if they are well formed.

PyTorch's machine trusts the archive: a misplaced mark makes it read beyond its stack, and deeply nested values exhaust
the native stack when they are freed. So this machine knows only the instructions that PyTorch writes, and it never
drops a value: everything that a pickle makes is part of its result, which `state` checks.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.numbers import is_int64
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal

_ELEMENT_SIZES = {
    **dict.fromkeys(("Bool", "Byte", "Char"), 1),
    **dict.fromkeys(("BFloat16", "Half", "Short", "UInt16"), 2),
    **dict.fromkeys(("Float", "Int", "UInt32"), 4),
    **dict.fromkeys(("ComplexFloat", "Double", "Long", "UInt64"), 8),
    "ComplexDouble": 16,
}
_STORAGES = {f"torch {name}Storage": size for name, size in _ELEMENT_SIZES.items()}
_LISTS = frozenset(f"torch.jit._pickle build_{name}list" for name in ("bool", "double", "int", "tensor"))
_DEVICE = re.compile(r"[a-z]+(?::[0-9]+)?")

#: The limit on a tensor's sizes, strides and offset: PyTorch adds and multiplies these without checking for overflow.
_LARGEST_SIZE = 1 << 62


@dataclass(frozen=True)
class Tensor:
    """A tensor that lies within a file of the archive; `kind` is its dtype as the archive spells it, such as "Bool"."""

    sizes: tuple[int, ...]
    kind: str


@dataclass(frozen=True)
class Device:
    """A `torch.device`."""


@dataclass(frozen=True, eq=False)
class Instance:
    """An object of a class that the archive defines."""

    class_name: str
    state: dict[object, object]


@dataclass(frozen=True)
class Member:
    """A member of an enum that the archive defines."""

    enum_name: str


@dataclass(frozen=True)
class _Global:
    """A name in a pickle: "module name" in PyTorch, or "module.name" in the archive."""

    name: str


@dataclass(frozen=True)
class _Storage:
    elements: int
    kind: str


@dataclass(frozen=True)
class _Hooks:
    """The empty `OrderedDict` that is part of each tensor and has no meaning."""


@dataclass(frozen=True)
class Environment:
    """The names and files that a pickle may refer to."""

    classes: Collection[str]
    #: The members of each enum, with their values.
    enums: Mapping[str, Mapping[str, object]]
    #: The size of a file with the elements of a tensor, by the name that the pickle gives it; None if there is none.
    size_of: Callable[[str], int | None]
    #: Raises NnError for a type that may not be used.
    check_type: Callable[[str], None]


def unpickle(data: bytes, path: str, environment: Environment) -> object:
    """The value of a pickle, made of plain values and this module's classes. Raises NnError `security`."""
    machine = _Machine(environment)
    try:
        for instruction, argument, position in pickletools.genops(data):
            machine.step(instruction.name, argument, at_start=position == 0)
        return machine.result()
    except (LookupError, OverflowError, TypeError, ValueError) as error:
        raise refusal(path, str(error) if isinstance(error, _Disorder) else "it is broken") from None


class _Disorder(ValueError):
    """The pickle does something that PyTorch's pickles do not do."""


class _Machine:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: list[object] = []

    def result(self) -> object:
        """Take the one value that is left."""
        value = self._pop()
        if self._stack or self._marks:
            raise _Disorder("it leaves more than one value on the stack")
        return value

    def step(self, instruction: str, argument: object, *, at_start: bool) -> None:
        """Execute one instruction."""
        match instruction, argument:
            case "PROTO", 2 if at_start:
                pass
            case "STOP", None if not at_start:
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE", None:
                self._stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
            case "BININT" | "BININT1" | "BININT2" | "LONG1", int(value):
                if not is_int64(value):
                    raise _Disorder("it holds an integer of more than 64 bits")
                self._stack.append(value)
            case "BINFLOAT", float():
                self._stack.append(argument)
            case "BINUNICODE", str(text):
                text.encode()  # raises for lone surrogates
                self._stack.append(text)
            case "EMPTY_TUPLE", None:
                self._stack.append(())
            case "EMPTY_LIST", None:
                self._stack.append([])
            case "EMPTY_DICT", None:
                self._stack.append({})
            case "MARK", None:
                self._marks.append(len(self._stack))
            case "TUPLE", None:
                self._stack.append(tuple(self._pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3", None:
                self._stack.append(tuple(reversed([self._pop() for _ in range(int(instruction[-1]))])))
            case "APPENDS" | "SETITEMS", None:
                self._fill(instruction)
            case "BINPUT" | "LONG_BINPUT", int(index) if index == len(self._memo):
                self._memo.append(self._top())
            case "BINGET" | "LONG_BINGET", int(index):
                self._stack.append(self._memo[index])
            case "GLOBAL", str(name):
                self._stack.append(self._global(name))
            case "NEWOBJ", None if self._pop() == ():
                self._top()  # the class, for BUILD
            case "BUILD", None:
                self._stack.append(self._build(self._pop(), self._pop()))
            case "REDUCE", None:
                self._stack.append(self._reduce(self._pop(), self._pop()))
            case "BINPERSID", None:
                self._stack.append(self._storage(self._pop()))
            case _:
                raise _Disorder(f"PyTorch does not write the instruction {instruction} there")

    def _top(self) -> object:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise _Disorder("it takes more values than are on the stack")
        return self._stack[-1]

    def _pop(self) -> object:
        value = self._top()
        self._stack.pop()
        return value

    def _pop_to_mark(self) -> list[object]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _fill(self, instruction: str) -> None:
        """Move the values above the mark into the list or dict below it."""
        items = self._pop_to_mark()
        match instruction, self._top():
            case "APPENDS", list() as into:
                into.extend(items)
            case "SETITEMS", dict() as into:
                for key, value in zip(items[::2], items[1::2], strict=True):
                    if type(key) not in (bool, float, int, str) or key in into:
                        raise _Disorder("a dict has a duplicate key, or one that is neither a number nor a string")
                    into[key] = value
            case _:
                raise _Disorder("it fills a value that is neither a list nor a dict")

    def _global(self, name: str) -> _Global:
        defined = name.replace(" ", ".")
        if defined in self._environment.classes or defined in self._environment.enums:
            return _Global(defined)
        if name in _FUNCTIONS or name in _STORAGES:
            return _Global(name)
        raise _Disorder(f"it refers to {quote(name)}")

    def _build(self, state: object, of: object) -> Instance:
        match of, state:
            case _Global(name=name), dict() if name in self._environment.classes:
                return Instance(name, state)
        raise _Disorder("it builds an object without a class of the archive")

    def _storage(self, key: object) -> _Storage:
        match key:
            case ("storage", _Global(name=kind), str(name), str(device), int(elements)) if kind in _STORAGES:
                size = self._environment.size_of(name)
                if _DEVICE.fullmatch(device) and size is not None and 0 <= elements * _STORAGES[kind] <= size:
                    return _Storage(elements, kind.removeprefix("torch ").removesuffix("Storage"))
        raise _Disorder("a tensor is not within a file of the archive")

    def _members(self, enum_name: str) -> list[tuple[type, object]]:
        """The values of an enum's members with their types; PyTorch would accept other values too."""
        return [(type(value), value) for value in self._environment.enums.get(enum_name, {}).values()]

    def _reduce(self, arguments: object, function: object) -> object:
        name = function.name if isinstance(function, _Global) else ""
        match name, arguments:
            case (
                "torch._utils _rebuild_tensor_v2",
                (_Storage() as storage, offset, sizes, strides, bool(), _Hooks() | None),
            ):
                return Tensor(_checked_sizes(storage, offset, sizes, strides), storage.kind)
            case "collections OrderedDict", ():
                return _Hooks()
            case "torch device", (str(device),) if _DEVICE.fullmatch(device):
                return Device()
            case "builtins complex", (float(real), float(imaginary)):
                return complex(real, imaginary)
            case "torch.jit._pickle restore_type_tag", (list() | dict() as container, str(kind)):
                self._environment.check_type(kind)
                return container
            case _, (list() as items,) if name in _LISTS:
                return items
            case _, value if (type(value), value) in self._members(name):
                return Member(name)
        raise _Disorder(f"it calls {name or 'a value that is not a function'} with arguments that PyTorch does not use")


_FUNCTIONS = _LISTS | {
    "builtins complex",
    "collections OrderedDict",
    "torch device",
    "torch._utils _rebuild_tensor_v2",
    "torch.jit._pickle restore_type_tag",
}


def _checked_sizes(storage: _Storage, offset: object, sizes: object, strides: object) -> tuple[int, ...]:
    """The sizes of a tensor, which must not reach beyond its storage."""
    [start], lengths, steps = _numbers((offset,)), _numbers(sizes), _numbers(strides)
    last = start + sum((length - 1) * step for length, step in zip(lengths, steps, strict=True))
    if last >= storage.elements and 0 not in lengths:
        raise _Disorder("a tensor reaches beyond its file")
    return tuple(lengths)


def _numbers(values: object) -> list[int]:
    """The sizes, strides or offset of a tensor."""
    if isinstance(values, tuple):
        numbers = [value for value in values if type(value) is int and 0 <= value < _LARGEST_SIZE]
        if len(numbers) == len(values):
            return numbers
    raise _Disorder("the size of a tensor is not a number, or is too large")
