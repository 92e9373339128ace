"""Canonical functions of a component, of which only lifts have a type that can be seen from outside.

In: a reader at the start of one. Out: the lift, if it is one. The table has the contents of each other kind; it follows
`design/mvp/Binary.md` of the component model.
"""

from __future__ import annotations

from collections.abc import Mapping

from witgen.decode.binary import Reader
from witgen.decode.definitions import Lift
from witgen.decode.read_types import reference

_LIFT, _LOWER = 0, 1
_LAST_OPTION_WITHOUT_INDEX, _ASYNC, _LAST_OPTION = 2, 6, 7


def read_canonical(reader: Reader) -> Lift | None:
    """Read one canonical function."""
    offset, kind = reader.at, reader.byte()
    if kind in (_LIFT, _LOWER):
        reader.expect(0, "a lifted or lowered function")
        reader.u32()
        _options(reader)
        return Lift(reader.u32(), offset) if kind == _LIFT else None
    if kind not in _CONTENTS:
        hint = "the file may be newer than this version of witgen, or damaged"
        raise reader.refused(f"{kind:#04x} is an unfamiliar kind of canonical function", offset, hint)
    for content in _CONTENTS[kind].split():
        _skip(reader, content)
    return None


def _skip(reader: Reader, content: str) -> None:
    match content:
        case "byte":
            reader.byte()
        case "options":
            _options(reader)
        case "result":
            if reader.flag():
                reader.expect(0, "a function without result")
            else:
                reference(reader)
        case _:
            reader.u32()


def _options(reader: Reader) -> None:
    for _ in range(reader.count()):
        offset, option = reader.at, reader.byte()
        if option > _LAST_OPTION:
            raise reader.refused(f"{option:#04x} is an unfamiliar option of a canonical function", offset)
        if option > _LAST_OPTION_WITHOUT_INDEX and option != _ASYNC:
            reader.u32()


_CONTENTS: Mapping[int, str] = {
    0x02: "type",  # resource.new
    0x03: "type",  # resource.drop
    0x04: "type",  # resource.rep
    0x05: "",  # task.cancel
    0x06: "byte",  # subtask.cancel
    0x09: "result options",  # task.return
    0x0A: "byte number",  # context.get
    0x0B: "byte number",  # context.set
    0x0C: "byte",  # thread.yield
    0x0D: "",  # subtask.drop
    0x0E: "type",  # stream.new
    0x0F: "type options",  # stream.read
    0x10: "type options",  # stream.write
    0x11: "type byte",  # stream.cancel-read
    0x12: "type byte",  # stream.cancel-write
    0x13: "type",  # stream.drop-readable
    0x14: "type",  # stream.drop-writable
    0x15: "type",  # future.new
    0x16: "type options",  # future.read
    0x17: "type options",  # future.write
    0x18: "type byte",  # future.cancel-read
    0x19: "type byte",  # future.cancel-write
    0x1A: "type",  # future.drop-readable
    0x1B: "type",  # future.drop-writable
    0x1C: "options",  # error-context.new
    0x1D: "options",  # error-context.debug-message
    0x1E: "",  # error-context.drop
    0x1F: "",  # waitable-set.new
    0x20: "byte memory",  # waitable-set.wait
    0x21: "byte memory",  # waitable-set.poll
    0x22: "",  # waitable-set.drop
    0x23: "",  # waitable.join
    0x24: "",  # backpressure.inc
    0x25: "",  # backpressure.dec
}
