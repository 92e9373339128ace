"""The check that the values in an archive's pickles have the types that the code declares for them.

PyTorch does not compare them when it loads a model, although the compiled code relies on the declared types: it would
read and write beyond the end of an object of another class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from itertools import repeat

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.definitions import Program, dotted
from wasi_nn_torch.pytorch.graphs.vetting.pickled import Device, Instance, Member, Tensor
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal

_DEEPEST = 50
_ATOMS: dict[str, tuple[type, ...]] = {
    "Device": (Device,),
    "NoneType": (type(None),),
    "Tensor": (Tensor,),
    "bool": (bool,),
    "complex": (complex,),
    "float": (float,),
    "int": (int,),
    "number": (float, int),
    "str": (str,),
}


def check_model(model: object, path: str, program: Program) -> None:
    """Check the state of a model, whose class is named in the pickle. Raises NnError `security`."""
    if not isinstance(model, Instance):
        raise refusal(path, "it does not hold a model")
    _State(path, program).check_instance(model, model.class_name, 0)


def check_constants(constants: object, path: str) -> None:
    """Check the constants that the code refers to by number: tensors and strings. Raises NnError `security`."""
    if not isinstance(constants, tuple) or not all(isinstance(item, Tensor | str) for item in constants):
        raise refusal(path, "a constant is neither a tensor nor a string")


def check_positions(positions: object, path: str) -> None:
    """Check the positions of the code in its author's files, which PyTorch shows in errors.

    An entry is (position, ((lines, file, first line), start, end), tag); lines and file are indices into the texts.
    Raises NnError `security`.
    """
    match positions:
        case ("FORMAT_WITH_STRING_TABLE", tuple() as texts, tuple() as entries):
            sizes = [len(text.encode()) for text in texts if isinstance(text, str)]
            if len(sizes) == len(texts) and _are_positions(entries, sizes):
                return
    raise refusal(path, "it is not a table of source positions")


def _are_positions(entries: Iterable[object], sizes: list[int]) -> bool:
    lengths: dict[int, int] = {}  # by the identity of the source, which many entries share
    for entry in entries:
        match entry:
            case (int(), (tuple() as source, int(start), int(end)), int()):
                if id(source) not in lengths:
                    lengths[id(source)] = _length(source, sizes)
                length = lengths[id(source)]
                if length < 0 or not 0 <= start <= end <= max(length, 1):  # PyTorch writes 0 to 1 for an empty text
                    return False
            case _:
                return False
    return True


def _length(source: tuple[object, ...], sizes: list[int]) -> int:
    """The size of a source's text in bytes, or -1 if it refers to texts that do not exist."""
    match source:
        case (list() as lines, file, int(first)) if first >= 0:
            if all(type(number) is int and 0 <= number < len(sizes) for number in (file, *lines)):
                return sum(sizes[number] for number in lines)
    return -1


class _State:
    """Walks a value and its declared type together; shared values are walked once."""

    def __init__(self, path: str, program: Program) -> None:
        self._path = path
        self._program = program
        self._walked: set[tuple[int, str]] = set()
        self._declared: dict[int, str] = {}

    def check_instance(self, value: object, class_name: str, depth: int) -> None:
        """Check that a value is an object of a class, with all of its attributes, which have the declared types."""
        attributes = self._program.classes[class_name]
        if not isinstance(value, Instance) or value.class_name != class_name or value.state.keys() != attributes.keys():
            raise self._unlike(class_name)
        if self._is_new(value, class_name):
            self._check_all(value.state.values(), (attributes[str(name)] for name in value.state), depth)

    def _check(self, value: object, kind: ast.expr, depth: int) -> None:
        if depth > _DEEPEST:
            raise refusal(self._path, "its values are nested too deeply")
        match kind, value:
            case ast.Name(id=name), _ if type(value) in _ATOMS.get(name, ()):
                pass
            case ast.Subscript(value=ast.Name(id="Optional"), slice=some), _:
                if value is not None:
                    self._check(value, some, depth)
            case ast.Subscript(value=ast.Name(id="List"), slice=item), list():
                if self._is_new(value, ast.unparse(kind)):
                    self._check_all(value, repeat(item), depth)
            case ast.Subscript(value=ast.Name(id="Dict"), slice=ast.Tuple(elts=[key, item])), dict():
                if self._is_new(value, ast.unparse(kind)):
                    self._check_all(value.keys(), repeat(key), depth)
                    self._check_all(value.values(), repeat(item), depth)
            case ast.Subscript(value=ast.Name(id="Tuple"), slice=part), tuple():
                self._check_tuple(value, kind, part.elts if isinstance(part, ast.Tuple) else [part], depth)
            case ast.Attribute(), _:
                self._check_named(value, kind, depth)
            case _:
                raise self._unlike(ast.unparse(kind))

    def _check_named(self, value: object, kind: ast.expr, depth: int) -> None:
        """Check a value whose declared type the archive defines; a NamedTuple is pickled as a tuple."""
        name = dotted(kind) or ""
        if name in self._program.named_tuples and isinstance(value, tuple):
            self._check_tuple(value, kind, list(self._program.classes[name].values()), depth)
        elif name in self._program.classes:
            self.check_instance(value, name, depth)
        elif value != Member(name):
            raise self._unlike(name)

    def _check_tuple(self, value: tuple[object, ...], kind: ast.expr, kinds: list[ast.expr], depth: int) -> None:
        if len(value) != len(kinds):
            raise self._unlike(ast.unparse(kind))
        if self._is_new(value, ast.unparse(kind)):
            self._check_all(value, kinds, depth)

    def _check_all(self, values: Iterable[object], kinds: Iterable[ast.expr], depth: int) -> None:
        for value, kind in zip(values, kinds, strict=False):
            self._check(value, kind, depth + 1)

    def _is_new(self, value: object, kind: str) -> bool:
        """Whether a value is met for the first time; a mutable value must have the same declared type everywhere."""
        if self._declared.setdefault(id(value), kind) != kind and not isinstance(value, tuple):
            raise self._unlike(kind)
        known = len(self._walked)
        self._walked.add((id(value), kind))
        return len(self._walked) > known

    def _unlike(self, kind: str) -> Exception:
        return refusal(self._path, f"a value does not have the declared type {quote(kind)}")
