"""Every private name of PyTorch that the backend uses: a version without one fails here, with the places that use it.

PyTorch's names with a leading underscore, and the methods of what `torch._C` gives, may change in any version.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
import torch

from tests.conftest import ROOT

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

BACKEND = ROOT / "backend" / "wasi_nn_torch"

# Not looked up by the class but on an object: the object's class, and what the backend asks of it.
ON_OBJECTS = {
    "torch.jit.ScriptModule": "_c",  # the object in C++
    "torch._C.ScriptModule": "_get_method _has_method _method_names",
    "torch._C.ScriptMethod": "graph inlined_graph name schema",
    "torch._C.Graph": "copy create findAllNodes inputs nodes outputs prependNode",
    "torch._C.Block": "inputs nodes outputs",
    "torch._C.Node": (
        "blocks destroy findAllNodes g hasAttribute i_ input inputs inputsAt inputsSize insertBefore kind kindOf "
        "output outputs replaceInput s s_ schema t t_"
    ),
    "torch._C.Value": "debugName node offset replaceAllUsesWith setType toIValue type uses",
    "torch._C.FunctionSchema": "arguments is_mutable name overload_name returns",
    "torch._C.Argument": "alias_info has_default_value name type",
    "torch._C._AliasInfo": "is_write",
    "torch._C.Type": "annotation_str containedTypes kind str",
    "torch._C.OptionalType": "getElementType",
    "torch._C.ListType": "getElementType",
    "torch._C.DictType": "getKeyType getValueType",
    "torch._C.TupleType": "elements",
    "torch._C.PyTorchFileReader": "get_all_records get_record",
    "torch._ops.OpOverload": "_schema",
    "torch.UntypedStorage": "_cdata",
}
# Uses of these are told from the backend's own private names by the name alone.
KNOWN = {name for names in ON_OBJECTS.values() for name in names.split()}

# Names of PyTorch's stubs, which only the type checker looks up.
OF_STUBS = {"torch._C.JitType"}


#: How a module begins that has names of PyTorch; import-linter and ruff keep imports to one module a line.
IMPORTS_TORCH = re.compile(r"^\s*(?:import|from) torch\b", re.MULTILINE)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _aliases(tree: ast.Module) -> dict[str, str]:
    """What each imported name of a module of PyTorch stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each for each in node.names if each.name.partition(".")[0] == "torch"]
            found.update({each.asname or "torch": each.name if each.asname else "torch" for each in names})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            found.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
    return found


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    match node:
        case ast.Name(id=name):
            return aliases.get(name)
        case ast.Attribute(value=value, attr=attr):
            of = _dotted(value, aliases)
            return of and f"{of}.{attr}"
    return None


def _uses(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The dotted private names of PyTorch in a module, also those that it imports, and the lines that have them."""
    aliases = _aliases(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            yield from ((f"{node.module}.{each.name}", node.lineno) for each in node.names)
        elif isinstance(node, ast.Attribute) and (name := _dotted(node, aliases)):
            yield name, node.lineno


def _private_uses() -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in sorted(BACKEND.rglob("*.py")):
        text = path.read_text()
        if not IMPORTS_TORCH.search(text):  # most modules, which need no parsing
            continue
        for name, line in _uses(ast.parse(text)):
            if name not in OF_STUBS and any(map(_is_private, name.split("."))):
                found[name].append(f"{path.relative_to(ROOT)}:{line}")
    return found


USES = _private_uses()


def _find(dotted: str) -> object:
    """The object of a dotted name, whose first components are modules."""
    found: object = torch
    parts = dotted.split(".")
    for index, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:index]))
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", sorted(USES))
def test_torch_has_the_private_name(name):
    try:
        _find(name)
    except (ImportError, AttributeError) as error:
        pytest.fail(
            f"torch {torch.__version__} does not have {name}, which is used in {', '.join(USES[name])}: {error}"
        )


@pytest.mark.parametrize("kind", ON_OBJECTS)
def test_objects_of_torch_have_what_is_asked_of_them(kind):
    if kind == "torch.jit.ScriptModule":  # an attribute that objects get when they are made
        found: object = torch.jit.script(torch.nn.ReLU())
    elif kind == "torch._ops.OpOverload":
        found = torch.ops.aten.relu.default
    elif kind == "torch._C._AliasInfo":  # a class without a public place
        found = torch.ops.aten.relu_.default._schema.arguments[0].alias_info
    else:
        found = _find(kind)
    missing = [name for name in ON_OBJECTS[kind].split() if not hasattr(found, name)]
    assert not missing, f"in torch {torch.__version__}, {kind} does not have {', '.join(missing)}"


def test_private_names_asked_of_objects_are_all_in_the_list():
    own, asked = set(), {}
    for path in sorted(ROOT.glob("backend/**/*.py")):
        tree = ast.parse(path.read_text())
        aliases = _aliases(tree)
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    own.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    own.add(name)
                case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                    own.add(name)
                case ast.Attribute(attr=name) if path.is_relative_to(BACKEND / "pytorch") and _is_private(name):
                    if _dotted(node, aliases) is None:
                        asked[name] = f"{path.relative_to(ROOT)}:{node.lineno}"
    unlisted = {name: where for name, where in asked.items() if name not in own | KNOWN}
    assert not {name for name in unlisted if not any(name in use.split(".") for use in USES)}, unlisted


def test_a_name_that_torch_does_not_have_is_told_with_its_place(monkeypatch):
    monkeypatch.setitem(USES, "torch._C._nobody_has_this", ["somewhere.py:1"])
    with pytest.raises(pytest.fail.Exception, match=r"does not have torch\._C\._nobody_has_this.* somewhere\.py:1"):
        test_torch_has_the_private_name("torch._C._nobody_has_this")
