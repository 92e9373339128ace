"""What this package relies on in wasmtime's C API, which is not documented for Python."""

from __future__ import annotations

import ctypes
from importlib.metadata import version

import pytest
from wasmtime import _ffi as ffi

from wit_host import capi

SYMBOLS = """
    wasm_byte_vec_new
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
    wasmtime_store_epoch_deadline_callback
""".split()


def test_the_tested_version_is_the_one_that_is_installed():
    assert version("wasmtime").startswith("50.0."), "try the new version, then move the pin in pyproject.toml"


@pytest.mark.parametrize("name", SYMBOLS)
def test_every_function_that_is_called_exists(name):
    assert getattr(ffi.dll, name)


def test_a_value_is_a_kind_and_a_union_of_24_bytes():
    assert (capi.VALUE_SIZE, capi.PAYLOAD_OFFSET, capi.Value.kind.offset) == (32, 8, 0)
    assert ctypes.sizeof(ffi.wasmtime_component_valunion_t) == 24


def test_lists_tuples_and_strings_are_a_size_and_a_pointer():
    for struct in (capi.ValueList, ffi.wasmtime_component_valtuple_t, capi.Name):
        assert (struct.size.offset, struct.data.offset, ctypes.sizeof(struct)) == (0, 8, 16)


def test_the_kinds_are_numbered_as_in_the_header():
    kinds = {name: getattr(capi.Kind, name) for name in vars(capi.Kind) if name.isupper()}
    assert kinds == {
        "BOOL": 0, "S8": 1, "U8": 2, "S16": 3, "U16": 4, "S32": 5, "U32": 6, "S64": 7, "U64": 8, "F32": 9, "F64": 10,
        "CHAR": 11, "STRING": 12, "LIST": 13, "RECORD": 14, "TUPLE": 15, "VARIANT": 16, "ENUM": 17, "OPTION": 18,
        "RESULT": 19, "FLAGS": 20, "RESOURCE": 21, "MAP": 22,
    }  # fmt: skip


def test_new_lists_hold_values_that_are_safe_to_free():
    values = capi.ValueList()
    capi.new_list(values, 3)
    assert [values.data[index].kind for index in range(3)] == [capi.Kind.BOOL] * 3
    ffi.wasmtime_component_vallist_delete(ctypes.byref(values))
