"""Guests in WAT that only call the host in a loop, to measure the boundary.

Each function of a guest takes the number of times to do its work, so that the cost of entering the guest is negligible.
"""

from __future__ import annotations

NN = "0.2.0-rc-2024-10-28"
API = "bench:host/api"
#: The imports of `BARE`.
WIT = """package bench:host;

interface api {
    empty: func(a: u32, b: u32) -> u32;
    take: func(data: list<u8>);
    give: func() -> list<u8>;
}

world bench {
    import api;
}
"""
#: The address of the bytes that guests pass, and the address at which their allocator starts.
_DATA, _HEAP = 1 << 20, 66 << 20

#: A memory, and an allocator that the guest rewinds, which is as fast as one that reuses freed memory. The passed bytes
#: are written once, since untouched memory is one shared page of zeros, which is faster to read than other memory.
_LIBC = f"""
  (core module $libc
    (memory (export "memory") 2120)
    (global $next (export "next") (mut i32) (i32.const {_HEAP}))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (local.get $at))
    (func $fill (memory.fill (i32.const {_DATA}) (i32.const 0x3f) (i32.const {64 << 20})))
    (start $fill))
  (core instance $libc (instantiate $libc))"""

_OPTIONS = '(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))'

_TENSOR = f"""
  (import "wasi:nn/tensor@{NN}" (instance $tensors
    (export "tensor" (type $tensor (sub resource)))
    (type $types (enum "FP16" "FP32" "FP64" "BF16" "U8" "I32" "I64"))
    (export "tensor-type" (type $type (eq $types)))
    (type $numbers (list u32))
    (export "tensor-dimensions" (type $dimensions (eq $numbers)))
    (type $bytes (list u8))
    (export "tensor-data" (type $data (eq $bytes)))
    (export "[constructor]tensor"
      (func (param "dimensions" $dimensions) (param "ty" $type) (param "data" $data) (result (own $tensor))))
    (export "[method]tensor.data" (func (param "self" (borrow $tensor)) (result $data)))))
  (alias export $tensors "tensor" (type $tensor))
  (alias export $tensors "[constructor]tensor" (func $new))
  (alias export $tensors "[method]tensor.data" (func $data))"""

_GRAPH = f"""
  (import "wasi:nn/errors@{NN}" (instance $errors (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:nn/inference@{NN}" (instance $inference
    (alias outer $guest $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (alias outer $guest $tensor (type $outer-tensor))
    (export "tensor" (type $tensor (eq $outer-tensor)))
    (type $pair (tuple string (own $tensor)))
    (export "named-tensor" (type $named (eq $pair)))
    (type $several (list $named))
    (type $answer (result $several (error (own $error))))
    (export "graph-execution-context" (type $context (sub resource)))
    (export "[method]graph-execution-context.compute"
      (func (param "self" (borrow $context)) (param "inputs" $several) (result $answer)))))
  (alias export $inference "graph-execution-context" (type $context))
  (alias export $inference "[method]graph-execution-context.compute" (func $compute))
  (import "wasi:nn/graph@{NN}" (instance $graphs
    (alias outer $guest $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (alias outer $guest $context (type $outer-context))
    (export "graph-execution-context" (type $context (eq $outer-context)))
    (export "graph" (type $graph (sub resource)))
    (type $found (result (own $graph) (error (own $error))))
    (type $made (result (own $context) (error (own $error))))
    (export "load-by-name" (func (param "name" string) (result $found)))
    (export "[method]graph.init-execution-context" (func (param "self" (borrow $graph)) (result $made)))))
  (alias export $graphs "load-by-name" (func $load-by-name))
  (alias export $graphs "[method]graph.init-execution-context" (func $init))"""

_LOWER_TENSOR = f"""
  (core func $new (canon lower (func $new) {_OPTIONS}))
  (core func $data (canon lower (func $data) {_OPTIONS}))
  (core func $drop (canon resource.drop $tensor))"""

_LOWER_GRAPH = f"""
  (core func $compute (canon lower (func $compute) {_OPTIONS}))
  (core func $load-by-name (canon lower (func $load-by-name) {_OPTIONS}))
  (core func $init (canon lower (func $init) {_OPTIONS}))"""

#: Addresses: the dimensions are at 16, the results of calls at 64, the inputs of a graph at 128, and its name at 256.
_CORE_TENSOR = f"""
    (import "libc" "memory" (memory 1))
    (import "libc" "next" (global $next (mut i32)))
    (import "nn" "new" (func $new (param i32 i32 i32 i32 i32) (result i32)))
    (import "nn" "data" (func $data (param i32 i32)))
    (import "nn" "drop" (func $drop (param i32)))
    (global $rank (mut i32) (i32.const 0))
    (global $size (mut i32) (i32.const 0))
    (global $kept (mut i32) (i32.const 0))
    (func $shape (export "shape") (param $rank i32) (param i32 i32 i32 i32)
      (global.set $rank (local.get $rank))
      (i32.store (i32.const 16) (local.get 1))
      (i32.store (i32.const 20) (local.get 2))
      (i32.store (i32.const 24) (local.get 3))
      (i32.store (i32.const 28) (local.get 4))
      (global.set $size (i32.mul (i32.const 4) (i32.mul
        (i32.mul (local.get 1) (local.get 2)) (i32.mul (local.get 3) (local.get 4))))))
    (func $make (result i32)
      (call $new (i32.const 16) (global.get $rank) (i32.const 1) (i32.const {_DATA}) (global.get $size)))
    (func $read (param $tensor i32)
      (call $data (local.get $tensor) (i32.const 64)))
    (func $tensors-in (export "tensors-in") (param $n i32)
      (loop $again
        (if (local.get $n) (then
          (global.set $next (i32.const {_HEAP}))
          (call $drop (call $make))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))
    (func $round-trips (param $n i32) (local $tensor i32)
      (loop $again
        (if (local.get $n) (then
          (global.set $next (i32.const {_HEAP}))
          (local.set $tensor (call $make))
          (call $read (local.get $tensor))
          (call $drop (local.get $tensor))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))
    (func $keep (export "keep") (global.set $kept (call $make)))
    (func $forget (export "forget") (call $drop (global.get $kept)))
    (func $tensors-out (export "tensors-out") (param $n i32)
      (loop $again
        (if (local.get $n) (then
          (global.set $next (i32.const {_HEAP}))
          (call $read (global.get $kept))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))"""

_CORE_GRAPH_IMPORTS = """
    (import "nn" "load-by-name" (func $load (param i32 i32 i32)))
    (import "nn" "init" (func $init (param i32 i32)))
    (import "nn" "compute" (func $compute (param i32 i32 i32 i32)))"""

_CORE_GRAPH = f"""
    (data (i32.const 256) "model")
    (data (i32.const 272) "0")
    (global $context (mut i32) (i32.const 0))
    (func $check (if (i32.load8_u (i32.const 64)) (then unreachable)))
    (func $open (export "open")
      (call $load (i32.const 256) (i32.const 5) (i32.const 64))
      (call $check)
      (call $init (i32.load (i32.const 68)) (i32.const 64))
      (call $check)
      (global.set $context (i32.load (i32.const 68))))
    (func $infer (export "infer") (param $n i32) (local $output i32)
      (loop $again
        (if (local.get $n) (then
          (global.set $next (i32.const {_HEAP}))
          (i32.store (i32.const 128) (i32.const 272))
          (i32.store (i32.const 132) (i32.const 1))
          (i32.store (i32.const 136) (call $make))
          (call $compute (global.get $context) (i32.const 128) (i32.const 1) (i32.const 64))
          (call $check)
          (local.set $output (i32.load offset=8 (i32.load (i32.const 68))))
          (call $read (local.get $output))
          (call $drop (local.get $output))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))"""

_EXPORT = '(func (export "{name}") {parameters} (canon lift (core func $main "{name}")))'
_SHAPE = '(param "rank" u32) (param "a" u32) (param "b" u32) (param "c" u32) (param "d" u32)'


def _exports(**functions: str) -> str:
    return "\n  ".join(_EXPORT.format(name=name.replace("_", "-"), parameters=text) for name, text in functions.items())


_TIMES = '(param "times" u32)'
_TENSOR_EXPORTS = _exports(shape=_SHAPE, tensors_in=_TIMES, keep="", forget="", tensors_out=_TIMES)

#: Makes tensors and reads them: `shape`, then `tensors-in`; `shape`, `keep`, then `tensors-out`.
TENSORS = f"""(component $guest {_TENSOR} {_LIBC} {_LOWER_TENSOR}
  (core module $main {_CORE_TENSOR})
  (core instance $main (instantiate $main (with "libc" (instance $libc))
    (with "nn" (instance (export "new" (func $new)) (export "data" (func $data)) (export "drop" (func $drop))))))
  {_TENSOR_EXPORTS})"""

#: The same, and whole inferences with the graph named `model`: `shape`, `open`, then `infer`.
INFERENCE = f"""(component $guest {_TENSOR} {_GRAPH} {_LIBC} {_LOWER_TENSOR} {_LOWER_GRAPH}
  (core module $main {_CORE_GRAPH_IMPORTS} {_CORE_TENSOR} {_CORE_GRAPH})
  (core instance $main (instantiate $main (with "libc" (instance $libc))
    (with "nn" (instance (export "new" (func $new)) (export "data" (func $data)) (export "drop" (func $drop))
      (export "compute" (func $compute)) (export "load-by-name" (func $load-by-name)) (export "init" (func $init))))))
  {_TENSOR_EXPORTS}
  {_exports(open="", infer=_TIMES)})"""

#: Calls functions of the host that have nothing to do with tensors.
BARE = f"""(component $guest
  (import "{API}" (instance $api
    (export "empty" (func (param "a" u32) (param "b" u32) (result u32)))
    (export "take" (func (param "data" (list u8))))
    (export "give" (func (result (list u8))))))
  {_LIBC}
  (core func $empty (canon lower (func $api "empty")))
  (core func $take (canon lower (func $api "take") {_OPTIONS}))
  (core func $give (canon lower (func $api "give") {_OPTIONS}))
  (core module $main
    (import "libc" "memory" (memory 1))
    (import "libc" "next" (global $next (mut i32)))
    (import "api" "empty" (func $empty (param i32 i32) (result i32)))
    (import "api" "take" (func $take (param i32 i32)))
    (import "api" "give" (func $give (param i32)))
    (func (export "empty") (param $n i32)
      (loop $again
        (if (local.get $n) (then
          (drop (call $empty (i32.const 1) (i32.const 2)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))
    (func (export "in") (param $n i32) (param $size i32)
      (loop $again
        (if (local.get $n) (then
          (call $take (i32.const {_DATA}) (local.get $size))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again)))))
    (func (export "out") (param $n i32)
      (loop $again
        (if (local.get $n) (then
          (global.set $next (i32.const {_HEAP}))
          (call $give (i32.const 64))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $again))))))
  (core instance $main (instantiate $main (with "libc" (instance $libc))
    (with "api" (instance (export "empty" (func $empty)) (export "take" (func $take)) (export "give" (func $give))))))
  {_exports(empty=_TIMES, **{"in": _TIMES + ' (param "size" u32)'}, out=_TIMES)})"""

_CLOCK_AND_STDOUT = """
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clocks (export "now" (func (result u64)))))
  (import "wasi:io/error@0.2.0" (instance $io-errors (export "error" (type (sub resource)))))
  (alias export $io-errors "error" (type $io-error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $stream (sub resource)))
    (alias outer $guest $io-error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (type $failures (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $failure (eq $failures)))
    (type $bytes (list u8))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $stream)) (param "contents" $bytes) (result (result (error $failure)))))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer $guest $stream (type $outer-stream))
    (export "output-stream" (type $stream (eq $outer-stream)))
    (export "get-stdout" (func (result (own $stream))))))"""


def command(times: int, *shape: int) -> str:
    """A command that times itself: it writes nanoseconds as three `u64`.

    These are for making and dropping a tensor of a shape, for making, reading and dropping one, and for a whole
    inference with the graph named `model`, each done `times` times.
    """
    dimensions = " ".join(f"(i32.const {size})" for size in (len(shape), *shape, *[1] * (4 - len(shape))))
    timed = "".join(
        f"""
      (call ${each} (i32.const 2))
      (local.set $start (call $now))
      (call ${each} (i32.const {times}))
      (i64.store (i32.const {512 + 8 * index}) (i64.sub (call $now) (local.get $start)))"""
        for index, each in enumerate(("tensors-in", "round-trips", "infer"))
    )
    return f"""(component $guest {_TENSOR} {_GRAPH} {_CLOCK_AND_STDOUT} {_LIBC} {_LOWER_TENSOR} {_LOWER_GRAPH}
  (core func $now (canon lower (func $clocks "now")))
  (core func $stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") {_OPTIONS}))
  (core module $main {_CORE_GRAPH_IMPORTS}
    (import "wasi" "now" (func $now (result i64)))
    (import "wasi" "stdout" (func $stdout (result i32)))
    (import "wasi" "write" (func $write (param i32 i32 i32 i32)))
    {_CORE_TENSOR} {_CORE_GRAPH}
    (func (export "run") (result i32) (local $start i64)
      (call $shape {dimensions})
      (call $open)
      {timed}
      (call $write (call $stdout) (i32.const 512) (i32.const 24) (i32.const 64))
      (i32.load8_u (i32.const 64))))
  (core instance $main (instantiate $main (with "libc" (instance $libc))
    (with "wasi" (instance (export "now" (func $now)) (export "stdout" (func $stdout)) (export "write" (func $write))))
    (with "nn" (instance (export "new" (func $new)) (export "data" (func $data)) (export "drop" (func $drop))
      (export "compute" (func $compute)) (export "load-by-name" (func $load-by-name)) (export "init" (func $init))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""
