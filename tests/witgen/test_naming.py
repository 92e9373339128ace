"""Python names for WIT names."""

from __future__ import annotations

import pytest

from witgen import naming


@pytest.mark.parametrize(
    ("spell", "wit", "python"),
    [
        (naming.function, "init-execution-context", "init_execution_context"),
        (naming.function, "is-XML", "is_xml"),
        (naming.function, "b-1", "b_1"),
        (naming.function, "import", "import_"),
        (naming.function, "drop", "drop_"),
        (naming.parameter, "list", "list_"),
        (naming.parameter, "self", "self_"),
        (naming.parameter, "data", "data"),
        (naming.module, "class", "class_"),
        (naming.type_, "graph-encoding", "GraphEncoding"),
        (naming.type_, "is-XML", "IsXML"),
        (naming.type_, "host", "Host_"),
        (naming.type_, "enum", "Enum_"),
        (naming.type_, "none", "None_"),
        (naming.type_, "type-error", "TypeError_"),
        (naming.case, "invalid-argument", "INVALID_ARGUMENT"),
        (naming.case, "FP16", "FP16"),
        (naming.constant, "graph-execution-context", "GRAPH_EXECUTION_CONTEXT"),
    ],
)
def test_names_follow_pythons_conventions_and_collide_with_nothing(spell, wit, python):
    assert spell(wit) == python


@pytest.mark.parametrize(
    ("interface", "type_", "exception"),
    [("errors", "error", "ErrorsError"), ("types", "error-code", "TypesErrorCodeError"), ("a-b", "c", "ABCError")],
)
def test_an_exception_is_named_after_its_interface_and_type(interface, type_, exception):
    assert naming.error(interface, type_) == exception
