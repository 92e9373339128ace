"""The work of a process that compiles guests: each request is answered with native code, or with the reason for none.

It is forked from a server that has loaded Wasmtime and nothing else. The engine is made anew in each process, because
its threads do not survive a fork.
"""

from __future__ import annotations

import wasmtime

from wasi_nn_torch.workers.channel import Channel
from wit_host import CompileTask, precompile

#: A request is one of these and the bytes to compile, in two messages.
COMPONENT, MODULE, TEXT = b"component", b"module", b"text"
#: Follows `COMPONENT` or `MODULE` if the engine that will run the guest reserves address space.
RESERVES = b" that reserves"
#: Follows these if the code shall be compiled quickly, rather than be fast.
QUICKLY = b" quickly"
#: Follows these if the engine counts fuel.
COUNTS = b" counting fuel"
#: Follows these if the guest may have streams, futures and async functions in its types.
ASYNC_TYPES = b" with async types"
#: An answer is one of these, and the result or the text of the error.
DONE, INVALID, NO_MEMORY = b"done", b"invalid", b"no memory"

#: What Wasmtime says if it was refused memory.
_REFUSED = "os error 12"


def work(channel: Channel) -> None:
    """Answer requests until the host ends this process."""
    while True:
        status, answer = _answer(bytes(channel.receive()), channel.receive())
        channel.send(status)
        channel.send(answer)


def _answer(kind: bytes, content: bytearray) -> tuple[bytes, bytes | bytearray]:
    try:
        if kind == TEXT:
            return DONE, wasmtime.wat2wasm(bytes(content))
        is_component = kind.startswith(COMPONENT)
        settings = RESERVES in kind, QUICKLY not in kind, COUNTS in kind, ASYNC_TYPES in kind
        task = CompileTask(bytes(content), is_component, *settings)
        return DONE, precompile(task)
    except MemoryError:
        return NO_MEMORY, b""
    except wasmtime.WasmtimeError as error:
        return (NO_MEMORY, b"") if _REFUSED in str(error) else (INVALID, str(error).encode())
