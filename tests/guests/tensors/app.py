"""Checks tensors in a guest, and the errors of models: `app.py` of a new guest, for the tests."""

import checks
from models import Model, ModelError
from tensors import Tensor
from wit_world import exports


class Run(exports.Run):
    """The export `wasi:cli/run`."""

    def run(self) -> None:
        for check in checks.CHECKS:
            check()
            print(check.__name__)
        with Model("echo") as model:
            for dtype in ["FP16", "BF16", "FP32", "FP64", "U8", "I32", "I64"]:
                tensor = Tensor.of(bytes(16), dtype)
                assert model.compute({"x": tensor}) == {"y": tensor}, dtype
            try:
                model.compute({"x": [1, 2], "more": 3})
            except ModelError as error:
                print(error.code, error.data, error, sep="|")
        try:
            Model("ech")
        except ModelError as error:
            print(error)
