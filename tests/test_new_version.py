"""The walk through CONTRIBUTING.md that adds a version of wasi-nn, with a version that nobody has published."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest

OLD, NEW = "2024-10-28", "2099-01-01"
ADDITION = "compute-all: func(inputs: list<list<named-tensor>>) -> result<list<list<named-tensor>>, error>;"
METHOD = """
    def compute_all(
        self, inputs: list[list[tuple[str, tensor.Tensor]]]
    ) -> list[list[tuple[str, tensor.Tensor]]]:
        return [self.compute(each) for each in inputs]
"""
GUEST = f"""
package test:guest;
world guest {{
    use wasi:nn/graph@0.2.0-rc-{NEW}.{{graph}};
    use wasi:nn/errors@0.2.0-rc-{NEW}.{{error}};
    import wasi:nn/inference@0.2.0-rc-{NEW};
    export load-by-name: func(name: string) -> result<graph, error>;
}}
"""
HOST = """
import sys
from wasi_nn_bindings.v2099_01_01.errors import ERROR, ErrorException
from wasi_nn_bindings.v2099_01_01.graph import GRAPH
from wasi_nn_torch import Engine
from wasi_nn_torch import hosts
from wasi_nn_torch.hosts import v2099_01_01
from wasi_nn_torch.contract.ledger import Ledger
from wit_host import Engine as Guests, GuestFunction, GuestInterface, values as wit

LOAD = GuestFunction("load-by-name", {"name": wit.STRING}, wit.Result(wit.Own(GRAPH), wit.Own(ERROR), ErrorException))
guests = Guests()
with guests.store() as store:
    v2099_01_01.add_to_linker(store.linker)
    hosts.serve(store, Engine(device="cpu")._runtime.serve(Ledger()))
    guest = GuestInterface(store.instantiate(guests.compile(sys.argv[1])), None, [LOAD])
    try:
        LOAD(guest, "net")
    except ErrorException as error:
        print(error.value.code(), error.value.data())
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What of the checkout takes part, with the new version's WIT in its place."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("wit", "generated", "backend"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "wit" / OLD / "nn.wit").read_text()
    (folder / "wit" / NEW).mkdir()
    added = text.replace(OLD, NEW).replace("compute: func(", f"{ADDITION}\n        compute: func(", 1)
    assert ADDITION in added
    (folder / "wit" / NEW / "nn.wit").write_text(added)
    entry = f'wit = "wit/{NEW}"\nworld = "ml"\nout = "generated/wasi_nn_bindings"\npackage = "v2099_01_01"\n'
    project = (ROOT / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(f"{project}\n[[tool.witgen.packages]]\n{entry}")
    return folder


def run(checkout, *arguments):
    roots = os.pathsep.join(str(checkout / root) for root in ("backend", "generated"))
    environment = {**os.environ, "PYTHONPATH": roots, "MYPYPATH": roots}
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=checkout, env=environment, timeout=300
    )
    return result.returncode, result.stdout + result.stderr


def adapter(checkout):
    return checkout / "backend" / "wasi_nn_torch" / "hosts" / "v2099_01_01.py"


def mypy(checkout):
    return run(checkout, "-m", "mypy", "--strict", "--follow-imports=silent", str(adapter(checkout)))


@pytest.mark.slow
def test_a_version_is_added_as_the_walk_through_says(checkout, tmp_path):
    status, output = run(checkout, "-m", "witgen", "generate")
    assert status == 0, output
    assert "generated/wasi_nn_bindings/v2099_01_01: 6 files written" in output

    old = (checkout / "backend" / "wasi_nn_torch" / "hosts" / "v2024_10_28.py").read_text()
    adapter(checkout).write_text(old.replace("v2024_10_28", "v2099_01_01"))
    status, output = mypy(checkout)
    assert status == 1
    assert 'Cannot instantiate abstract class "_Context" with abstract attribute "compute_all"' in output

    text = adapter(checkout).read_text()
    adapter(checkout).write_text(text.replace("\n    def compute(", f"{METHOD}\n    def compute(", 1))
    status, output = mypy(checkout)
    assert status == 0, output

    (tmp_path / "wit" / "deps").mkdir(parents=True)
    (tmp_path / "wit" / "guest.wit").write_text(GUEST)
    shutil.copy(checkout / "wit" / NEW / "nn.wit", tmp_path / "wit" / "deps" / "nn.wit")
    (tmp_path / "guest.wasm").write_bytes(forwarding_guest(tmp_path / "wit"))
    status, output = run(checkout, "-c", HOST, str(tmp_path / "guest.wasm"))
    assert status == 0, output
    assert output.startswith("ErrorCode.NOT_FOUND "), output
