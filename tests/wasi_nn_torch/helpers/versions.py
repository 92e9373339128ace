"""Guests for each WIT version of wasi-nn: components that hold the handles, and pass on every call to the host.

They export all that they import, so a test calls them as they call the host. `command` makes a small program.
"""

from __future__ import annotations

import importlib
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import wasmtime

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest
from tests.guests.tools import wasm_tools
from wasi_nn_torch import Engine, Limits, hosts
from wasi_nn_torch.contract.ledger import Ledger
from wit_host import Store
from witgen.generate import Target, generate

STEPWISE = ["2024-06-25", "2024-08-19"]
VERSIONS = [*STEPWISE, "2024-10-28"]
INTERFACES = ["errors", "graph", "inference", "tensor"]

#: The bytes of one element.
SIZES = {"FP16": 2, "FP32": 4, "FP64": 8, "BF16": 2, "U8": 1, "I32": 4, "I64": 8}


@dataclass(frozen=True)
class Package:
    """A guest, and the generated package with which its exports are called."""

    wasm: bytes
    bindings: ModuleType


@cache
def guest_of(*versions: str) -> Package:
    """The guest of these versions; with several of them, the names in its package have the version in them."""
    with tempfile.TemporaryDirectory() as name:
        wit = _put_wit(
            Path(name) / "wit",
            versions,
            "guest",
            *(
                f"{direction} wasi:nn/{interface}@0.2.0-rc-{version};"
                for version in versions
                for interface in INTERFACES
                for direction in ("import", "export")
            ),
        )
        package = "guest_of_" + "_and_".join(version.replace("-", "_") for version in versions)
        for file, text in generate(Target((wit,), Path(name), package=package)).items():
            path = Path(name) / package / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sys.path.insert(0, name)
        try:
            importlib.invalidate_caches()
            bindings = importlib.import_module(package)
        finally:
            sys.path.remove(name)
        return Package(forwarding_guest(wit), bindings)


def _put_wit(folder: Path, versions: tuple[str, ...], world: str, *items: str) -> Path:
    """A folder with a package of one world, and the packages of the versions that it uses."""
    for version in versions:
        (folder / "deps" / version).mkdir(parents=True)
        (folder / "deps" / version / "nn.wit").write_text((ROOT / "wit" / version / "nn.wit").read_text())
    (folder / "guest.wit").write_text("\n".join(["package test:guest;", f"world {world} {{", *items, "}"]))
    return folder


@dataclass
class Guest:
    """A running guest in one of its versions, and what of it lives in the host. `suffix` is that of the names."""

    version: str
    suffix: str
    bindings: ModuleType
    exports: object
    store: Store
    ledger: Ledger

    def __getattr__(self, interface: str) -> object:
        """An interface that the guest exports, such as `graph`."""
        if interface not in INTERFACES:
            raise AttributeError(interface)
        return getattr(self.exports, interface + self.suffix)

    def types(self, interface: str) -> ModuleType:
        """The types of an interface."""
        return getattr(self.bindings, interface + self.suffix)

    @property
    def refusal(self) -> type[Exception]:
        """What an error of wasi-nn is raised as."""
        return getattr(self.bindings.exports, f"errors{self.suffix}").ErrorException

    def floats(self, *values: float, shape: list[int] | None = None) -> object:
        """The guest makes a tensor of FP32."""
        data = struct.pack(f"<{len(values)}f", *values)
        shape = [len(values)] if shape is None else shape
        return self.tensor.new_tensor(shape, self.types("tensor").TensorType.FP32, data)

    def context(self, name: str) -> object:
        """The guest gets a graph, makes a context, and drops the graph."""
        with self.graph.load_by_name(name) as graph:
            return graph.init_execution_context()

    def compute(self, context: object, inputs: dict[str, object], *names: str) -> list[object]:
        """Run a context and get outputs, in whatever way this version has it."""
        if self.version not in STEPWISE:
            made = dict(context.compute(list(inputs.items())))
            return [made[name] for name in names]
        for name, tensor in inputs.items():
            context.set_input(name, tensor)
        context.compute()
        return [context.get_output(name) for name in names]

    @property
    def live(self) -> int:
        """How many tensors live."""
        return self.ledger.snapshot().live_tensors


def floats(tensor: object) -> list[float]:
    """The elements of a tensor of FP32, as the guest reads them."""
    data = tensor.data()
    return list(struct.unpack(f"<{len(data) // 4}f", data))


@contextmanager
def open_guests(
    engine: Engine, *versions: str, serving: object = None, limits: Limits | None = None
) -> Iterator[list[Guest]]:
    """Run one guest of all these versions, and nothing of it may be left in the host afterwards."""
    limits = limits or Limits()
    package, ledger = guest_of(*versions), Ledger(limits.device_bytes, limits.host_bytes, limits.tensors)
    with engine._runtime.open_store(wasmtime.WasiConfig(), limits) as store:
        hosts.add_to_linker(store.linker)
        hosts.serve(store, serving or engine._runtime.serve(ledger))
        exports = package.bindings.Guest(store.instantiate(engine.compile(package.wasm).compiled))
        suffixes = [f"_v0_2_0_rc_{version.replace('-', '_')}" if versions[1:] else "" for version in versions]
        yield [
            Guest(version, suffix, package.bindings, exports, store, ledger)
            for version, suffix in zip(versions, suffixes, strict=True)
        ]
    assert ledger.snapshot().live_tensors == 0
    assert len(store.state.table) == 0


@contextmanager
def open_guest(engine: Engine, version: str, **options: object) -> Iterator[Guest]:
    """Run a guest of one version."""
    with open_guests(engine, version, **options) as [guest]:
        yield guest


def command(version: str, ending: str = "") -> bytes:
    """A program on one of the stepwise versions: its status is 0 if the graph `add` makes 3.0 of 1.0 and 2.0.

    It leaves everything behind. `ending` is what it does last, in WebAssembly's text format.
    """
    with tempfile.TemporaryDirectory() as name:
        wit = _put_wit(
            Path(name) / "wit",
            (version,),
            "program",
            *(f"import wasi:nn/{interface}@0.2.0-rc-{version};" for interface in INTERFACES),
            "export wasi:cli/run@0.2.0;",
        )
        (wit / "deps" / "cli.wit").write_text("package wasi:cli@0.2.0; interface run { run: func() -> result; }")
        (wit.parent / "core.wat").write_text(_CORE.replace("VERSION", version).replace("ENDING", ending))
        core, made = wit.parent / "core.wasm", wit.parent / "made.wasm"
        wasm_tools("component", "embed", wit, "--world", "program", wit.parent / "core.wat", "-o", core)
        wasm_tools("component", "new", core, "-o", made)
        return made.read_bytes()


# Names are at 0, elements at 32, the size of a tensor at 40; 64 is where results go, 1024 where data goes.
_CORE = """
(module
  (import "wasi:nn/graph@0.2.0-rc-VERSION" "load-by-name" (func $load (param i32 i32 i32)))
  (import "wasi:nn/graph@0.2.0-rc-VERSION" "[method]graph.init-execution-context" (func $init (param i32 i32)))
  (import "wasi:nn/tensor@0.2.0-rc-VERSION" "[constructor]tensor" (func $make (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:nn/tensor@0.2.0-rc-VERSION" "[method]tensor.data" (func $data (param i32 i32)))
  (import "wasi:nn/inference@0.2.0-rc-VERSION" "[method]graph-execution-context.set-input"
    (func $set (param i32 i32 i32 i32 i32)))
  (import "wasi:nn/inference@0.2.0-rc-VERSION" "[method]graph-execution-context.compute"
    (func $compute (param i32 i32)))
  (import "wasi:nn/inference@0.2.0-rc-VERSION" "[method]graph-execution-context.get-output"
    (func $get (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "add")
  (data (i32.const 8) "x")
  (data (i32.const 12) "y")
  (data (i32.const 16) "output")
  (data (i32.const 32) "\\00\\00\\80\\3f\\00\\00\\00\\40\\01\\00\\00\\00")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  ;; What a call answered with; traps where it was an error.
  (func $ok (result i32)
    (if (i32.load8_u (i32.const 64)) (then unreachable))
    (i32.load (i32.const 68)))
  (func $input (param $context i32) (param $name i32) (param $element i32)
    (call $set (local.get $context) (local.get $name) (i32.const 1)
      (call $make (i32.const 40) (i32.const 1) (i32.const 1) (local.get $element) (i32.const 4))
      (i32.const 64))
    (drop (call $ok)))
  (func (export "wasi:cli/run@0.2.0#run") (result i32)
    (local $context i32)
    (call $load (i32.const 0) (i32.const 3) (i32.const 64))
    (call $init (call $ok) (i32.const 64))
    (local.set $context (call $ok))
    (call $input (local.get $context) (i32.const 8) (i32.const 32))
    (call $input (local.get $context) (i32.const 12) (i32.const 36))
    (call $compute (local.get $context) (i32.const 64))
    (drop (call $ok))
    (call $get (local.get $context) (i32.const 16) (i32.const 6) (i32.const 64))
    (call $data (call $ok) (i32.const 64))
    ENDING
    (f32.ne (f32.load (i32.load (i32.const 64))) (f32.const 3)))
)
"""
