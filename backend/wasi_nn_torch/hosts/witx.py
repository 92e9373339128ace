"""`wasi_ephemeral_nn`, the ABI of core modules, with WasmEdge's additions: the only place that knows its functions.

Each function returns an `Errno`; the text of an error goes to the operator. An address and a length outside the guest's
memory trap the guest. Arguments are checked in their order, and nothing changes until all of them are valid.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TypeVar

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
from wasi_nn_torch.hosts.resources import MOST_DIMENSIONS
from wasi_nn_torch.hosts.served import ServedModule
from wasi_nn_torch.hosts.witx_numbers import ERRNOS, WASMEDGE, Errno
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.serving import Serving
from wit_host import per_store
from wit_host.core import CallerMemory, CoreLinker, NoMemory, ResourceTable

MODULE = "wasi_ephemeral_nn"

#: The record of a tensor: the address and the length of its dimensions, its type, three unused bytes, the address and
#: the length of its data.
_TENSOR = struct.Struct("<IIB3xII")
_BUILDER = struct.Struct("<II")
_NUMBER = struct.Struct("<I")
_LARGEST_NUMBER = 2**32 - 1

#: Limited because a guest could pass as many as fit in its memory, and each takes several times that memory here.
_MOST_BUILDERS = 1024
_LONGEST_TEXT = 1 << 16

T = TypeVar("T")
V = TypeVar("V", "GraphHandle", "ContextHandle")


#: The parameters of the functions that write an output.
_OUT = ("out_buffer", "out_buffer_max_size", "bytes_written")
#: The functions, and their parameters, which are all `i32`.
_FUNCTIONS: Mapping[str, Sequence[str]] = {
    "load": ("builder", "builder_len", "encoding", "target", "graph"),
    "load_by_name": ("name", "name_len", "graph"),
    "load_by_name_with_config": ("name", "name_len", "config", "config_len", "graph"),
    "unload": ("graph",),
    "init_execution_context": ("graph", "context"),
    "finalize_execution_context": ("context",),
    "set_input": ("context", "index", "tensor"),
    "compute": ("context",),
    "compute_single": ("context",),
    "fini_single": ("context",),
    "get_output": ("context", "index", *_OUT),
    "get_output_single": ("context", "index", *_OUT),
}


def add_to_linker(linker: CoreLinker) -> None:
    """Define every function, for stores whose data is `ServedModule`."""
    host = per_store(_host)
    for name, parameters in _FUNCTIONS.items():
        linker.function(MODULE, name, parameters, getattr(host, name))


def _host(served: ServedModule) -> _Host:
    return _Host(served.serving, served.memory, served.resources)


class GraphHandle:
    """A graph in the table of resources, whose number the guest holds."""

    def __init__(self, graph: Lease) -> None:
        self.graph = graph

    def drop(self) -> None:
        """Do nothing, since the graph is released when the table releases this object."""


class ContextHandle:
    """A context in the table of resources, with the inputs that were set and the outputs of the last `compute`.

    An input stays until it is replaced, and the outputs until the next `compute`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inputs: dict[int, Share] = {}
        self._outputs: list[Tensor] = []

    def set_input(self, index: int, tensor: Tensor) -> None:
        """Take ownership of `tensor`, in place of the input that was set under this number before."""
        before = self._inputs.pop(index, None)
        self._inputs[index] = Share.of(tensor)
        if before is not None:
            before.drop()

    def compute(self) -> None:
        """Run the graph once on the inputs, which stay; earlier outputs are dropped even if this fails."""
        self._drop_outputs()
        given = list(self._inputs)
        if len(given) == 1 and given != [0]:  # a backend accepts an only input under any name
            raise _wrong(f"the only input that was set is number {given[0]}; the first input is number 0")
        outputs = self._context.compute([(str(index), self._inputs[index].another()) for index in sorted(given)])
        self._outputs = [tensor for _, tensor in outputs]

    def output(self, index: int) -> Tensor:
        """An output of the last `compute`, by its position."""
        if index >= len(self._outputs):
            raise _wrong(f"there is no output number {index}; the last `compute` made {len(self._outputs)}")
        return self._outputs[index]

    def drop(self) -> None:
        """Drop every tensor."""
        self._drop_inputs()
        self._drop_outputs()

    def _drop_inputs(self) -> None:
        while self._inputs:
            self._inputs.popitem()[1].drop()

    def _drop_outputs(self) -> None:
        while self._outputs:
            self._outputs.pop().drop()


def _answering(function: Callable[..., None]) -> Callable[..., int]:
    """A method of `_Host` that returns an errno and records errors, as guests call it."""
    label = f"{MODULE}#{function.__name__}"

    @wraps(function)
    def answer(host: _Host, *arguments: int) -> int:
        try:
            function(host, *arguments)
        except NnError as error:
            host.refusals.record(label, error.code.value, error.text)
            return ERRNOS[error.code]
        except NoMemory as error:
            host.refusals.record(label, "missing-memory", str(error))
            return Errno.MISSING_MEMORY
        return 0

    return answer


class _Host:
    """The functions for one guest; each raises NnError, or writes its results to the guest's memory."""

    def __init__(self, serving: Serving, memory: CallerMemory, handles: ResourceTable) -> None:
        self.refusals = serving.refusals
        self._serving = serving
        self._memory = memory
        self._handles = handles

    @_answering
    def load(self, builders: int, count: int, encoding: int, target: int, graph: int) -> None:
        models = self._builders(builders, count)
        known = _meaning(WASMEDGE.encodings, encoding, "encoding", ErrorCode.INVALID_ENCODING)
        targets = _meaning(WASMEDGE.targets, target, "target")
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._first(targets, lambda each: self._serving.load(models, known, each))))

    @_answering
    def load_by_name(self, name: int, length: int, graph: int) -> None:
        text = self._text(name, length, "name")
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._serving.load_by_name(text)))

    @_answering
    def load_by_name_with_config(self, name: int, length: int, config: int, size: int, graph: int) -> None:
        text = self._text(name, length, "name")
        device = _device(self._text(config, size, "config"))
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._serving.load_by_name(text, device)))

    @_answering
    def unload(self, graph: int) -> None:
        self._held(graph, GraphHandle)
        self._handles.take(graph).drop()

    @_answering
    def init_execution_context(self, graph: int, context: int) -> None:
        held = self._held(graph, GraphHandle)
        answer = self._memory.view(context, 4, "context")
        self._give(answer, ContextHandle(self._serving.context(held.graph)))

    @_answering
    def finalize_execution_context(self, context: int) -> None:
        self._held(context, ContextHandle)
        self._handles.take(context).drop()

    @_answering
    def set_input(self, context: int, index: int, tensor: int) -> None:
        held = self._held(context, ContextHandle)
        held.set_input(index, self._tensor(tensor, index))

    @_answering
    def compute(self, context: int) -> None:
        self._held(context, ContextHandle).compute()

    @_answering
    def get_output(self, context: int, index: int, buffer: int, size: int, written: int) -> None:
        self._write_output(context, index, buffer, size, written)

    @_answering
    def compute_single(self, context: int) -> None:
        """Compute one step of a sequence; a model with state continues from the step before."""
        self._held(context, ContextHandle).compute()

    @_answering
    def get_output_single(self, context: int, index: int, buffer: int, size: int, written: int) -> None:
        """Get an output of the last step."""
        self._write_output(context, index, buffer, size, written)

    @_answering
    def fini_single(self, context: int) -> None:
        """End a sequence by dropping its tensors; the context and the state of its model stay."""
        self._held(context, ContextHandle).drop()

    def _write_output(self, context: int, index: int, buffer: int, size: int, written: int) -> None:
        memory = self._memory
        source = self._held(context, ContextHandle).output(index).data()
        memory.check(buffer, size, "out_buffer")
        memory.check(written, 4, "bytes_written")
        if source.nbytes > size:
            memory.pack(_NUMBER, written, "bytes_written", min(source.nbytes, _LARGEST_NUMBER))
            raise NnError(
                ErrorCode.TOO_LARGE,
                f"the buffer for output number {index} is too small: {size} bytes ({source.nbytes} needed)",
            )
        source.write_into(memory.view(buffer, source.nbytes, "out_buffer"))
        memory.pack(_NUMBER, written, "bytes_written", source.nbytes)

    # --- from arguments to values ---

    def _held(self, handle: int, kind: type[V]) -> V:
        try:
            item: object = self._handles.borrow(handle)
        except KeyError:
            item = None
        if not isinstance(item, kind):
            what = "graph" if kind is GraphHandle else "context"
            raise _wrong(f"unknown {what} {handle}; expected the number of a {what} that this guest holds")
        return item

    def _give(self, answer: memoryview, item: GraphHandle | ContextHandle) -> None:
        answer[:] = _NUMBER.pack(self._handles.give(item))

    def _builders(self, address: int, count: int) -> list[memoryview]:
        array = self._memory.read(address, count * _BUILDER.size, "builder")
        if count > _MOST_BUILDERS:
            raise _wrong(f"too many builders: {count} (limit {_MOST_BUILDERS})")
        return [
            self._memory.read(begin, length, f"builder[{number}]")
            for number, (begin, length) in enumerate(_BUILDER.iter_unpack(array))
        ]

    def _text(self, address: int, length: int, what: str) -> str:
        view = self._memory.read(address, length, what)
        if length > _LONGEST_TEXT:
            raise _wrong(f"the {what} is too long: {length} bytes (limit {_LONGEST_TEXT})")
        try:
            return str(view, "utf-8")
        except UnicodeDecodeError as error:
            reason = f"the {what} is not valid UTF-8 at byte {error.start}"
        raise _wrong(reason)

    def _tensor(self, address: int, index: int) -> Tensor:
        memory = self._memory
        dimensions, rank, number, data, length = memory.unpack(_TENSOR, address, "tensor")
        memory.check(dimensions, 4 * rank, "tensor.dimensions")
        dtype = _meaning(WASMEDGE.element_types, number, "tensor type")
        content = memory.read(data, length, "tensor.data")
        if rank > MOST_DIMENSIONS:
            raise _wrong(f"too many dimensions: {rank} (limit {MOST_DIMENSIONS})")
        shape = memory.unpack(struct.Struct(f"<{rank}I"), dimensions, "tensor.dimensions")
        tensor = self._serving.tensor(shape, dtype, content)
        try:
            tensor.require_fit(str(index))
        except NnError:
            tensor.drop()
            raise
        return tensor

    def _first(self, targets: Sequence[ExecutionTarget], load: Callable[[ExecutionTarget], Lease]) -> Lease:
        """Load a graph for the first target that this host has."""
        *others, last = targets
        for target in others:
            try:
                return load(target)
            except NnError as error:
                if error.code is not ErrorCode.UNSUPPORTED_OPERATION:
                    raise
        return load(last)


def _meaning(table: Mapping[int, T], number: int, what: str, code: ErrorCode = ErrorCode.INVALID_ARGUMENT) -> T:
    meaning = table.get(number)
    if meaning is None:
        raise NnError(code, f"unknown {what} {number}; expected one of {', '.join(map(str, table))}")
    return meaning


def _device(config: str) -> str | None:
    """The device that a configuration asks for, if any: an empty text, or a JSON object that may have a `device`."""
    if not config:
        return None
    try:
        members = json.loads(config)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise _wrong(f'the config must be a JSON object, such as {{"device": "cpu"}}, not {quote(config)}')
    device = members.pop("device", None)
    if members:
        raise _wrong(f"unknown members in the config: {quote_all(members)}; expected only `device`")
    if not isinstance(device, str | None):
        raise _wrong('the `device` in the config must be a string, as in {"device": "cpu"}')
    return device


def _wrong(text: str) -> NnError:
    return NnError(ErrorCode.INVALID_ARGUMENT, text)
