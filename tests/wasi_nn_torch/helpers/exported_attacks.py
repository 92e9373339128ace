"""Exported programs that do harm: each makes a folder of the host when it is loaded or computed."""

import io
import json
import os
import pickle
from collections.abc import Callable
from typing import Any

import torch

from tests.wasi_nn_torch.helpers.exported_models import CONSTANTS, PROGRAM, SAMPLES, WEIGHTS, changed, graph_of, small
from tests.wasi_nn_torch.helpers.guest_models import files, written

Document = dict[str, Any]
MODULE = "imported_by_the_guest"
"""A module on the victim's path, which makes a folder of its own name when it is imported."""

MAPS_FILES = "torch.ops.aten.from_file.default"
WITHOUT_GRADIENTS = "torch.ops.higher_order.wrap_with_set_grad_enabled"

SMALL = small()


class Makes:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._path,)


def pickled(path: str) -> bytes:
    file = io.BytesIO()
    torch.save({"0": Makes(path)}, file)
    return file.getvalue()


def make(path: str) -> str:
    return f"__import__('os').mkdir('{path}')"


def sample_inputs(path: str) -> bytes:
    return written({**files(SMALL), SAMPLES: pickled(path)})


def use_pickle(document: Document) -> None:
    for payload in document["config"].values():
        payload["use_pickle"] = True


def weights(path: str) -> bytes:
    return changed(SMALL, use_pickle, WEIGHTS, **{"data/weights/weight_0": pickled(path)})


def constants(path: str) -> bytes:
    return changed(SMALL, use_pickle, CONSTANTS, **{"data/constants/tensor_0": pickled(path)})


def legacy_weights(path: str) -> bytes:
    return written({**files(SMALL), "data/weights/model.pt": pickled(path)})


def legacy_constants(path: str) -> bytes:
    return written({**files(SMALL), "data/constants/model.pt": pickled(path)})


def opaque_object(path: str) -> bytes:
    def change(document: Document) -> None:
        payload = next(iter(document["config"].values()))
        document["config"]["evil"] = {**payload, "path_name": "opaque_obj_0", "use_pickle": True}

    return changed(SMALL, change, CONSTANTS, **{"data/constants/opaque_obj_0": pickle.dumps(Makes(path))})


def size(path: str) -> bytes:
    def change(document: Document) -> None:
        next(s for s in graph_of(document)["tensor_values"]["x"]["sizes"] if "as_expr" in s)["as_expr"]["expr_str"] = (
            make(path)
        )

    return changed(SMALL, change)


def guard(path: str) -> bytes:
    return changed(SMALL, lambda document: document.update(guards_code=[f"{make(path)} is None or L['x']"]))


def renamed(document: Document, old: str, new: str) -> Document:
    return json.loads(json.dumps(document).replace(f'"{old}"', json.dumps(new)))


def head_of_function(path: str) -> str:
    """A name that PyTorch prints into the head of a function, and once more behind it: between both is a string."""
    return f'x={make(path)} or """):#'


def input_name(path: str) -> bytes:
    """The name of an input."""

    def change(document: Document) -> None:
        document["graph_module"] = renamed(document["graph_module"], "x", head_of_function(path))

    return changed(SMALL, change)


def parameter(path: str) -> bytes:
    """The name of a parameter."""

    def change(document: Document) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [head_of_function(path)]

    return changed(SMALL, change)


def container(path: str) -> bytes:
    context = {"default_factory_module": MODULE, "default_factory_name": "list", "dict_context": ["a"]}

    def change(document: Document) -> None:
        call = document["graph_module"]["module_call_graph"][0]["signature"]
        leaf = {"type": None, "context": None, "children_spec": []}
        spec = {"type": "collections.defaultdict", "context": context, "children_spec": [leaf]}
        call["out_spec"] = json.dumps([1, spec])

    return changed(SMALL, change)


def called(target: str, **arguments: Any) -> Callable[[Document], None]:
    """Call something on the input first."""

    def change(document: Document) -> None:
        inputs = [{"name": name, "arg": argument, "kind": 1} for name, argument in arguments.items()]
        node = {"target": target, "inputs": inputs, "outputs": [{"as_none": True}], "metadata": {}, "name": "evil"}
        graph_of(document)["nodes"].insert(0, node)

    return change


def mapped(path: str) -> dict[str, Any]:
    return {"filename": {"as_string": path}, "shared": {"as_bool": True}, "size": {"as_int": 4}}


def mapped_file(path: str) -> bytes:
    """A file that is mapped into memory is made where there is none."""
    return changed(SMALL, called(MAPS_FILES, **mapped(path)))


def nested(path: str) -> bytes:
    """A call in a part of the program."""

    def change(document: Document) -> None:
        inner = {"graph_module": {"graph": {**graph_of(document), "nodes": [], "inputs": [], "outputs": []}}}
        called(MAPS_FILES, **mapped(path))(inner)
        part = {"as_graph": {"name": "submod_1", "graph": graph_of(inner)}}
        called(WITHOUT_GRADIENTS, enable_grad={"as_bool": True}, wrapped_func=part)(document)

    return changed(SMALL, change)


ATTACKS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "pickled sample inputs": (sample_inputs, ""),
    "pickled weights": (weights, f"{WEIGHTS} at config.linear.weight.use_pickle: `True` is not allowed there"),
    "pickled constants": (constants, f"{CONSTANTS} at config."),
    "weights of the older layout": (legacy_weights, "data/weights/model.pt: it is a pickle"),
    "constants of the older layout": (legacy_constants, "data/constants/model.pt: it is a pickle"),
    "an opaque object": (opaque_object, "data/constants/opaque_obj_0: it is a pickle"),
    "the expression of a size": (size, f"{PROGRAM} at graph_module.graph.tensor_values.x.sizes.0.as_expr.expr_str:"),
    "a guard": (guard, f"{PROGRAM} at guards_code.0:"),
    "the name of an input": (input_name, f"{PROGRAM} at graph_module.graph.inputs.4.as_tensor.name:"),
    "the name of a parameter": (parameter, "forward_arg_names.0:"),
    "an import by a container": (container, "a container of the type `'collections.defaultdict'`"),
    "an operator that maps files": (mapped_file, "it calls `'torch.ops.aten.from_file.default'`"),
    "an operator in a part of the program": (nested, "it calls `'torch.ops.aten.from_file.default'`"),
}
