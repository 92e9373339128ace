"""`wasi_ephemeral_nn`, the ABI of core modules, with WasmEdge's additions: the only place that knows its functions.

Each function returns an `Errno`; the text of an error goes to the operator. An address and a length that are not in the
guest's memory trap the guest. Arguments are looked at in their order, and nothing happens until all of them are right.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from wasi_nn_torch.contract.backend import Context
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.contract.shares import Share
from wasi_nn_torch.contract.tensor import Tensor
from wasi_nn_torch.contract.text import quote, quote_all
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
from wasi_nn_torch.hosts.witx_numbers import ERRNOS, WASMEDGE, Errno
from wasi_nn_torch.serving.leases import Lease
from wasi_nn_torch.serving.refusals import Refusals
from wasi_nn_torch.serving.serving import Serving
from wit_host.core import CallerMemory, CoreStore, NoMemory, ResourceTable

MODULE = "wasi_ephemeral_nn"

#: The record of a tensor: the address and the length of its dimensions, its type, the address and the length of its
#: data. Behind the type are three bytes that mean nothing.
_TENSOR = struct.Struct("<IIB3xII")
_BUILDER = struct.Struct("<II")
_NUMBER = struct.Struct("<I")
_LARGEST_NUMBER = 2**32 - 1

#: A guest could pass as many as its memory holds, and each one takes several times as much here.
_MOST_DIMENSIONS = _MOST_BUILDERS = 1024
_LONGEST_TEXT = 1 << 16

T = TypeVar("T")
V = TypeVar("V", "GraphHandle", "ContextHandle")


def add_to_store(store: CoreStore, serving: Serving) -> None:
    """Define every function for the core module of `store`."""
    host = _Host(serving, store.memory, store.resources)
    out = ("out_buffer", "out_buffer_max_size", "bytes_written")
    functions: Sequence[tuple[Callable[..., None], Sequence[str]]] = (
        (host.load, ("builder", "builder_len", "encoding", "target", "graph")),
        (host.load_by_name, ("name", "name_len", "graph")),
        (host.load_by_name_with_config, ("name", "name_len", "config", "config_len", "graph")),
        (host.unload, ("graph",)),
        (host.init_execution_context, ("graph", "context")),
        (host.finalize_execution_context, ("context",)),
        (host.set_input, ("context", "index", "tensor")),
        (host.compute, ("context",)),
        (host.compute_single, ("context",)),
        (host.fini_single, ("context",)),
        (host.get_output, ("context", "index", *out)),
        (host.get_output_single, ("context", "index", *out)),
    )
    for function, parameters in functions:
        store.linker.function(MODULE, function.__name__, parameters, _answering(function, serving.refusals))


class GraphHandle:
    """What a guest has a graph's number for."""

    def __init__(self, graph: Lease) -> None:
        self.graph = graph

    def drop(self) -> None:
        """The table lets go of it, and so of the graph."""


class ContextHandle:
    """What a guest has a context's number for: the tensors that it set, and those that the last `compute` made.

    An input stays until another one takes its place; outputs until the next `compute`.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inputs: dict[int, Share] = {}
        self._outputs: list[Tensor] = []

    def set_input(self, index: int, tensor: Tensor) -> None:
        """Take `tensor` instead of what was set before."""
        before = self._inputs.pop(index, None)
        self._inputs[index] = Share.of(tensor)
        if before is not None:
            before.drop()

    def compute(self) -> None:
        """Compute with the inputs, which stay; outputs of an earlier time are gone, whatever the outcome."""
        self._drop_outputs()
        given = list(self._inputs)
        if len(given) == 1 and given != [0]:  # which a backend would take under any name
            raise _wrong(f"the only input that was set is number {given[0]}; the first one is number 0")
        outputs = self._context.compute([(str(index), self._inputs[index].another()) for index in sorted(given)])
        self._outputs = [tensor for _, tensor in outputs]

    def output(self, index: int) -> Tensor:
        """An output of the last `compute`, by its place in what the model returns."""
        if index >= len(self._outputs):
            raise _wrong(f"there is no output number {index}; the last compute made {len(self._outputs)}")
        return self._outputs[index]

    def drop(self) -> None:
        """Free every tensor."""
        self._drop_inputs()
        self._drop_outputs()

    def _drop_inputs(self) -> None:
        while self._inputs:
            self._inputs.popitem()[1].drop()

    def _drop_outputs(self) -> None:
        while self._outputs:
            self._outputs.pop().drop()


class _Host:
    """The functions for one guest. Each of them raises NnError, or changes the guest's memory."""

    def __init__(self, serving: Serving, memory: CallerMemory, handles: ResourceTable) -> None:
        self._serving = serving
        self._memory = memory
        self._handles = handles

    def load(self, builders: int, count: int, encoding: int, target: int, graph: int) -> None:
        models = self._builders(builders, count)
        known = _meaning(WASMEDGE.encodings, encoding, "encoding", ErrorCode.INVALID_ENCODING)
        targets = _meaning(WASMEDGE.targets, target, "target")
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._first(targets, lambda each: self._serving.load(models, known, each))))

    def load_by_name(self, name: int, length: int, graph: int) -> None:
        text = self._text(name, length, "name")
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._serving.load_by_name(text)))

    def load_by_name_with_config(self, name: int, length: int, config: int, size: int, graph: int) -> None:
        text = self._text(name, length, "name")
        device = _device(self._text(config, size, "config"))
        answer = self._memory.view(graph, 4, "graph")
        self._give(answer, GraphHandle(self._serving.load_by_name(text, device)))

    def unload(self, graph: int) -> None:
        self._held(graph, GraphHandle)
        self._handles.take(graph).drop()

    def init_execution_context(self, graph: int, context: int) -> None:
        held = self._held(graph, GraphHandle)
        answer = self._memory.view(context, 4, "context")
        self._give(answer, ContextHandle(self._serving.context(held.graph)))

    def finalize_execution_context(self, context: int) -> None:
        self._held(context, ContextHandle)
        self._handles.take(context).drop()

    def set_input(self, context: int, index: int, tensor: int) -> None:
        held = self._held(context, ContextHandle)
        held.set_input(index, self._tensor(tensor, index))

    def compute(self, context: int) -> None:
        self._held(context, ContextHandle).compute()

    def get_output(self, context: int, index: int, buffer: int, size: int, written: int) -> None:
        source = self._held(context, ContextHandle).output(index).data()
        view = self._memory.view(buffer, size, "out_buffer")
        answer = self._memory.view(written, 4, "bytes_written")
        if source.nbytes > size:
            answer[:] = _NUMBER.pack(min(source.nbytes, _LARGEST_NUMBER))
            raise NnError(
                ErrorCode.TOO_LARGE, f"output number {index} has {source.nbytes} bytes, the buffer for it {size}"
            )
        source.write_into(view[: source.nbytes])
        answer[:] = _NUMBER.pack(source.nbytes)

    def compute_single(self, context: int) -> None:
        """One step of a sequence, which a model with a state goes on with; each step has inputs of its own."""
        self.compute(context)

    def get_output_single(self, context: int, index: int, buffer: int, size: int, written: int) -> None:
        """What the last step made."""
        self.get_output(context, index, buffer, size, written)

    def fini_single(self, context: int) -> None:
        """The sequence is over: its tensors go free. The context stays, and so does the state of its model."""
        self._held(context, ContextHandle).drop()

    # --- what arguments mean ---

    def _held(self, handle: int, kind: type[V]) -> V:
        try:
            item: object = self._handles.borrow(handle)
        except KeyError:
            item = None
        if not isinstance(item, kind):
            what = "graph" if kind is GraphHandle else "context"
            raise _wrong(f"{handle} is no {what} that this guest has")
        return item

    def _give(self, answer: memoryview, item: GraphHandle | ContextHandle) -> None:
        answer[:] = _NUMBER.pack(self._handles.give(item))

    def _builders(self, address: int, count: int) -> list[memoryview]:
        array = self._memory.read(address, count * _BUILDER.size, "builder")
        if count > _MOST_BUILDERS:
            raise _wrong(f"a model of {count} builders is too much; at most {_MOST_BUILDERS} are possible")
        return [
            self._memory.read(begin, length, f"builder[{number}]")
            for number, (begin, length) in enumerate(_BUILDER.iter_unpack(array))
        ]

    def _text(self, address: int, length: int, what: str) -> str:
        view = self._memory.read(address, length, what)
        if length > _LONGEST_TEXT:
            raise _wrong(f"the {what} has {length} bytes; at most {_LONGEST_TEXT} are possible")
        try:
            return str(view, "utf-8")
        except UnicodeDecodeError as error:
            reason = f"the {what} is not valid UTF-8 at byte {error.start}"
        raise _wrong(reason)

    def _tensor(self, address: int, index: int) -> Tensor:
        memory = self._memory
        dimensions, rank, number, data, length = _TENSOR.unpack(memory.read(address, _TENSOR.size, "tensor"))
        numbers = memory.read(dimensions, 4 * rank, "tensor.dimensions")
        dtype = _meaning(WASMEDGE.element_types, number, "type of a tensor")
        content = memory.read(data, length, "tensor.data")
        if rank > _MOST_DIMENSIONS:
            raise _wrong(f"a tensor of {rank} dimensions is too much; at most {_MOST_DIMENSIONS} are possible")
        tensor = self._serving.tensor(struct.unpack(f"<{rank}I", numbers), dtype, content)
        try:
            tensor.require_fit(str(index))
        except NnError:
            tensor.drop()
            raise
        return tensor

    def _first(self, targets: Sequence[ExecutionTarget], load: Callable[[ExecutionTarget], Lease]) -> Lease:
        """What `load` returns for the first target that this host has."""
        *others, last = targets
        for target in others:
            try:
                return load(target)
            except NnError as error:
                if error.code is not ErrorCode.UNSUPPORTED_OPERATION:
                    raise
        return load(last)


def _answering(function: Callable[..., None], refusals: Refusals) -> Callable[..., int]:
    """A function of `_Host` as the guest sees it."""
    label = f"{MODULE}#{function.__name__}"

    def answer(*arguments: int) -> int:
        try:
            function(*arguments)
        except NnError as error:
            refusals.record(label, error.code.value, error.text)
            return ERRNOS[error.code]
        except NoMemory as error:
            refusals.record(label, "missing-memory", str(error))
            return Errno.MISSING_MEMORY
        return 0

    return answer


def _meaning(table: Mapping[int, T], number: int, what: str, code: ErrorCode = ErrorCode.INVALID_ARGUMENT) -> T:
    meaning = table.get(number)
    if meaning is None:
        raise NnError(code, f"{number} is no {what}; known are {', '.join(map(str, table))}")
    return meaning


def _device(config: str) -> str | None:
    """The device that a configuration asks for: nothing, or an object in JSON with the member `device`, or without."""
    if not config:
        return None
    try:
        members = json.loads(config)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise _wrong(f'the config is no object in JSON; write {{"device": "cpu"}}, not {quote(config)}')
    device = members.pop("device", None)
    if members:
        raise _wrong(f"the config has members that this host does not know: {quote_all(members)}; it knows `device`")
    if not isinstance(device, str | None):
        raise _wrong('the `device` in the config is no text; write {"device": "cpu"}')
    return device


def _wrong(text: str) -> NnError:
    return NnError(ErrorCode.INVALID_ARGUMENT, text)
