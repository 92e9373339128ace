"""A core module that only passes calls on to `wasi_ephemeral_nn`, driven from Python, and small commands.

The host gets exactly what a test passes: any number for any argument, and any bytes in the guest's memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import wasmtime

from wasi_nn_torch import Engine, Limits, hosts
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.sessions.guests import Guest as CompiledGuest
from wit_host.core import CoreInstance, CoreModule, CoreStore

MODULE = "wasi_ephemeral_nn"
PAGE = 1 << 16

#: The number of parameters of each function.
FUNCTIONS = {
    "load": 5,
    "load_by_name": 3,
    "init_execution_context": 2,
    "set_input": 3,
    "compute": 1,
    "get_output": 5,
}
#: The functions that WasmEdge added.
ADDITIONS = {
    "load_by_name_with_config": 5,
    "unload": 1,
    "finalize_execution_context": 1,
    "compute_single": 1,
    "get_output_single": 5,
    "fini_single": 1,
}
ALL = {**FUNCTIONS, **ADDITIONS}
MEMORY = '(memory (export "memory") 2)'

F16, F32, F64, U8, I32, I64 = range(6)
OPENVINO, ONNX, TENSORFLOW, PYTORCH, TENSORFLOWLITE, AUTODETECT = range(6)
CPU, GPU, TPU, AUTO = range(4)

#: The addresses of the parts of a call in the guest's memory.
ANSWER, RECORD, NAME, CONFIG, DIMENSIONS, DATA = 0, 16, 64, 512, 1024, 4096


def imports(names: Sequence[str] = tuple(ALL)) -> str:
    """The functions, each called `$name`."""
    return "\n".join(
        f'(import "{MODULE}" "{name}" (func ${name} (param{" i32" * ALL[name]}) (result i32)))' for name in names
    )


def passing(memory: str = MEMORY) -> bytes:
    """A library that exports each function, and passes its arguments on."""
    exports = "\n".join(
        f'(func (export "{name}") (param{" i32" * count}) (result i32) '
        f"(call ${name} {' '.join(f'(local.get {index})' for index in range(count))}))"
        for name, count in ALL.items()
    )
    grow = '(func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))' if memory == MEMORY else ""
    return f"(module {imports()} {memory} {exports} {grow})".encode()


def command(body: str, *parts: str, names: Sequence[str] = tuple(ALL)) -> bytes:
    """A command whose `_start` is `body`."""
    return f'(module {imports(names)} {" ".join(parts)} {MEMORY} (func (export "_start") {body}))'.encode()


class Refused(Exception):
    """A function returned an errno other than success."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


class Guest:
    """A running library."""

    def __init__(self, store: CoreStore, instance: CoreInstance, ledger: Ledger) -> None:
        self.store = store
        self.ledger = ledger
        self._instance = instance
        self._memory = instance.exports.get("memory")

    def call(self, name: str, *numbers: int) -> int:
        """Call a function and return its result."""
        answer = self._instance.call(name, *numbers)
        assert isinstance(answer, int)
        return answer

    def put(self, address: int, content: bytes) -> tuple[int, int]:
        """Write into the guest's memory, and return the address and the length."""
        self._memory.write(self._store, content, address)
        return address, len(content)

    def get(self, address: int, length: int) -> bytes:
        """Read from the guest's memory."""
        return bytes(self._memory.read(self._store, address, address + length))

    def size(self) -> int:
        """The size of the memory in bytes."""
        return int(self._memory.data_len(self._store))

    def number(self, address: int = ANSWER) -> int:
        """The number at an address in the memory."""
        return int(struct.unpack("<I", self.get(address, 4))[0])

    # --- calls that must succeed, or raise `Refused` ---

    def checked(self, name: str, *numbers: int) -> None:
        errno = self.call(name, *numbers)
        if errno:
            raise Refused(errno)

    def load_by_name(self, name: str) -> int:
        self.checked("load_by_name", *self.put(NAME, name.encode()), ANSWER)
        return self.number()

    def with_config(self, name: str, config: str | bytes) -> int:
        content = config.encode() if isinstance(config, str) else config
        where = (*self.put(NAME, name.encode()), *self.put(CONFIG, content))
        self.checked("load_by_name_with_config", *where, ANSWER)
        return self.number()

    def load(self, *models: bytes, encoding: int = PYTORCH, target: int = CPU) -> int:
        address, records = DATA, b""
        for model in models:
            records += struct.pack("<II", *self.put(address, model))
            address += len(model)
        begin, _ = self.put(RECORD, records)
        self.checked("load", begin, len(models), encoding, target, ANSWER)
        return self.number()

    def context(self, graph: int) -> int:
        self.checked("init_execution_context", graph, ANSWER)
        return self.number()

    def begin(self, name: str) -> int:
        """Make a context of one of the operator's graphs, and return its number."""
        return self.context(self.load_by_name(name))

    def set_input(self, context: int, index: int, *values: float, type_: int = F32, shape: Sequence[int] = ()) -> None:
        code = {F16: "e", F32: "f", F64: "d", U8: "B", I32: "i", I64: "q"}[type_]
        self.tensor(shape or [len(values)], type_, struct.pack(f"<{len(values)}{code}", *values))
        self.checked("set_input", context, index, RECORD)

    def tensor(self, shape: Sequence[int], type_: int, data: bytes) -> None:
        """Write the record of a tensor, its dimensions and its data."""
        dimensions, _ = self.put(DIMENSIONS, struct.pack(f"<{len(shape)}I", *shape))
        address, length = self.put(DATA, data)
        # The three bytes between the type and the address are unused.
        self.put(RECORD, struct.pack("<IIB3sII", dimensions, len(shape), type_, b"\xaa\xbb\xcc", address, length))

    def compute(self, context: int) -> None:
        self.checked("compute", context)

    def output(self, context: int, index: int, size: int = 4096, function: str = "get_output") -> bytes:
        self.checked(function, context, index, DATA, size, ANSWER)
        return self.get(DATA, self.number())

    def floats(self, context: int, index: int = 0) -> list[float]:
        content = self.output(context, index)
        return list(struct.unpack(f"<{len(content) // 4}f", content))

    @property
    def _store(self) -> wasmtime.Store:
        return self._instance.store


@contextmanager
def playing(
    engine: Engine, memory: str = MEMORY, limits: Limits | None = None, library: CompiledGuest | None = None
) -> Iterator[Guest]:
    """The library, started with everything that it may import; `library` is the compiled one, if there is one."""
    limits = limits or Limits()
    ledger = Ledger(limits.device_bytes, limits.host_bytes, limits.tensors)
    compiled = (library or engine.compile(passing(memory))).compiled
    assert isinstance(compiled, CoreModule)
    try:
        with engine._runtime.open_core_store(wasmtime.WasiConfig(), limits) as store:
            hosts.add_to_core_linker(store.linker)
            hosts.serve(store, engine._runtime.serve(ledger))
            yield Guest(store, store.instantiate(compiled, "guest"), ledger)
    finally:
        ledger.sweep()
