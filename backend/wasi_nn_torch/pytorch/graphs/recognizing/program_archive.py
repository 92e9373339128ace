"""The parts of an exported program's file that are read before PyTorch reads it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NamedTuple

import torch

from wasi_nn_torch.pytorch.graphs.inputs.structure import is_known, types_in

_PROGRAM = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"


class Classes(NamedTuple):
    """The classes of all containers that a program takes, those that it returns, and the fields of its NamedTuples."""

    taken: frozenset[str]
    returned: frozenset[str]
    fields: Mapping[str, Sequence[str]]


def classes_in(file: BinaryIO) -> Classes:
    """The classes that a program names; raises what PyTorch raises for a broken archive."""
    reader = torch._C.PyTorchFileReader(file)
    if _PROGRAM not in reader.get_all_records():
        return Classes(frozenset(), frozenset(), {})
    program = json.loads(reader.get_record(_PROGRAM))["graph_module"]
    signatures = [call["signature"] for call in program["module_call_graph"] if call.get("signature") is not None]
    tuples = program.get("treespec_namedtuple_fields", {})
    fields = {name: found["field_names"] for name, found in tuples.items()}
    taken, returned = ([types_in(each[spec]) for each in signatures] for spec in ("in_spec", "out_spec"))
    return Classes(frozenset().union(*taken), frozenset().union(*returned), fields)


def loadable(file: BinaryIO, classes: Classes) -> BinaryIO:
    """The file in a form that PyTorch can read: without the sample inputs if their classes are not installed."""
    file.seek(0)
    if all(map(is_known, classes.taken)):
        return file
    reader = torch._C.PyTorchFileReader(file)
    copied = io.BytesIO()
    with zipfile.ZipFile(copied, "w", zipfile.ZIP_STORED) as archive:
        for name in reader.get_all_records():
            archive.writestr(f"model/{name}", b"" if name == _SAMPLES else reader.get_record(name))
    copied.seek(0)
    return copied
