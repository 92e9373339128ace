"""Pipelines whose module is text: the name of the first input says what they do with a request.

| name of the first input | what the pipeline does |
| --- | --- |
| `compute` | returns the outputs of the graph `net` for the other inputs |
| `fail` | answers with the status 422 and the text `not today` |
| `status` | answers with the status 99, which is none of HTTP |
| `trap`, `loop` | traps; never returns |
| `grow` | takes all memory that it gets, and then traps |
| `wrong` | returns a tensor whose bytes do not fill its dimensions |
| `flood` | returns 1,000 tensors of 1 MB |
| `names` | returns its inputs, all of them called `same` |
| `count` | returns how often this instance was called, as I32 |
| `who` | returns the `id` and the `tenant` of the request as U8, and the time that is `left` as I64 |
| `keep` | keeps its first input, and returns the others |
| `shout`, `error` | writes lines to standard output, and one line to standard error, without end |
| `talk` | writes 4,096 bytes to standard output, and returns its inputs |
| `bring` | loads the bytes of its second input as TorchScript, and returns the outputs for the others |
| any other | returns its inputs |

`shout`, `error` and `talk` need WASI: see `talking`.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tests.conftest import ROOT
from tests.guests.tools import wasm_tools

VERSION = "0.2.0-rc-2024-10-28"

# 0: names; 100: sizes; 120: a count; 200: the result; 240: what imports return; 300: a list of one named tensor; 400:
# the description; 20,000: the list of a flood; 40,000: what the host passes.
CORE = """
(module
  (import "wasi:nn/graph@VERSION" "load-by-name" (func $by-name (param i32 i32 i32)))
  (import "wasi:nn/graph@VERSION" "load" (func $load (param i32 i32 i32 i32 i32)))
  (import "wasi:nn/tensor@VERSION" "[method]tensor.data" (func $data (param i32 i32)))
  (import "wasi:nn/graph@VERSION" "[method]graph.init-execution-context" (func $init (param i32 i32)))
  (import "wasi:nn/graph@VERSION" "[resource-drop]graph" (func $drop-graph (param i32)))
  (import "wasi:nn/inference@VERSION" "[method]graph-execution-context.compute" (func $run (param i32 i32 i32 i32)))
  (import "wasi:nn/inference@VERSION" "[resource-drop]graph-execution-context" (func $drop-context (param i32)))
  (import "wasi:nn/tensor@VERSION" "[constructor]tensor" (func $tensor (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:nn/tensor@VERSION" "[resource-drop]tensor" (func $drop (param i32)))
  IMPORTS
  (memory (export "memory") 40)
  (data (i32.const 0) "net")
  (data (i32.const 8) "not today")
  (data (i32.const 20) "same")
  (data (i32.const 28) "count")
  (data (i32.const 40) "idtenantleft")
  (global $next (mut i32) (i32.const 40000))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  ;; the host has read what the last call returned before it passes more
  (func $ok (param $list i32) (param $length i32) (result i32)
    (global.set $next (i32.const 40000))
    (i32.store (i32.const 200) (i32.const 0))
    (i32.store (i32.const 204) (local.get $list))
    (i32.store (i32.const 208) (local.get $length))
    (i32.const 200))
  (func $drop-all (param $list i32) (param $length i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $list) (i32.mul (local.get $length) (i32.const 12))))
    (loop $again
      (call $drop (i32.load offset=8 (local.get $list)))
      (local.set $list (i32.add (local.get $list) (i32.const 12)))
      (br_if $again (i32.lt_u (local.get $list) (local.get $end)))))
  (func $failure (param $status i32) (param $list i32) (param $length i32) (result i32)
    (call $drop-all (local.get $list) (local.get $length))
    (global.set $next (i32.const 40000))
    (i32.store (i32.const 200) (i32.const 1))
    (i32.store (i32.const 204) (local.get $status))
    (i32.store (i32.const 208) (i32.const 8))
    (i32.store (i32.const 212) (i32.const 9))
    (i32.const 200))
  (func $answer (result i32)
    (if (i32.load8_u (i32.const 240)) (then unreachable))
    (i32.load (i32.const 244)))
  (func $compute (param $list i32) (param $length i32) (result i32)
    (call $drop (i32.load offset=8 (local.get $list)))
    (call $by-name (i32.const 0) (i32.const 3) (i32.const 240))
    (call $use (call $answer) (local.get $list) (local.get $length)))
  (func $bring (param $list i32) (param $length i32) (result i32)
    (call $drop (i32.load offset=8 (local.get $list)))
    (local.set $list (i32.add (local.get $list) (i32.const 12)))
    (call $data (i32.load offset=8 (local.get $list)) (i32.const 100)) ;; a list of one list of bytes
    (call $drop (i32.load offset=8 (local.get $list)))
    (call $load (i32.const 100) (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 240))
    (call $use (call $answer) (local.get $list) (i32.sub (local.get $length) (i32.const 1))))
  (func $use (param $graph i32) (param $list i32) (param $length i32) (result i32)
    (local $context i32) (local $outputs i32)
    (call $init (local.get $graph) (i32.const 240))
    (local.set $context (call $answer))
    (call $drop-graph (local.get $graph))
    (call $run (local.get $context) (i32.add (local.get $list) (i32.const 12))
      (i32.sub (local.get $length) (i32.const 1)) (i32.const 240))
    (local.set $outputs (call $answer))
    (call $drop-context (local.get $context))
    (call $ok (local.get $outputs) (i32.load (i32.const 248))))
  (func $one (param $name i32) (param $length i32) (param $tensor i32) (result i32)
    (i32.store (i32.const 300) (local.get $name))
    (i32.store (i32.const 304) (local.get $length))
    (i32.store (i32.const 308) (local.get $tensor))
    (call $ok (i32.const 300) (i32.const 1)))
  (func $wrong (result i32)
    (i32.store (i32.const 100) (i32.const 3))
    (call $one (i32.const 20) (i32.const 4)
      (call $tensor (i32.const 100) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 8))))
  (func $count (result i32)
    (i32.store (i32.const 120) (i32.add (i32.load (i32.const 120)) (i32.const 1)))
    (i32.store (i32.const 100) (i32.const 1))
    (call $one (i32.const 28) (i32.const 5)
      (call $tensor (i32.const 100) (i32.const 1) (i32.const 5) (i32.const 120) (i32.const 4))))
  (func $text (param $at i32) (param $name i32) (param $length i32) (param $text i32) (param $size i32)
    (i32.store (i32.const 100) (local.get $size))
    (i32.store (local.get $at) (local.get $name))
    (i32.store offset=4 (local.get $at) (local.get $length))
    (i32.store offset=8 (local.get $at)
      (call $tensor (i32.const 100) (i32.const 1) (i32.const 4) (local.get $text) (local.get $size))))
  (func $who (param $id i32) (param $id-size i32) (param $tenant i32) (param $tenant-size i32) (param $left i64)
    (result i32)
    (call $text (i32.const 300) (i32.const 40) (i32.const 2) (local.get $id) (local.get $id-size))
    (call $text (i32.const 312) (i32.const 42) (i32.const 6) (local.get $tenant) (local.get $tenant-size))
    (i64.store (i32.const 120) (local.get $left))
    (i32.store (i32.const 100) (i32.const 1))
    (i32.store (i32.const 324) (i32.const 48))
    (i32.store (i32.const 328) (i32.const 4))
    (i32.store (i32.const 332)
      (call $tensor (i32.const 100) (i32.const 1) (i32.const 6) (i32.const 120) (i32.const 8)))
    (call $ok (i32.const 300) (i32.const 3)))
  (func $flood (result i32)
    (local $at i32)
    (i32.store (i32.const 100) (i32.const 1000000))
    (local.set $at (i32.const 20000))
    (loop $again
      (i32.store (local.get $at) (i32.const 20))
      (i32.store offset=4 (local.get $at) (i32.const 4))
      (i32.store offset=8 (local.get $at)
        (call $tensor (i32.const 100) (i32.const 1) (i32.const 4) (i32.const 50000) (i32.const 1000000)))
      (local.set $at (i32.add (local.get $at) (i32.const 12)))
      (br_if $again (i32.lt_u (local.get $at) (i32.const 32000))))
    (call $ok (i32.const 20000) (i32.const 1000)))
  (func $names (param $list i32) (param $length i32) (result i32)
    (local $at i32)
    (loop $again
      (i32.store (i32.add (local.get $list) (i32.mul (local.get $at) (i32.const 12))) (i32.const 20))
      (i32.store offset=4 (i32.add (local.get $list) (i32.mul (local.get $at) (i32.const 12))) (i32.const 4))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $at) (local.get $length))))
    (call $ok (local.get $list) (local.get $length)))
  ;; id, tenant, time-left, parameters, outputs, inputs
  (func (export "wasi-nn-torch:pipeline/handler@0.1.0#infer")
    (param $id i32) (param $id-size i32) (param i32) (param $tenant i32) (param $tenant-size i32)
    (param i32) (param $left i64) (param i32 i32) (param i32 i32)
    (param $list i32) (param $length i32) (result i32)
    (local $what i32)
    (if (i32.eqz (local.get $length)) (then (return (call $ok (i32.const 0) (i32.const 0)))))
    ;; the first two characters of the name
    (local.set $what (i32.load16_u (i32.load (local.get $list))))
    (if (i32.eq (local.get $what) (i32.const 0x6f63)) ;; co…
      (then
        (if (i32.eq (i32.load8_u offset=2 (i32.load (local.get $list))) (i32.const 0x6d))
          (then (return (call $compute (local.get $list) (local.get $length))))
          (else (call $drop-all (local.get $list) (local.get $length)) (return (call $count))))))
    (if (i32.eq (local.get $what) (i32.const 0x7262))
      (then (return (call $bring (local.get $list) (local.get $length))))) ;; br
    (if (i32.eq (local.get $what) (i32.const 0x6166)) ;; fa
      (then (return (call $failure (i32.const 422) (local.get $list) (local.get $length)))))
    (if (i32.eq (local.get $what) (i32.const 0x7473)) ;; st
      (then (return (call $failure (i32.const 99) (local.get $list) (local.get $length)))))
    (if (i32.eq (local.get $what) (i32.const 0x7274)) (then unreachable)) ;; tr
    (if (i32.eq (local.get $what) (i32.const 0x6f6c)) (then (loop $ever (br $ever)))) ;; lo
    (if (i32.eq (local.get $what) (i32.const 0x7267)) ;; gr
      (then (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable))
    (if (i32.eq (local.get $what) (i32.const 0x7277)) ;; wr
      (then (call $drop-all (local.get $list) (local.get $length)) (return (call $wrong))))
    (if (i32.eq (local.get $what) (i32.const 0x6c66)) (then (return (call $flood)))) ;; fl
    (if (i32.eq (local.get $what) (i32.const 0x616e)) ;; na
      (then (return (call $names (local.get $list) (local.get $length)))))
    (if (i32.eq (local.get $what) (i32.const 0x6877)) ;; wh
      (then
        (call $drop-all (local.get $list) (local.get $length))
        (return (call $who (local.get $id) (local.get $id-size)
        (local.get $tenant) (local.get $tenant-size) (local.get $left)))))
    (if (i32.eq (local.get $what) (i32.const 0x656b)) ;; ke
      (then (return (call $ok (i32.add (local.get $list) (i32.const 12))
        (i32.sub (local.get $length) (i32.const 1))))))
    TALK
    (call $ok (local.get $list) (local.get $length)))
  DESCRIBE
)
"""

#: The functions of WASI that a pipeline needs to write, and what it writes from: 16,384.
WRITING = """
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-stream (param i32)))
"""

TALKING = """
    (memory.fill (i32.const 16384) (i32.const 0x61) (i32.const 4096))
    (if (i32.eq (local.get $what) (i32.const 0x7265)) ;; er
      (then
        (local.set $what (call $stderr))
        (loop $more (call $write (local.get $what) (i32.const 16384) (i32.const 4096) (i32.const 240)) (br $more))))
    (i32.store8 (i32.const 17000) (i32.const 10))
    (if (i32.eq (local.get $what) (i32.const 0x6873)) ;; sh
      (then
        (memory.fill (i32.const 16384) (i32.const 10) (i32.const 4096))
        (local.set $what (call $stdout))
        (loop $more (call $write (local.get $what) (i32.const 16384) (i32.const 4096) (i32.const 240)) (br $more))))
    (if (i32.eq (local.get $what) (i32.const 0x6174)) ;; ta
      (then
        (local.set $what (call $stdout))
        (call $write (local.get $what) (i32.const 16384) (i32.const 4096) (i32.const 240))
        (call $drop-stream (local.get $what))))
"""

_WORLD = """
package tests:talking;
world talking {
    include wasi-nn-torch:pipeline/pipeline@0.1.0;
    import wasi:cli/stdout@0.2.0;
    import wasi:cli/stderr@0.2.0;
}
"""

NOTHING = """
  (func (export "wasi-nn-torch:pipeline/handler@0.1.0#describe") (result i32)
    (i32.store (i32.const 400) (i32.const 0))
    (i32.const 400))
"""

_DATATYPES = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 BF16 BYTES".split()

#: The name, the datatype and the shape of an input or output.
Described = tuple[str, str, tuple[int, ...]]


def pipeline(inputs: tuple[Described, ...] | None = None, outputs: tuple[Described, ...] = ()) -> bytes:
    """A pipeline that describes these inputs and outputs, or nothing."""
    core = CORE.replace("IMPORTS", "").replace("TALK", "")
    return _component(core.replace("DESCRIBE", NOTHING if inputs is None else _describing(inputs, outputs)))


def talking() -> bytes:
    """A pipeline that describes nothing, and can write to its standard streams."""
    core = CORE.replace("IMPORTS", WRITING).replace("TALK", TALKING).replace("DESCRIBE", NOTHING)
    return _component(core, "tests:talking/talking")


@cache
def _component(core: str, world: str = "wasi-nn-torch:pipeline/pipeline@0.1.0") -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deps = folder / "wit" / "deps"
        deps.mkdir(parents=True)
        for file in (
            ROOT / "wit/2024-10-28/nn.wit",
            ROOT / "wit/pipeline/pipeline.wit",
            *ROOT.glob("wit/wasi/deps/*.wit"),
        ):
            (deps / file.name).write_text(file.read_text())
        (folder / "wit" / "world.wit").write_text(_WORLD)
        (folder / "core.wat").write_text(core.replace("VERSION", VERSION))
        embed = ("component", "embed", "--world", world)
        wasm_tools(*embed, folder / "wit", folder / "core.wat", "-o", folder / "core.wasm")
        wasm_tools("component", "new", folder / "core.wasm", "-o", folder / "pipeline.wasm")
        return (folder / "pipeline.wasm").read_bytes()


def _describing(inputs: tuple[Described, ...], outputs: tuple[Described, ...]) -> str:
    """The function `describe`, and data from 400 on that it returns."""
    rows = [*inputs, *outputs]
    at = 424 + 20 * len(rows)
    tail = bytearray()
    table = bytearray()
    for name, datatype, shape in rows:
        tail += bytes(-(at + len(tail)) % 8)
        sizes = at + len(tail)
        tail += b"".join(size.to_bytes(8, "little", signed=True) for size in shape)
        text = at + len(tail)
        tail += name.encode()
        table += b"".join(number.to_bytes(4, "little") for number in (text, len(name), _DATATYPES.index(datatype)))
        table += b"".join(number.to_bytes(4, "little") for number in (sizes, len(shape)))
    lists = (424, len(inputs), 424 + 20 * len(inputs), len(outputs))
    head = (1).to_bytes(4, "little") + b"".join(number.to_bytes(4, "little") for number in lists)
    content = "".join(f"\\{byte:02x}" for byte in (head + bytes(4) + table + tail))
    return f"""
  (data (i32.const 400) "{content}")
  (func (export "wasi-nn-torch:pipeline/handler@0.1.0#describe") (result i32) (i32.const 400))
"""
