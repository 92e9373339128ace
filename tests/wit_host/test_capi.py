"""What this package relies on in wasmtime's C API, which is not documented for Python."""

from __future__ import annotations

import ctypes
from array import array
from importlib.metadata import version

import pytest
import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import component

from wit_host import capi
from wit_host.capi.values import PAYLOAD_OFFSET, VALUE_SIZE

SYMBOLS = """
    wasm_byte_vec_new
    wasmtime_caller_context
    wasmtime_caller_export_get
    wasmtime_component_enum_type_names_count
    wasmtime_component_enum_type_names_nth
    wasmtime_component_extern_type
    wasmtime_component_flags_type_names_count
    wasmtime_component_flags_type_names_nth
    wasmtime_component_func_call
    wasmtime_component_func_type_async
    wasmtime_component_func_type_param_count
    wasmtime_component_func_type_param_nth
    wasmtime_component_func_type_result
    wasmtime_component_item_delete
    wasmtime_component_linker_instance_add_func
    wasmtime_component_linker_instance_add_resource
    wasmtime_component_list_type_element
    wasmtime_component_map_type_key
    wasmtime_component_map_type_value
    wasmtime_component_option_type_ty
    wasmtime_component_record_type_field_count
    wasmtime_component_record_type_field_nth
    wasmtime_component_resource_any_clone
    wasmtime_component_resource_any_delete
    wasmtime_component_resource_any_drop
    wasmtime_component_resource_any_to_host
    wasmtime_component_resource_host_delete
    wasmtime_component_resource_host_new
    wasmtime_component_resource_host_rep
    wasmtime_component_resource_host_to_any
    wasmtime_component_resource_type_clone
    wasmtime_component_result_type_err
    wasmtime_component_result_type_ok
    wasmtime_component_tuple_type_types_count
    wasmtime_component_tuple_type_types_nth
    wasmtime_component_val_delete
    wasmtime_component_val_new
    wasmtime_component_valflags_new_uninit
    wasmtime_component_vallist_new_uninit
    wasmtime_component_valmap_new_uninit
    wasmtime_component_valrecord_new_uninit
    wasmtime_component_valtuple_new_uninit
    wasmtime_component_valtype_delete
    wasmtime_component_variant_type_case_count
    wasmtime_component_variant_type_case_nth
    wasmtime_config_concurrency_support_set
    wasmtime_error_delete
    wasmtime_error_new
    wasmtime_extern_delete
    wasmtime_linker_define_func_unchecked
    wasmtime_memory_data
    wasmtime_memory_data_size
    wasmtime_store_epoch_deadline_callback
    wasmtime_trap_new
""".split()


def test_the_tested_version_is_the_one_that_is_installed():
    assert version("wasmtime").startswith("50.0."), "try the new version, then move the pin in pyproject.toml"


@pytest.mark.parametrize("name", SYMBOLS)
def test_every_function_that_is_called_exists(name):
    assert getattr(ffi.dll, name)


def test_a_value_is_a_kind_and_a_union_of_24_bytes():
    assert (VALUE_SIZE, PAYLOAD_OFFSET, capi.Value.kind.offset) == (32, 8, 0)
    assert ctypes.sizeof(ffi.wasmtime_component_valunion_t) == 24


def test_a_raw_value_is_16_bytes():
    assert capi.RAW_STRIDE * ctypes.sizeof(ctypes.c_uint32) == ctypes.sizeof(ffi.wasmtime_val_raw_t) == 16


def test_lists_tuples_and_strings_are_a_size_and_a_pointer():
    for struct in (ffi.wasmtime_component_vallist_t, ffi.wasmtime_component_valtuple_t, capi.Name):
        assert (struct.size.offset, struct.data.offset, ctypes.sizeof(struct)) == (0, 8, 16)


def test_a_result_is_a_side_and_a_pointer():
    struct = ffi.wasmtime_component_valresult_t
    assert (struct.is_ok.offset, struct.is_ok.size, struct.val.offset, struct.val.size) == (0, 1, 8, 8)


def test_a_variant_is_a_name_and_a_pointer():
    struct = ffi.wasmtime_component_valvariant_t
    assert (struct.discriminant.offset, struct.val.offset, struct.val.size) == (0, 16, 8)


def test_the_kinds_are_numbered_as_in_the_header():
    kinds = {name: getattr(capi.Kind, name) for name in vars(capi.Kind) if name.isupper()}
    assert kinds == {
        "BOOL": 0, "S8": 1, "U8": 2, "S16": 3, "U16": 4, "S32": 5, "U32": 6, "S64": 7, "U64": 8, "F32": 9, "F64": 10,
        "CHAR": 11, "STRING": 12, "LIST": 13, "RECORD": 14, "TUPLE": 15, "VARIANT": 16, "ENUM": 17, "OPTION": 18,
        "RESULT": 19, "FLAGS": 20, "RESOURCE": 21, "MAP": 22,
    }  # fmt: skip


@pytest.mark.parametrize("new", [capi.new_list, capi.new_tuple])
def test_new_lists_hold_values_that_are_safe_to_free(new):
    values = capi.OwnedValues(1)
    new(values[0], 3)
    assert [element.kind for element in capi.elements(values[0])] == [capi.Kind.BOOL] * 3
    values.close()


def test_new_values_are_safe_to_free_one_by_one():
    values = capi.OwnedValues(2)
    payloads = [capi.new_value() for _ in range(2)]
    for value, payload in zip(values.item, payloads, strict=True):
        capi.write_result(value, True, payload)
    capi.write_text(payloads[0], capi.Kind.STRING, b"one")
    assert payloads[1].kind == capi.Kind.BOOL
    assert capi.read_text(values[0].of.result.val.contents) == "one"
    values.close()


@pytest.mark.parametrize(
    ("code", "numbers"),
    [("B", [1, 255]), ("q", [-(1 << 63), 7]), ("f", [0.5, -1.25]), ("I", []), ("I", list(range(8))), ("H", [7] * 9)],
)
def test_numbers_are_written_and_read_all_at_once(code, numbers):
    values = capi.OwnedValues(1)
    capi.new_list(values[0], len(numbers))
    capi.fill_numbers(values[0], capi.Kind.U8, array(code, numbers), code)
    assert capi.view_numbers(values[0], code).tolist() == numbers
    assert capi.read_numbers(values[0], code) == numbers
    assert [values[0].of.list.data[index].kind for index in range(len(numbers))] == [capi.Kind.U8] * len(numbers)
    values.close()


def test_every_call_of_a_store_is_given_the_context_of_that_store():
    text = """(component
      (import "f" (func $f))
      (core func $f (canon lower (func $f)))
      (core module $m (import "" "f" (func $f)) (func (export "run") (call $f) (call $f)))
      (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
      (func (export "run") (canon lift (core func $m "run"))))"""
    seen = []
    add = ffi.dll.wasmtime_component_linker_instance_add_func
    shape = ctypes.CFUNCTYPE(ctypes.c_void_p, *[ctypes.c_void_p] * 4, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
    function = shape(lambda data, context, *_: seen.append(context))
    callback = ctypes.cast(function, add.argtypes[3])
    engine = wasmtime.Engine()
    store, linker = wasmtime.Store(engine), component.Linker(engine)
    with linker.root() as root:
        assert not add(root.ptr(), ctypes.create_string_buffer(b"f"), 1, callback, None, add.argtypes[5]())
    instance = linker.instantiate(store, component.Component(engine, text))
    instance.get_func(store, "run")(store)
    assert seen == [capi.store_context(store)] * 2


class Counting(capi.Owner[str]):
    def __init__(self, item, freed):
        super().__init__(item)
        self.freed = freed

    def _free(self, item):
        self.freed.append(item)


def test_an_owner_frees_once():
    freed = []
    with Counting("item", freed) as owner:
        assert owner.item == "item"
    owner.close()
    assert freed == ["item"]
    del owner
    assert freed == ["item"]


def test_an_owner_that_is_not_closed_frees_at_its_end():
    freed = []
    Counting("item", freed)
    assert freed == ["item"]


@pytest.mark.parametrize("end", ["close", "release"])
def test_an_owner_without_its_item_cannot_be_used(end):
    freed = []
    owner = Counting("item", freed)
    assert getattr(owner, end)() == (None if end == "close" else "item")
    with pytest.raises(ValueError, match="this Counting is closed"):
        owner.release()
    with pytest.raises(ValueError, match="this Counting is closed"):
        _ = owner.item
    owner.close()
    assert freed == (["item"] if end == "close" else [])


def test_an_object_of_the_package_is_disposed_of_once():
    linker = component.Linker(wasmtime.Engine())
    capi.dispose(linker)
    capi.dispose(linker)
    with pytest.raises(ValueError, match="already closed"):
        linker.ptr()


def test_every_public_name_of_the_package_exists():
    assert [name for name in capi.__all__ if not hasattr(capi, name)] == []
