"""Canonical functions: lifts and lowers, and the functions that the component model provides.

In: a reader at the start of one. Out: the definition. The table has the contents of each kind; it follows
`design/mvp/Binary.md` of the component model. Threads and garbage-collected values are unfamiliar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .binary import InvalidComponent, Reader
from .definitions import Definition, Options, Origin, Reference, Role, Space, reference
from .parts import Part, index, value_type

#: The options for the encoding of strings, and the other options.
UTF8 = 0
_ENCODINGS = (UTF8, 1, 2)
MEMORY, REALLOC, POST_RETURN, _ASYNC, _CALLBACK = 3, 4, 5, 6, 7

_Content = Callable[[Reader, list[Reference]], None]


def canonical_function(reader: Reader) -> Definition:
    """Read one canonical function. Raises `InvalidComponent`."""
    start, kind = reader.at, reader.byte()
    references: list[Reference] = []
    if kind == 0:
        reader.expect(0, "a core function")
        references.append(reference(Space.CORE_FUNC, index(reader), Role.LIFTED))
        options = _options(reader, references)
        references.append(reference(Space.TYPE, index(reader), Role.TYPE))
        return Definition(Origin.LIFT, Space.FUNC, tuple(references), options=options)
    if kind == 1:
        reader.expect(0, "a function")
        references.append(reference(Space.FUNC, index(reader), Role.LOWERED))
        options = _options(reader, references)
        return Definition(Origin.LOWER, Space.CORE_FUNC, tuple(references), options=options)
    if kind not in _CONTENTS:
        raise InvalidComponent(f"{kind:#04x} is an unfamiliar kind of canonical function", start)
    for content in _CONTENTS[kind]:
        content(reader, references)
    return Definition(Origin.CANON, Space.CORE_FUNC, tuple(references))


def _options(reader: Reader, references: list[Reference]) -> Options:
    start, amount = reader.at, reader.count()
    count = Part(start, reader.at, amount)
    encoding: Part | None = None
    asynchronous = False
    for _ in range(amount):
        start, option = reader.at, reader.byte()
        if option == MEMORY:
            references.append(reference(Space.CORE_MEMORY, index(reader), Role.MEMORY))
        elif option == REALLOC:
            references.append(reference(Space.CORE_FUNC, index(reader), Role.REALLOC))
        elif option == POST_RETURN:
            references.append(reference(Space.CORE_FUNC, index(reader), Role.POST_RETURN))
        elif option == _CALLBACK:
            references.append(reference(Space.CORE_FUNC, index(reader), Role.OTHER))
        elif option == _ASYNC:
            asynchronous = True
        elif option in _ENCODINGS:
            encoding = Part(start, reader.at, option)
        else:
            raise InvalidComponent(f"{option:#04x} is an unfamiliar canonical option", start)
    return Options(count, encoding, asynchronous)


def _with_options(reader: Reader, references: list[Reference]) -> None:
    _options(reader, references)


def _type(reader: Reader, references: list[Reference]) -> None:
    references.append(reference(Space.TYPE, index(reader), Role.OTHER))


def _memory(reader: Reader, references: list[Reference]) -> None:
    references.append(reference(Space.CORE_MEMORY, index(reader), Role.MEMORY))


def _byte(reader: Reader, references: list[Reference]) -> None:
    reader.byte()


def _number(reader: Reader, references: list[Reference]) -> None:
    reader.u32()


def _result(reader: Reader, references: list[Reference]) -> None:
    form = reader.byte()
    if form == 0:
        part = value_type(reader)
        if not part.primitive:
            references.append(reference(Space.TYPE, part, Role.OTHER))
    elif form == 1:
        reader.expect(0, "no result")
    else:
        raise InvalidComponent("0x00 or 0x01 is needed", reader.at - 1)


#: The contents of each kind of canonical function, apart from lifts and lowers.
_CONTENTS: Mapping[int, tuple[_Content, ...]] = {
    0x02: (_type,),  # resource.new
    0x03: (_type,),  # resource.drop
    0x04: (_type,),  # resource.rep
    0x05: (),  # task.cancel
    0x06: (_byte,),  # subtask.cancel
    0x09: (_result, _with_options),  # task.return
    0x0A: (_byte, _number),  # context.get
    0x0B: (_byte, _number),  # context.set
    0x0C: (_byte,),  # thread.yield
    0x0D: (),  # subtask.drop
    0x0E: (_type,),  # stream.new
    0x0F: (_type, _with_options),  # stream.read
    0x10: (_type, _with_options),  # stream.write
    0x11: (_type, _byte),  # stream.cancel-read
    0x12: (_type, _byte),  # stream.cancel-write
    0x13: (_type,),  # stream.drop-readable
    0x14: (_type,),  # stream.drop-writable
    0x15: (_type,),  # future.new
    0x16: (_type, _with_options),  # future.read
    0x17: (_type, _with_options),  # future.write
    0x18: (_type, _byte),  # future.cancel-read
    0x19: (_type, _byte),  # future.cancel-write
    0x1A: (_type,),  # future.drop-readable
    0x1B: (_type,),  # future.drop-writable
    0x1C: (_with_options,),  # error-context.new
    0x1D: (_with_options,),  # error-context.debug-message
    0x1E: (),  # error-context.drop
    0x1F: (),  # waitable-set.new
    0x20: (_byte, _memory),  # waitable-set.wait
    0x21: (_byte, _memory),  # waitable-set.poll
    0x22: (),  # waitable-set.drop
    0x23: (),  # waitable.join
    0x24: (),  # backpressure.inc
    0x25: (),  # backpressure.dec
}
