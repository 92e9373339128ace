"""The check of the code in a TorchScript archive: PyTorch could have printed it, and it calls only harmless code.

The check goes by names. `torch.` and `ops.` occur only as the prefix of an operator that is called; a function is
defined in the archive, or is a local name of one that is; methods and attributes are defined in the archive. So the
branches that are taken and the types of values do not matter, with one exception: a method with the name of a refused
operator may be called only on a value that can only be an object of a class with this method.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from wasi_nn_torch.contract.text import quote
from wasi_nn_torch.pytorch.graphs.vetting.definitions import Program, collect, dotted, parse, prefix_of, refused
from wasi_nn_torch.pytorch.graphs.vetting.expansion import check_expansion
from wasi_nn_torch.pytorch.graphs.vetting.numbers import is_int64
from wasi_nn_torch.pytorch.graphs.vetting.operators import (
    PRIM_OPERATORS,
    UNINITIALIZED,
    is_refused_operator,
    tensor_operators,
    why_refused,
)
from wasi_nn_torch.pytorch.graphs.vetting.receivers import Receivers
from wasi_nn_torch.pytorch.graphs.vetting.refusal import refusal

_ATOMS = frozenset({"Any", "Device", "NoneType", "Tensor", "bool", "complex", "float", "int", "number", "str"})
_GENERICS = frozenset({"Dict", "List", "Optional", "Tuple", "Union"})
_ANY_OF_A_KIND = frozenset({"list", "tuple"})
_BASES = frozenset({"Enum", "Module", "NamedTuple"})
_LISTS_OF_NAMES = ("__annotations__", "__buffers__", "__forward_hooks__", "__forward_pre_hooks__", "__parameters__")
_CONVERSIONS = frozenset({"bool", "float", "int", "range", "sorted", "str"})
_NUMBERS = frozenset({"inf", "infj", "nan", "nanj"})

#: The names that lead to operators; a variable with such a name that is not always bound would mislead this check.
_NAMESPACES = frozenset({"CONSTANTS", "__torch__", "awaitable", "fork", "ops", "torch"})

_LOCAL_FUNCTION = re.compile(r"_[0-9]+")
_IN_TRAINING = "; torch.jit.freeze removes code that only training needs"
_TENSOR_CONSTANT = re.compile(r"CONSTANTS\.c[0-9]+")
_RUN_WHILE_LOADING = frozenset({"__getstate__", "__setstate__"})


def check_source(files: Mapping[str, bytes]) -> Program:
    """Check all code of an archive, and return the names that it defines. Raises NnError `security`."""
    trees = {path: parse(path, text) for path, text in files.items()}
    program = collect(trees)
    for path, tree in trees.items():
        _Checker(path, program).check(tree)
    check_expansion(trees, program)
    return program


def check_type(text: str, path: str, program: Program) -> None:
    """Check a type that is written outside of the code. Raises NnError `security`."""
    match parse(path, text.encode()).body:
        case [ast.Expr(value=kind)]:
            _Checker(path, program).check_type(kind)
        case _:
            raise refusal(path, f"{quote(text)} is not a type")


class _Checker:
    """Walks the syntax tree of one file; every method raises unless the node and everything below it are known."""

    def __init__(self, path: str, program: Program) -> None:
        self._path = path
        self._program = program
        self._variables: frozenset[str] = frozenset()
        self._local_functions: frozenset[str] = frozenset()
        self._receivers: Receivers | None = None

    def check(self, tree: ast.Module) -> None:
        """Check a whole file."""
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                self._class(node)
            else:
                self._function(node)

    def check_type(self, node: ast.expr, *, with_classes: bool = True) -> None:
        """Check a type; classes are not allowed in places where PyTorch trusts the code."""
        match node:
            case ast.Name(id=name) if name in _ATOMS:
                pass
            case ast.Subscript(value=ast.Name(id=name), slice=part) if name in _GENERICS:
                for kind in part.elts if isinstance(part, ast.Tuple) else [part]:
                    self.check_type(kind, with_classes=with_classes)
            case _ if with_classes and (dotted(node) in self._program.classes or dotted(node) in self._program.enums):
                pass
            case _:
                raise refused(self._path, node, f"{quote(ast.unparse(node))} is not a type that is allowed there")

    def _class(self, node: ast.ClassDef) -> None:
        bases = [dotted(base) for base in node.bases]
        if node.decorator_list or node.keywords or len(bases) > 1 or not _BASES.issuperset(bases):
            raise refused(self._path, node, f"the class {quote(node.name)} is of a kind that is not allowed")
        for item in node.body:
            match item:
                case ast.FunctionDef():
                    self._function(item, f"{prefix_of(self._path)}.{node.name}")
                case ast.AnnAssign(target=ast.Name(), annotation=kind, value=None):
                    self.check_type(kind)
                case ast.AnnAssign(
                    target=ast.Name(),
                    annotation=ast.Subscript(value=ast.Name(id="Final"), slice=kind),
                    value=ast.expr() as value,
                ):
                    self.check_type(kind)
                    self._constant(value)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.List() as value) if name in _LISTS_OF_NAMES:
                    self._constant(value)
                case ast.Assign(targets=[ast.Name()], value=ast.Constant() as value) if _is_enum(node):
                    self._constant(value)
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="__annotations__"))], value=kind):
                    self.check_type(kind)
                case ast.Pass():
                    pass
                case _:
                    raise refused(self._path, item)

    def _function(self, node: ast.stmt, owner: str | None = None) -> None:
        match node:
            case ast.FunctionDef(name=name) if name in _RUN_WHILE_LOADING:
                raise refused(self._path, node, f"{quote(name)} would run when the model is loaded")
            case ast.FunctionDef(
                args=ast.arguments(
                    posonlyargs=[], args=parameters, vararg=None, kwonlyargs=[], kwarg=None, defaults=defaults
                ),
                decorator_list=[],
                returns=ast.expr() as returned,
            ):
                for default in defaults:
                    self._constant(default)
                for parameter in parameters:
                    if parameter.annotation is not None:
                        self.check_type(parameter.annotation)
                self.check_type(returned)
                self._find_variables(node)
                self._receivers = Receivers(node, owner, self._program)
                self._statements(node.body)
            case _:
                raise refused(self._path, node)

    def _find_variables(self, function: ast.FunctionDef) -> None:
        """Find the names that a function binds, and those among them that always refer to a function of the archive."""
        values = {argument.arg for argument in function.args.args}
        functions = set()
        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if dotted(value) in self._program.functions:
                    functions.add(name)
                case ast.Assign(targets=[target]) | ast.AnnAssign(target=target) | ast.For(target=target):
                    values.update(_names(target))
                case ast.withitem(optional_vars=ast.Name(id=name)):
                    values.add(name)
        self._variables = frozenset(values | functions)
        self._local_functions = frozenset(name for name in functions - values if _LOCAL_FUNCTION.fullmatch(name))
        for name in self._variables & _NAMESPACES:
            raise refused(self._path, function, f"{quote(name)} is used as the name of a variable")

    def _statements(self, body: Iterable[ast.stmt]) -> None:
        for node in body:
            self._statement(node)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[target], value=value):
                self._target(target)
                self._value(value)
            case ast.AnnAssign(target=ast.Name(), annotation=kind, value=ast.expr() as value):
                self.check_type(kind)
                self._value(value)
            case ast.Expr(value=value) | ast.Return(value=ast.expr() as value):
                self._value(value)
            case ast.If(test=value, body=body, orelse=otherwise):
                self._value(value)
                self._statements((*body, *otherwise))
            case (
                ast.For(target=ast.Name(), iter=ast.Call(func=ast.Name(id="range")) as value, body=body, orelse=[])
                | ast.While(test=value, body=body, orelse=[])
                | ast.With(items=[ast.withitem(context_expr=value, optional_vars=None | ast.Name())], body=body)
            ):
                self._value(value)
                self._statements(body)
            case ast.Pass():
                pass
            case _:
                raise refused(self._path, node)

    def _target(self, node: ast.expr) -> None:
        match node:
            case ast.Name():
                pass
            case ast.Tuple(elts=parts):
                for part in parts:
                    self._target(part)
            case ast.Attribute():
                self._attribute(node)
            case _:
                raise refused(self._path, node)

    def _values(self, nodes: Iterable[ast.expr | None]) -> None:
        for node in nodes:
            if node is not None:
                self._value(node)

    def _constant(self, node: ast.expr) -> None:
        """Check a value outside of functions, where no names are bound."""
        self._variables = self._local_functions = frozenset()
        self._receivers = None
        self._value(node)

    def _value(self, node: ast.expr) -> None:
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
                self._integer(node, -value)
            case ast.Constant(value=None | bool() | float() | complex() | str()):
                pass
            case ast.Constant(value=int(value)):
                self._integer(node, value)
            case ast.Name(id=name) if name in self._variables or name in _NUMBERS:
                pass
            case ast.Name(id=name):
                raise refused(self._path, node, f"{quote(name)} is not a value")
            case ast.Attribute():
                self._attribute(node)
            case ast.Call():
                self._call(node)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                self._values(parts)
            case ast.Dict(keys=keys, values=values) if None not in keys:  # None stands for `**other`
                self._values((*keys, *values))
            case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
                self._values((value, lower, upper, step))
            case ast.Subscript(value=value, slice=index):
                self._values((value, index))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                self._value(operand)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):  # a complex number
                self._values((left, right))
            case _:
                raise refused(self._path, node)

    def _integer(self, node: ast.expr, value: int) -> None:
        if not is_int64(value):
            raise refused(self._path, node, "a number is not an integer of 64 bits")

    def _attribute(self, node: ast.Attribute) -> None:
        """Check the name of an attribute, a constant, an enum's member, or a function that gets a local name."""
        name = dotted(node) or ""
        if name in self._program.functions or _TENSOR_CONSTANT.fullmatch(name):
            return
        if node.attr in self._program.enums.get(dotted(node.value) or "", ()):
            return
        if node.attr not in self._program.attributes:
            raise refused(self._path, node, f"{quote(ast.unparse(node))} is not an attribute of the model")
        self._value(node.value)

    def _call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name(id="annotate"), args=[kind, value], keywords=[]):
                self.check_type(kind)
                self._value(value)
            case ast.Call(func=ast.Name(id="uninitialized"), args=[kind], keywords=[]):
                self.check_type(kind)
            case ast.Call(func=ast.Name(id="unchecked_cast"), args=[kind, value], keywords=[]):
                self.check_type(kind, with_classes=False)
                self._value(value)
            case ast.Call(func=ast.Name(id="isinstance"), args=[value, kinds], keywords=[]):
                self._value(value)
                for kind in kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]:
                    if dotted(kind) not in _ANY_OF_A_KIND:
                        self.check_type(kind, with_classes=False)
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=name)], keywords=[]):
                if name not in self._program.attributes:
                    raise refused(self._path, node, f"{quote(str(name))} is not an attribute of the model")
                self._value(value)
            case ast.Call(func=ast.Attribute(value=of, attr="__new__"), args=[kind], keywords=[]):
                if dotted(of) not in self._program.classes or dotted(kind) != dotted(of):
                    raise refused(self._path, node)
            case _:
                self._called(node.func)
                self._values((*node.args, *(keyword.value for keyword in node.keywords)))

    def _called(self, node: ast.expr) -> None:
        """Check a called expression: an operator, something that the archive defines, or a conversion."""
        name = dotted(node) or ""
        match name.split("."):
            case ["torch", operator] if operator in tensor_operators():
                return
            case ["torch", operator]:
                hint = f"{why_refused(operator)}{_IN_TRAINING if operator in UNINITIALIZED else ''}"
                raise refused(self._path, node, f"it calls {quote(name)}, {hint}")
            case ["ops", "prim", operator] if operator in PRIM_OPERATORS:
                return
            case ["__torch__", *_] if name in self._program.functions or name in self._program.classes:
                return
            case [local] if local in self._local_functions or local in _CONVERSIONS:
                return
            case [root, *_] if root in _NAMESPACES or not isinstance(node, ast.Attribute):
                raise refused(self._path, node, f"it calls {quote(ast.unparse(node))}")
        if isinstance(node, ast.Attribute):
            self._method(node)

    def _method(self, node: ast.Attribute) -> None:
        """Check a called method.

        It is one of the archive's own methods if the class of the receiver is certain; otherwise it may be an operator.
        """
        is_own = self._receivers is not None and self._receivers.are_own(node.value, node.attr)
        may_be_own = node.attr in self._program.methods and not is_refused_operator(node.attr)
        if not (is_own or may_be_own or node.attr == "tolist"):
            raise refused(self._path, node, f"it calls the method {quote(node.attr)}")
        self._value(node.value)


def _is_enum(node: ast.ClassDef) -> bool:
    return [dotted(base) for base in node.bases] == ["Enum"]


def _names(target: ast.expr) -> Iterable[str]:
    """The names that a target binds."""
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
