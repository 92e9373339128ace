"""Exported programs that attack the host when they are loaded or computed."""

from __future__ import annotations

from typing import Any

from tests.wasi_nn_torch.helpers.exported_attacks import SMALL, called
from tests.wasi_nn_torch.helpers.exported_models import changed, graph_of

Document = dict[str, Any]

#: The kind of an argument that a call names.
_KEYWORD = 2


def segments() -> bytes:
    """A program that sums segments which end behind the data."""

    def change(document: Document) -> None:
        nodes = graph_of(document)["nodes"]
        _call(document, "arange.start", "offsets", start={"as_int": 0}, end={"as_int": 1025})
        _call(document, "flatten.using_ints", "flat", self={"as_tensor": {"name": "x"}})
        arguments = {
            "data": {"as_tensor": {"name": "flat"}},
            "reduce": {"as_string": "sum"},
            "offsets": {"as_tensor": {"name": "offsets"}},
            "axis": {"as_int": 0},
            "unsafe": {"as_bool": True},
        }
        _call(document, "segment_reduce.default", "result", **arguments)
        for argument in nodes[0]["inputs"][2:]:
            argument["kind"] = _KEYWORD
        graph_of(document)["nodes"] = [nodes[2], nodes[1], nodes[0], *nodes[3:]]
        output = {"as_tensor": {"name": "result"}}
        graph_of(document)["outputs"] = [output]
        document["graph_module"]["signature"]["output_specs"] = [{"user_output": {"arg": output}}]

    return changed(SMALL, change)


def maximum() -> bytes:
    """A program with a size that is the maximum of 280 others, which SymPy takes long to simplify."""
    names = [f"s{number}" for number in range(100, 380)]

    def change(document: Document) -> None:
        sizes = graph_of(document)["tensor_values"]["x"]["sizes"]
        symbolic = next(size for size in sizes if "as_expr" in size)
        symbolic["as_expr"]["expr_str"] = f"Max({', '.join(names)})"
        for name in names:
            document["range_constraints"][name] = {"min_val": 2, "max_val": 64}

    return changed(SMALL, change)


def _call(document: Document, target: str, result: str, **arguments: Any) -> None:
    """Call an operator first, with one result."""
    called(f"torch.ops.aten.{target}", **arguments)(document)
    graph = graph_of(document)
    graph["nodes"][0]["outputs"] = [{"as_tensor": {"name": result}}]
    graph["tensor_values"][result] = graph["tensor_values"]["x"]
