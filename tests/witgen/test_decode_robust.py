"""No binary ends in a traceback, takes for ever or fills the memory: it is read, or refused at an offset.

Thousands of truncated and changed binaries are read. For more, and other ones:

    WITGEN_EXAMPLES=100000 python -m pytest tests/witgen/test_decode_robust.py
"""

from __future__ import annotations

import os
from random import Random

import pytest
import wasmtime

from witgen.decode.binary import Reader
from witgen.decode.evaluate import MOST_STEPS
from witgen.decode.read import MOST_BYTES, MOST_SECTIONS
from witgen.diagnostics import WitError
from witgen.dump import dump
from witgen.resolver import resolve_texts

EXAMPLES = int(os.environ.get("WITGEN_EXAMPLES", "0"))
COMPONENT = b"\0asm\x0d\0\x01\0"

PACKAGE = """(component
  (type (component
    (import "c:d/j@1.0.0" (instance $j
      (export "r" (type (sub resource))) (type (list u8 4)) (export "four" (type (eq 1)))))
    (alias export $j "r" (type $r))
    (type (instance
      (alias outer 1 $r (type $r))
      (export "r" (type $here (eq $r)))
      (type $record (record (field "a" u8) (field "b" string)))
      (export "t" (type $t (eq $record)))
      (type $variant (variant (case "x" $t) (case "y")))
      (export "v" (type $v (eq $variant)))
      (export "e" (type (sub resource)))
      (export "f" (func (param "x" (list $t)) (param "h" (borrow $here)) (result (result $v (error string)))))
      (export "g" (func async (param "m" (map string u8)) (result (tuple (option $t) (own $here)))))))
    (export "a:b/i@1.0.0" (instance (type 2)))))
  (export "i" (type 0)))"""

GUEST = """(component
  (import "a:b/i" (instance $i (export "t" (type (sub resource))) (export "f" (func (result u8)))))
  (alias export $i "t" (type $t))
  (alias export $i "f" (func $f))
  (core module $m (func (export "run")))
  (core instance $m (instantiate $m))
  (func $run (canon lift (core func $m "run")))
  (core func (canon resource.drop $t))
  (component $shim
    (import "run" (func $run))
    (import "t" (type $t (sub resource)))
    (export "u" (type $t))
    (export "run" (func $run)))
  (instance $shim (instantiate $shim (with "run" (func $run)) (with "t" (type $t))))
  (instance $bundle (export "f" (func $f)))
  (export "x:y/z" (instance $shim))
  (export "bundle" (instance $bundle)))"""


def custom(name, content):
    inside = bytes([len(name)]) + name + content
    return bytes([0, len(inside) & 0x7F | 0x80, len(inside) >> 7]) + inside


def binaries():
    package, guest = (bytes(wasmtime.wat2wasm(text)) for text in (PACKAGE, GUEST))
    package += custom(b"package-docs", b'\x01{"docs":"d","interfaces":{"i":{"funcs":{"f":{"docs":"x"}}}}}')
    return [package, guest]


def read(data):
    """What a binary is refused for, if it is refused."""
    try:
        dump(resolve_texts({"x.wasm": data}, all_features=True))
    except WitError as error:
        refused = error
    else:
        return None
    assert len(str(refused)) < 20_000
    assert refused.message
    return refused


def test_the_binaries_to_be_damaged_are_good():
    assert [read(data) for data in binaries()] == [None, None]


def test_a_truncated_binary_is_refused_at_an_offset_or_ends_with_a_section():
    for data in binaries():
        for length in range(8, len(data)):
            error = read(data[:length])
            assert error is None or (error.line == 0 and 0 <= error.column <= length)


def test_a_changed_binary_is_read_or_refused():
    random, good = Random(0 if not EXAMPLES else None), binaries()
    refused = 0
    for _ in range(EXAMPLES or 3000):
        refused += read(changed(random, random.choice(good))) is not None
    assert refused > (EXAMPLES or 3000) // 2


def changed(random, data):
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 3, 8])):
        at, other = random.randrange(len(changed)), random.randrange(len(changed))
        match random.randrange(5):
            case 0:
                changed[at] = random.randrange(256)
            case 1:
                changed[at] ^= 1 << random.randrange(8)
            case 2:
                del changed[at : at + random.randrange(1, 20)]
            case 3:
                changed[at:at] = changed[other : other + random.randrange(1, 30)]
            case 4:
                changed[at] = random.choice([0, 1, 0x40, 0x41, 0x42, 0x7F, 0x80, 0xFF])
        changed = changed or bytearray(b"\0")
    return bytes(changed)


# --- what would take for ever, or nest without end ---


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def section(id, content):
    return bytes([id]) + number(len(content)) + content


def types(*definitions):
    return section(7, number(len(definitions)) + b"".join(definitions))


def instance(*declarations):
    return b"\x42" + number(len(declarations)) + b"".join(declarations)


def exported(name, index):
    """The declaration that an instance exports another one, of the type with this index of the outer component."""
    return b"\x04\0\x01" + name + b"\x05" + number(index)


def outer_type(index):
    return b"\x02\x03\x02\x01" + number(index)


def imported(index):
    return section(10, b"\x01\0\x05a:b/i\x05" + number(index))


def refusal(data):
    error = read(data)
    assert error is not None
    assert error.line == 0
    return error.message


def test_instances_that_double_at_each_step_are_refused():
    doubled = [instance(outer_type(n), exported(b"a", 0), exported(b"b", 0)) for n in range(30)]
    data = COMPONENT + types(instance(), *doubled) + imported(30)
    assert refusal(data) == f"the types stand for more than {MOST_STEPS} definitions"


def test_instances_that_are_deep_inside_each_other_are_refused():
    nested = [instance(outer_type(n), exported(b"a", 0)) for n in range(5000)]
    data = COMPONENT + types(instance(), *nested) + imported(5000)
    assert refusal(data) == "instances are more than 100 deep inside each other"


def test_a_type_cannot_refer_to_itself_or_to_later_ones():
    data = COMPONENT + types(instance(outer_type(0), exported(b"a", 0))) + imported(0)
    assert refusal(data) == "there is no type 0 there"


def test_types_that_double_at_each_step_are_refused():
    pairs = [b"\x6f\x02" + number(n) * 2 for n in range(40)]
    function = b"\x40\0\0" + number(40)
    data = COMPONENT + types(b"\x6f\x00", *pairs, function) + section(10, b"\x01\0\x01f\x01" + number(41))
    assert refusal(data) == f"the types stand for more than {MOST_STEPS} definitions"


def test_types_that_are_deep_inside_each_other_are_refused():
    lists = [b"\x70" + (number(n) if n < 64 else number(n | 1 << 14)[:2] + b"\0") for n in range(60)]
    more = [b"\x6b" + bytes([n & 0x7F | 0x80, n >> 7]) for n in range(60, 8000)]
    function = b"\x40\0\0" + bytes([8000 & 0x7F | 0x80, 8000 >> 7])
    data = COMPONENT + types(b"\x7d", *lists, *more, function) + section(10, b"\x01\0\x01f\x01" + number(8001))
    assert refusal(data) == "types may be nested 100 levels deep at most"


@pytest.mark.parametrize("depth", [60, 5000])
def test_definitions_that_are_written_deep_inside_each_other_are_refused(depth):
    inner = instance()
    for _ in range(depth):
        inner = instance(b"\x01" + inner)
    assert refusal(COMPONENT + types(inner)) == "types are more than 50 deep inside each other"
    component = COMPONENT
    for _ in range(depth):
        component = COMPONENT + section(4, component)
    assert refusal(component) == "components are more than 50 deep inside each other"


def test_more_sections_or_bytes_than_any_tool_writes_are_refused():
    assert refusal(COMPONENT + b"\x01\0" * (MOST_SECTIONS + 1)) == f"there are more than {MOST_SECTIONS} sections"
    many = types(*[b"\x7d"] * (MOST_BYTES + 1))
    assert refusal(COMPONENT + many) == f"the definitions take more than {MOST_BYTES >> 20} MiB"


def test_a_count_that_cannot_be_right_takes_no_memory():
    data = COMPONENT + section(7, b"\xff\xff\xff\xff\x0f")
    assert refusal(data) == "4294967295 items do not fit into the bytes that are left"


@pytest.mark.parametrize("bad", [b"\x80" * 6, b"\xff\xff\xff\xff\x7f"])
def test_a_number_of_too_many_bits_is_refused(bad):
    with pytest.raises(WitError, match="more than 32 bits"):
        Reader("x.wasm", bad, 0, len(bad)).u32()
