;; The guest of `wasi-nn-torch doctor`: it makes a tensor, reads it back, and traps if the data differs.
(component
  (import "wasi:nn/tensor@0.2.0-rc-2024-10-28" (instance $nn
    (export "tensor" (type $tensor (sub resource)))
    (type $types (enum "FP16" "FP32" "FP64" "BF16" "U8" "I32" "I64"))
    (export "tensor-type" (type $type (eq $types)))
    (export "[constructor]tensor" (func
      (param "dimensions" (list u32)) (param "ty" $type) (param "data" (list u8)) (result (own $tensor))))
    (export "[method]tensor.data" (func (param "self" (borrow $tensor)) (result (list u8))))))
  (alias export $nn "tensor" (type $tensor))
  (alias export $nn "[constructor]tensor" (func $make))
  (alias export $nn "[method]tensor.data" (func $data))

  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "\04\00\00\00")
    (data (i32.const 16) "fine")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $memory (instantiate $memory))
  (core func $make (canon lower (func $make)
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $data (canon lower (func $data)
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $drop (canon resource.drop $tensor))

  (core module $main
    (import "memory" "memory" (memory 1))
    (import "nn" "make" (func $make (param i32 i32 i32 i32 i32) (result i32)))
    (import "nn" "data" (func $data (param i32 i32)))
    (import "nn" "drop" (func $drop (param i32)))
    (func (export "run") (result i32) (local $tensor i32)
      ;; one dimension, at 0; the type U8; four bytes, at 16
      (local.set $tensor (call $make (i32.const 0) (i32.const 1) (i32.const 4) (i32.const 16) (i32.const 4)))
      (call $data (local.get $tensor) (i32.const 32))
      (if (i32.ne (i32.load (i32.const 36)) (i32.const 4)) (then (unreachable)))
      (if (i32.ne (i32.load (i32.load (i32.const 32))) (i32.load (i32.const 16))) (then (unreachable)))
      (call $drop (local.get $tensor))
      (i32.const 0)))
  (core instance $main (instantiate $main
    (with "memory" (instance $memory))
    (with "nn" (instance
      (export "make" (func $make)) (export "data" (func $data)) (export "drop" (func $drop))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))
