"""A plugin: a guest of a world of its own, whose functions take and return tensors of wasi-nn.

Its module is text, so no toolchain for Python or C is needed.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from tests.conftest import ROOT
from tests.guests.tools import wasm_tools
from wasi_nn_torch import Engine
from wasi_nn_torch.sessions.session import Session
from witgen.generate import Target, generate
from witgen.mappings import parse_mappings

VERSION = "0.2.0-rc-2024-10-28"

WIT = f"""
package test:plugin;
interface guard {{
    use wasi:nn/tensor@{VERSION}.{{tensor}};
    /// The only output of a graph for the input `x`; traps if there is none.
    compute: func(graph: string, x: tensor) -> tensor;
    /// An output of a model that the guest supplies, on the target `gpu` or `cpu`.
    compute-own: func(model: list<u8>, x: tensor, gpu: bool) -> tensor;
    /// The elements of a tensor, which its owner keeps.
    read: func(x: borrow<tensor>) -> list<u8>;
    /// How many bytes two tensors have together, which may be the same one.
    count: func(x: borrow<tensor>, y: borrow<tensor>) -> u32;
    /// A new vector of FP32.
    make: func(size: u32, data: list<u8>) -> tensor;
    /// The same tensor.
    same: func(x: tensor) -> tensor;
    /// Keeps a tensor; the next call drops it.
    keep: func(x: tensor);
    /// The tensor that is kept.
    give-back: func() -> tensor;
    drop-it: func(x: tensor);
    /// Traps.
    crash: func(x: tensor);
}}
world plugin {{
    import wasi:nn/graph@{VERSION};
    import wasi:nn/inference@{VERSION};
    export guard;
}}
"""

# The name of the input is at 0, a size at 16, a named tensor at 32, builders at 48; 64 is where results go.
CORE = """
(module
  (import "wasi:nn/graph@VERSION" "load-by-name" (func $by-name (param i32 i32 i32)))
  (import "wasi:nn/graph@VERSION" "load" (func $load (param i32 i32 i32 i32 i32)))
  (import "wasi:nn/graph@VERSION" "[method]graph.init-execution-context" (func $init (param i32 i32)))
  (import "wasi:nn/graph@VERSION" "[resource-drop]graph" (func $drop-graph (param i32)))
  (import "wasi:nn/inference@VERSION" "[method]graph-execution-context.compute" (func $run (param i32 i32 i32 i32)))
  (import "wasi:nn/inference@VERSION" "[resource-drop]graph-execution-context" (func $drop-context (param i32)))
  (import "wasi:nn/tensor@VERSION" "[constructor]tensor" (func $tensor (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:nn/tensor@VERSION" "[method]tensor.data" (func $data (param i32 i32)))
  (import "wasi:nn/tensor@VERSION" "[resource-drop]tensor" (func $drop (param i32)))
  (memory (export "memory") 200)
  (data (i32.const 0) "x")
  (global $next (mut i32) (i32.const 1024))
  (global $kept (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  ;; The content of an answer, which is at 64; traps if it is an error.
  (func $ok (result i32)
    (if (i32.load8_u (i32.const 64)) (then unreachable))
    (i32.load (i32.const 68)))
  (func $compute (param $graph i32) (param $x i32) (result i32)
    (local $context i32)
    (call $init (local.get $graph) (i32.const 64))
    (local.set $context (call $ok))
    (call $drop-graph (local.get $graph))
    (i32.store (i32.const 32) (i32.const 0))
    (i32.store (i32.const 36) (i32.const 1))
    (i32.store (i32.const 40) (local.get $x))
    (call $run (local.get $context) (i32.const 32) (i32.const 1) (i32.const 64))
    (i32.load offset=8 (call $ok))
    (call $drop-context (local.get $context)))
  (func (export "test:plugin/guard#compute") (param $name i32) (param $length i32) (param $x i32) (result i32)
    (call $by-name (local.get $name) (local.get $length) (i32.const 64))
    (call $compute (call $ok) (local.get $x)))
  (func (export "test:plugin/guard#compute-own")
    (param $model i32) (param $size i32) (param $x i32) (param $gpu i32) (result i32)
    (i32.store (i32.const 48) (local.get $model))
    (i32.store (i32.const 52) (local.get $size))
    (call $load (i32.const 48) (i32.const 1) (i32.const 3) (local.get $gpu) (i32.const 64))
    (call $compute (call $ok) (local.get $x)))
  (func $bytes (param $x i32)
    (global.set $next (i32.const 1024))
    (call $data (local.get $x) (i32.const 64))
    (call $drop (local.get $x)))
  (func (export "test:plugin/guard#read") (param $x i32) (result i32)
    (call $bytes (local.get $x))
    (i32.const 64))
  (func (export "test:plugin/guard#count") (param $x i32) (param $y i32) (result i32)
    (call $bytes (local.get $x))
    (i32.load (i32.const 68))
    (call $bytes (local.get $y))
    (i32.add (i32.load (i32.const 68))))
  (func (export "test:plugin/guard#make") (param $size i32) (param $data i32) (param $length i32) (result i32)
    (i32.store (i32.const 16) (local.get $size))
    (call $tensor (i32.const 16) (i32.const 1) (i32.const 1) (local.get $data) (local.get $length))
    (global.set $next (i32.const 1024)))
  (func (export "test:plugin/guard#same") (param $x i32) (result i32) (local.get $x))
  (func (export "test:plugin/guard#keep") (param $x i32)
    (if (global.get $kept) (then (call $drop (global.get $kept))))
    (global.set $kept (local.get $x)))
  (func (export "test:plugin/guard#give-back") (result i32)
    (global.get $kept)
    (global.set $kept (i32.const 0)))
  (func (export "test:plugin/guard#drop-it") (param $x i32) (call $drop (local.get $x)))
  (func (export "test:plugin/guard#crash") (param $x i32) unreachable)
)
"""


@dataclass(frozen=True)
class Plugin:
    """The component, and the generated package with which its exports are called."""

    wasm: bytes
    bindings: ModuleType


@cache
def plugin() -> Plugin:
    """The plugin, with bindings that use those of wasi-nn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wit" / "deps").mkdir(parents=True)
        (folder / "wit" / "deps" / "nn.wit").write_text((ROOT / "wit" / "2024-10-28" / "nn.wit").read_text())
        (folder / "wit" / "plugin.wit").write_text(WIT)
        (folder / "core.wat").write_text(CORE.replace("VERSION", VERSION))
        wasm_tools("component", "embed", folder / "wit", folder / "core.wat", "-o", folder / "core.wasm")
        wasm_tools("component", "new", folder / "core.wasm", "-o", folder / "plugin.wasm")
        mappings = parse_mappings([(f"wasi:nn/*@{VERSION}", "wasi_nn_bindings.v2024_10_28")])
        target = Target((folder / "wit",), folder, package="tensor_plugin_bindings", mappings=mappings)
        for file, text in generate(target).items():
            path = folder / "tensor_plugin_bindings" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        sys.path.insert(0, name)
        try:
            importlib.invalidate_caches()
            bindings = importlib.import_module("tensor_plugin_bindings")
        finally:
            sys.path.remove(name)
        return Plugin((folder / "plugin.wasm").read_bytes(), bindings)


@contextmanager
def open_plugin(engine: Engine, **options: object) -> Iterator[tuple[Session, object]]:
    """A session, and the plugin that stays in it; nothing of it may be left in the host afterwards."""
    with engine.session(**options) as session:
        yield session, session.start(engine.compile(plugin().wasm), plugin().bindings.Guest).guard
    assert (session.stats.memory.live_tensors, session.stats.memory.live_bytes) == (0, 0)
