"""Python names for WIT names."""

from __future__ import annotations

import builtins

import pytest

from witgen import naming


@pytest.mark.parametrize(
    ("spell", "wit", "python"),
    [
        (naming.snake, "init-execution-context", "init_execution_context"),
        (naming.snake, "is-XML", "is_xml"),
        (naming.snake, "b-1", "b_1"),
        (naming.pascal, "graph-encoding", "GraphEncoding"),
        (naming.pascal, "is-XML", "IsXML"),
        (naming.constant, "invalid-argument", "INVALID_ARGUMENT"),
        (naming.constant, "FP16", "FP16"),
        (naming.plain, "[method]tensor.data", "data"),
        (naming.plain, "[constructor]tensor", "tensor"),
        (naming.plain, "load", "load"),
    ],
)
def test_names_follow_pythons_conventions(spell, wit, python):
    assert spell(wit) == python


@pytest.mark.parametrize(
    ("scope", "name", "python"),
    [
        (naming.resource([]), "import", "import_"),
        (naming.resource([]), "drop", "drop_"),
        (naming.resource([]), "abstractmethod", "abstractmethod_"),
        (naming.resource([]), "data", "data"),
        (naming.resource(["Listing", "str | None"]), "list", "list"),
        (naming.resource(["dict[str, list[Size]]"]), "list", "list_"),
        (naming.functions(["int"]), "open", "open"),
        (naming.functions(["int"]), "int", "int_"),
        (naming.functions(["None"]), "none", "none"),
        (naming.package(), "class", "class_"),
        (naming.package(), "exports", "exports_"),
        (naming.module(), "Host", "Host_"),
        (naming.module(), "None", "None_"),
        (naming.module(), "TypeError", "TypeError_"),
    ],
)
def test_a_name_that_is_taken_gets_an_underscore(scope, name, python):
    assert scope.claim(name) == python


def test_each_name_is_given_out_once():
    scope = naming.Scope()
    assert [scope.claim("list") for _ in range(3)] == ["list_", "list__", "list___"]


def test_names_of_one_kind_are_told_apart_within_their_own_scope():
    assert naming.parameters(["self", "list", "data", "List-"[:4]]) == ["self_", "list_", "data", "list__"]
    assert naming.members(["self", "list", "type"], ["int", "list[int]", "str"]) == ["self", "list_", "type"]
    assert naming.cases(["none", "red"]) == ["NONE", "RED"]


def test_every_builtin_of_this_python_is_known():
    added_by_site = {"copyright", "credits", "exit", "help", "license", "quit"}
    known = {name for name in dir(builtins) if not name.startswith("_")} - added_by_site
    assert known <= naming.BUILTINS, "a new Python has new builtins: add them to `naming.BUILTINS`"


@pytest.mark.parametrize(
    ("interface", "type_", "exception"),
    [
        ("store", "failure", "StoreFailureError"),
        ("a-b", "c", "ABCError"),
        ("store", "terror", "StoreTerrorError"),
        ("errors", "error", "ErrorException"),
        ("types", "error-code", "ErrorCodeException"),
        ("types", "parse-ERROR", "ParseERRORException"),
    ],
)
def test_an_exception_is_named_after_its_interface_and_type_or_after_a_type_that_says_it_is_an_error(
    interface, type_, exception
):
    assert naming.error(interface, type_) == exception
