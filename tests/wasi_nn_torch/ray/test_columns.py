"""A guest as a function on batches, called in this process: which columns become tensors, and tensors columns."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from tests.conftest import built
from tests.wasi_nn_torch.helpers.pipelines import pipeline

pytest.importorskip("ray", reason="Ray is not installed: pip install 'wasi-nn-torch[ray]'")

import pandas as pd
import pyarrow as pa
import torch
from ray.data.block import BlockAccessor
from ray.data.extensions import ArrowTensorArray, ArrowVariableShapedTensorArray

from wasi_nn_torch import Limits
from wasi_nn_torch.pipelines.datatypes import DATATYPES
from wasi_nn_torch.pipelines.values import Description, Value
from wasi_nn_torch.ray import GuestFailed, GuestUDF, Model
from wasi_nn_torch.ray.data import making
from wasi_nn_torch.ray.data.devices import device_of
from wasi_nn_torch.ray.data.passing import of_batch, of_row
from wasi_nn_torch.ray.data.reading import Rows

pytestmark = pytest.mark.cpu

#: The numeric datatypes that columns have.
NUMBERS = "BOOL UINT8 UINT16 UINT32 INT8 INT16 INT32 INT64 FP16 FP32 FP64".split()
DTYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"}


@pytest.fixture
def udf():
    """Makes functions, which are closed after the test."""
    made = []

    def make(guest, **options):
        made.append(GuestUDF(guest, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def same(datatype, shape=(-1,), name="x"):
    """A pipeline that returns its only input."""
    return pipeline(((name, datatype, shape),), ((name, datatype, shape),))


def renamed(datatype, shape=(-1,)):
    return {"guest": same(datatype, shape), "outputs": {"x": "y"}}


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_come_back_in_their_own_dtype(udf, datatype):
    column = np.array([0, 1, 1, 0], DTYPES.get(datatype, datatype.lower()))
    for batch in ({"x": column}, pa.table({"x": column}), pd.DataFrame({"x": column})):
        made = udf(**renamed(datatype))(batch)
        assert made.column_names == ["x", "y"]
        assert made["y"].type == made["x"].type
        assert made["y"].to_pylist() == column.tolist()


@pytest.mark.parametrize("form", ["numpy", "arrow", "pandas", "lists", "fixed lists"])
def test_arrays_come_back_as_tensors_in_every_format(udf, form):
    column = np.arange(12, dtype=np.float32).reshape(4, 3)
    batch = {
        "numpy": lambda: {"x": column},
        "arrow": lambda: pa.table({"x": ArrowTensorArray.from_numpy(column)}),
        "pandas": lambda: pd.DataFrame({"x": list(column)}),
        "lists": lambda: pa.table({"x": pa.array(column.tolist(), pa.list_(pa.float32()))}),
        "fixed lists": lambda: pa.table({"x": pa.FixedSizeListArray.from_arrays(column.ravel(), 3)}),
    }[form]()
    made = udf(**renamed("FP32", (-1, 3)))(batch)
    assert np.array_equal(BlockAccessor.for_block(made).to_numpy("y"), column)


def test_strings_and_bytes_are_elements_of_bytes(udf):
    texts = ["a", "", "größer", "dd"]
    for column in (np.array(texts), np.array(texts, object), pa.array(texts), pa.array(texts, pa.large_string())):
        assert (
            udf(**renamed("BYTES"), text=["x"])(
                {"x": column} if isinstance(column, np.ndarray) else pa.table({"x": column})
            )["y"].to_pylist()
            == texts
        )
    files = [b"\xff\x00", b"", b"\x89PNG", b"1"]
    made = udf(**renamed("BYTES"))(pa.table({"x": files}))
    assert (made["y"].type, made["y"].to_pylist()) == (pa.binary(), files)


def address(data):
    return np.frombuffer(data, np.uint8).ctypes.data


def test_numbers_are_passed_where_the_column_is():
    """Ray has columns in memory that may not be written to, which PyTorch would copy."""
    column = np.arange(1000, dtype=np.float32).reshape(500, 2)
    column.flags.writeable = False
    wanted = Description("x", DATATYPES["FP32"], (-1, 2))
    for batch in ({"x": column}, pa.table({"x": ArrowTensorArray.from_numpy(column)})):
        value = of_batch(Rows(batch).column("x"), wanted, None)
        assert address(value.data) == column.ctypes.data
        assert not value.data.readonly
    value = of_row(Rows({"x": column}).column("x"), Description("x", DATATYPES["FP32"], (2,)), 7)
    assert address(value.data) == column[7].ctypes.data


def test_outputs_become_columns_where_they_are():
    value = Value("y", DATATYPES["FP32"], (250, 2), memoryview(np.arange(500, dtype=np.float32)).cast("B"))
    every = np.ones(250, bool)
    for shape in ((250, 2), (500,)):
        cells = making.of_batch(replace(value, shape=shape), shape[0], False)
        wanted = Description("y", DATATYPES["FP32"], (-1, *shape[1:]))
        column = making.column(cells, wanted, np.resize(every, shape[0]), False, False)
        assert column.buffers()[-1].address == address(value.data)


def test_no_column_that_is_read_only_leads_to_a_warning(udf):
    column = np.arange(10, dtype=np.float32)
    column.flags.writeable = False
    guest = pipeline((("compute", "FP32", (-1,)), ("x", "FP32", (-1,))), (("output", "FP32", (-1,)),))
    function = udf(guest, models={"net": scripted()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = function({"compute": column, "x": column})
    assert made["output"].to_pylist() == (column + 1).tolist()


def scripted():
    """The bytes of a model that adds one."""
    import io

    class AddOne(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    file = io.BytesIO()
    torch.jit.save(torch.jit.script(AddOne()), file)
    return file.getvalue()


def test_slices_of_tables_are_read_from_their_own_place(udf):
    numbers = pa.chunked_array([pa.array(range(5)), pa.array(range(5, 10))])
    table = pa.table({"x": numbers, "s": [str(number) for number in range(10)]}).slice(3, 4)
    assert udf(**renamed("INT64"))(table)["y"].to_pylist() == [3, 4, 5, 6]
    tensors = pa.table({"x": ArrowTensorArray.from_numpy(np.arange(20).reshape(10, 2))}).slice(3, 4)
    made = udf(**renamed("INT64", (-1, 2)))(tensors)
    assert BlockAccessor.for_block(made).to_numpy("y").tolist() == [[6, 7], [8, 9], [10, 11], [12, 13]]
    made = udf(**renamed("BYTES"), text=["x"], inputs={"x": "s"})(table)
    assert made["y"].to_pylist() == ["3", "4", "5", "6"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["a"]).dictionary_encode()]),
        pa.array(["a", "b", "a"], pa.string_view()),
        pd.Categorical(["a", "b", "a"]),
        np.array(["a", "b", "a"], np.dtypes.StringDType()),
    ],
)
def test_strings_are_read_however_they_are_encoded(udf, column):
    batch = pa.table({"x": column}) if isinstance(column, pa.Array | pa.ChunkedArray) else {"x": column}
    batch = pd.DataFrame(batch) if isinstance(column, pd.Categorical) else batch
    assert udf(**renamed("BYTES"), text=["x"])(batch)["y"].to_pylist() == ["a", "b", "a"]


@pytest.mark.parametrize("kind", [pa.list_view, pa.large_list_view])
def test_list_views_are_read_like_lists(udf, kind):
    lists = pa.array([[9], [1, 2], None, [3, 4]], kind(pa.int64()))
    for column in (lists.slice(1), pa.chunked_array([lists.slice(1, 2), lists.slice(3), lists.slice(0, 0)])):
        made = udf(**renamed("INT64", (-1, 2)), on_error="drop")(pa.table({"x": column}))
        assert BlockAccessor.for_block(made).to_numpy("y").tolist() == [[1, 2], [3, 4]]
    overlapping = pa.ListViewArray.from_arrays([3, 0, 1], [2, 2, 2], pa.array([10, 11, 12, 13, 14]))
    made = udf(**renamed("INT64", (-1, 2)))(pa.table({"x": overlapping}))
    assert BlockAccessor.for_block(made).to_numpy("y").tolist() == [[13, 14], [10, 11], [11, 12]]


@pytest.mark.parametrize(
    "column",
    [
        pa.RunEndEncodedArray.from_arrays([2, 3, 5], pa.array(["-", "a", None]).dictionary_encode()).slice(2, 2),
        pa.RunEndEncodedArray.from_arrays([1, 3], ["a", None]).slice(0, 2),
        pa.array(["-", "a", None], pa.string_view()).slice(1),
    ],
)
def test_strings_that_are_encoded_are_dropped_with_their_rows(udf, column):
    made = udf(**renamed("BYTES"), text=["x"], on_error="drop")(pa.table({"x": column}))
    assert made["y"].to_pylist() == ["a"]
    assert (made["x"].type, made["x"].to_pylist()) == (column.type, ["a"])
    chunks = pa.chunked_array([column, column, column.slice(0, 1), column.slice(0, 0), column])
    made = udf(**renamed("BYTES"), text=["x"], on_error="drop")(pa.table({"x": chunks}))
    assert made["x"].to_pylist() == made["y"].to_pylist() == ["a"] * 4
    made = udf(**renamed("BYTES"), text=["x"], on_error="drop")(pa.table({"x": chunks.slice(1, 1)}))
    assert (made["x"].type, made["x"].to_pylist()) == (column.type, [])


def test_numbers_in_lists_are_read_however_they_are_encoded(udf):
    lists = pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 1, 2]).dictionary_encode(), 2)
    views = pa.ListArray.from_arrays([0, 1, 2], pa.array([[1, 2], [1, 2]], pa.list_view(pa.int64())))
    for column, shape in ((lists, (-1, 2)), (views, (-1, 1, 2))):
        made = udf(**renamed("INT64", shape))(pa.table({"x": column}))
        assert BlockAccessor.for_block(made).to_numpy("y").tolist() == column.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        np.array(["a", "\ud800", "b"]),
        np.array(["a", "\ud800", "b"], object),
        np.array(["a", None, "b"], np.dtypes.StringDType(na_object=None)),
    ],
)
def test_what_utf8_does_not_have_costs_its_row(udf, column):
    made = udf(**renamed("BYTES"), text=["x"], on_error="null", keep=[])({"x": column})
    assert made["y"].to_pylist() == ["a", None, "b"]
    assert re.match("the column `x` (is null|has a string that UTF-8 does not have)", made["error"].to_pylist()[1])


def test_only_those_columns_of_pandas_are_converted_that_are_needed(udf):
    frame = pd.DataFrame({"x": [1, 2], 7: [1j, 2j]})
    assert udf(**renamed("INT64"), keep=["x"])(frame).to_pydict() == {"x": [1, 2], "y": [1, 2]}
    with pytest.raises(GuestFailed, match=r"the column `7` of complex128 cannot become one of Arrow: .*; convert it"):
        udf(**renamed("INT64"))(frame)
    with pytest.raises(GuestFailed, match="there are several columns of the name `x`; rename them"):
        udf(**renamed("INT64"))(pd.DataFrame([[1, 2]], columns=["x", "x"]))


def test_a_value_that_wasi_nn_has_no_type_for_is_refused_with_its_input(udf):
    with pytest.raises(GuestFailed, match="input `x`: a value of uint64 is above 9223372036854775807"):
        udf(**renamed("UINT64"))({"x": np.array([1, 2**63], np.uint64)})


@pytest.mark.parametrize("dtype", [str, object])
def test_lists_of_strings_come_from_numpy_in_two_dimensions_and_as_objects(udf, dtype):
    texts = [["a", "b"], ["c", "d"]]
    objects = np.empty(2, object)
    objects[:] = [np.array(each, dtype) for each in texts]
    for column in (np.array(texts, dtype), objects):
        assert udf(**renamed("BYTES", (-1, 2)), text=["x"])({"x": column})["y"].to_pylist() == texts


def test_lists_of_lists_of_numbers_are_tensors(udf):
    matrix = [[1.0, 2.0], [3.0, 4.0]]
    nested = pa.list_(pa.list_(pa.float32()))
    made = udf(**renamed("FP32", (-1, 2, 2)))(pa.table({"x": pa.array([matrix, matrix], nested)}))
    assert np.array_equal(BlockAccessor.for_block(made).to_numpy("y"), np.array([matrix, matrix]))
    ragged = pa.table({"x": pa.array([matrix, [[1], [2, 3]], []], nested)})
    made = udf(**renamed("FP32", (-1, -1)), per="row", on_error="null")(ragged)
    assert made["error"].to_pylist()[1].startswith("the column `x` has lists of different lengths in a row")
    assert [cell is None for cell in made["y"].to_pylist()] == [False, True, False]


@pytest.mark.parametrize("lists", [[[1.0, None], [2.0, 3.0]], [[1, None], [2, 3]], [["a", None], ["c", "d"]]])
def test_a_null_within_a_list_costs_its_row_and_is_no_number(udf, lists):
    datatype = {float: "FP64", int: "INT64", str: "BYTES"}[type(lists[1][0])]
    text = ["x"] if datatype == "BYTES" else []
    made = udf(**renamed(datatype, (-1, 2)), on_error="null", text=text)(pa.table({"x": lists}))
    assert made["error"].to_pylist() == ["the column `x` has a list with a null", None]
    assert [each is None for each in made["y"].to_pylist()] == [True, False]


def test_a_null_among_lists_costs_its_row(udf):
    lists = pa.array([[0, 0], [1, 2], None, [3, 4]], pa.list_(pa.int64()))
    for per, shape in (("batch", (-1, 2)), ("row", (2,))):
        made = udf(**renamed("INT64", shape), per=per, on_error="null")(pa.table({"x": lists.slice(1)}))
        assert [cell is None or cell.tolist() for cell in made["y"].to_pylist()] == [[1, 2], True, [3, 4]]
        assert made["error"].to_pylist() == [None, "the column `x` is null", None]


def test_a_null_in_a_column_of_arrows_own_tensors_costs_its_row(udf):
    kind = pa.fixed_shape_tensor(pa.float32(), (2,))
    column = pa.ExtensionArray.from_storage(kind, pa.array([None, [1, 2]], kind.storage_type))
    made = udf(**renamed("FP32", (-1, 2)), on_error="drop")(pa.table({"x": column}))
    assert BlockAccessor.for_block(made).to_numpy("y").tolist() == [[1, 2]]


def test_the_type_of_an_output_is_the_same_if_all_rows_fail(udf):
    for shape in ((-1,), (-1, 3), (-1, -1), (-1, -1, 3)):
        sizes = [2, *(3 if size == -1 else size for size in shape[1:])]
        function = udf(**renamed("UINT8", shape), on_error="null")
        made = [
            function({"x": np.full(sizes, value)} if len(sizes) == 1 else pa.table({"x": tensors(sizes, value)}))
            for value in (1, 300)
        ]
        assert made[0]["y"].type == made[1]["y"].type
        assert [each["y"].null_count for each in made] == [0, 2]


def tensors(sizes, value):
    return ArrowTensorArray.from_numpy(np.full(sizes, value))


def test_a_column_with_the_reasons_of_an_earlier_guest_is_not_replaced(udf):
    batch = {"x": np.arange(2), "error": np.array(["earlier", None], object)}
    with pytest.raises(GuestFailed, match="there is a column `error` already"):
        udf(same("INT64"), on_error="null")(batch)
    made = udf(same("INT64"), on_error="null", error="later")(batch)
    assert made.to_pydict() == {"x": [0, 1], "error": ["earlier", None], "later": [None, None]}
    assert udf(same("INT64"), on_error="null", keep=[])(batch)["error"].to_pylist() == [None, None]


@pytest.mark.parametrize("row", [{"x": 1.0}, {"x": [1.0]}, None, [{"x": 1.0}]])
def test_a_row_is_not_taken_for_a_batch(udf, row):
    with pytest.raises(GuestFailed, match="something else than a batch of columns; use `Dataset"):
        udf(same("FP32"))(row)


def test_columns_of_the_same_name_are_refused(udf):
    with pytest.raises(GuestFailed, match="there are several columns of the name `x`"):
        udf(same("INT64"))(pa.table([[1], [2]], names=["x", "x"]))


def test_numbers_beyond_the_described_float_fail_and_do_not_become_infinite(udf):
    with pytest.raises(GuestFailed, match="the column `x` has values that are too large for FP16"):
        udf(**renamed("FP16"))({"x": np.array([70000.0])})
    assert udf(**renamed("FP16"))({"x": np.array([np.inf, 1.0])})["y"].to_pylist() == [np.inf, 1.0]


def test_a_guest_that_holds_what_it_gets_costs_the_row_at_which_it_is_full(udf):
    described = (("keep", "BYTES", (1,)), ("n", "INT64", (1,)))
    function = udf(
        pipeline(described, (("n", "INT64", (1,)),)), per="row", on_error="drop", limits=Limits(host_bytes=4 << 20)
    )
    made = function(pa.table({"keep": [bytes(1 << 20)] * 9, "n": range(9)}))
    assert made.num_rows >= 6


def test_a_guest_with_a_short_name_is_named(udf):
    with pytest.raises(GuestFailed, match=r"^x: the column `x` is null"):
        udf(same("INT64"), name="x")(pa.table({"x": pa.nulls(1, pa.int64())}))


def test_columns_have_other_names_and_only_some_stay(udf):
    function = udf(same("INT64"), inputs={"x": "given"}, outputs={"x": "made"}, keep=["id"])
    made = function({"id": np.arange(3), "given": np.arange(3) + 10, "other": np.zeros(3)})
    assert made.to_pydict() == {"id": [0, 1, 2], "made": [10, 11, 12]}


def test_an_output_takes_the_place_of_a_column_of_its_name(udf):
    assert udf(same("INT64"))({"x": np.arange(3)}).to_pydict() == {"x": [0, 1, 2]}


def test_integers_and_floats_become_what_is_described_if_they_fit(udf):
    assert udf(**renamed("UINT8"))({"x": np.array([0, 255])})["y"].to_pylist() == [0, 255]
    assert udf(**renamed("FP32"))({"x": np.array([0.5, 2])})["y"].type == pa.float32()
    assert udf(**renamed("FP64"))({"x": np.array([1, 2])})["y"].to_pylist() == [1.0, 2.0]
    with pytest.raises(GuestFailed, match=r"`x` has values from -1 to 256, which UINT8 does not have"):
        udf(**renamed("UINT8"))({"x": np.array([-1, 256])})


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.array([0.5]), "has elements of float64; INT64 was expected"),
        (
            np.array([1, np.nan]),
            'has elements of float64; .* NaN is what Ray makes of nulls .*`batch_format="pyarrow"`',
        ),
        (np.array(["a"]), "has strings or bytes; numbers were expected"),
        (pa.array([datetime(2020, 1, 1)]), "has the type timestamp"),
        (pa.array([{"a": 1}]), "has the type struct"),
    ],
)
def test_a_column_of_another_type_is_raised_whatever_on_error_is(udf, column, reason):
    function = udf(**renamed("INT64"), on_error="drop", name="add.wasm")
    batch = {"x": column} if isinstance(column, np.ndarray) else pa.table({"x": column})
    with pytest.raises(GuestFailed, match=f"^add.wasm: the column `x` {reason}"):
        function(batch)


def test_numbers_for_bytes_are_raised(udf):
    with pytest.raises(GuestFailed, match="has numbers; strings or bytes were expected"):
        udf(**renamed("BYTES"))({"x": np.array([1])})


def test_a_column_that_does_not_exist_is_named_with_those_that_do(udf):
    with pytest.raises(GuestFailed, match="there is no column `x`; the columns are `a`, `b`"):
        udf(same("INT64"), on_error="null")({"a": np.zeros(1), "b": np.zeros(1)})
    with pytest.raises(GuestFailed, match="there are no columns `c`; the columns are `x`"):
        udf(**renamed("INT64"), keep=["c"])({"x": np.zeros(1, int)})


def test_rows_with_a_null_fail_alone(udf):
    function = udf(**renamed("INT64"), on_error="null")
    made = function(pa.table({"x": [1, None, 3]}))
    assert made["y"].to_pylist() == [1, None, 3]
    assert made["error"].to_pylist() == [None, "the column `x` is null", None]
    made = udf(**renamed("BYTES"), on_error="drop", text=["x"])({"x": np.array(["a", None, "c"], object)})
    assert made.to_pydict() == {"x": ["a", "c"], "y": ["a", "c"]}


def test_nulls_in_columns_of_tensors_are_nulls_and_not_numbers(udf):
    column = pa.table({"x": ArrowTensorArray.from_numpy(np.ones((3, 2), np.float32)), "s": ["a", None, "c"]})
    guest = pipeline((("x", "FP32", (-1, 2)), ("s", "BYTES", (-1,))), (("x", "FP32", (-1, 2)), ("s", "BYTES", (-1,))))
    made = udf(guest, on_error="null", outputs={"x": "y", "s": "t"})(column)
    assert made["y"].is_null().to_pylist() == [False, True, False]
    array = BlockAccessor.for_block(made).to_numpy("y")
    assert np.isnan(array[1]).all()
    assert (array[[0, 2]] == 1).all()


def test_a_batch_of_which_nothing_is_left_has_the_types_of_others(udf):
    function = udf(pipeline((("trap", "FP32", (-1,)),), (("trap", "FP32", (-1,)),)), on_error="null", name="bad.wasm")
    made = function({"trap": np.zeros(2, np.float32)})
    assert made.schema == pa.schema({"trap": pa.float32(), "error": pa.string()})
    assert made["trap"].null_count == 2
    assert made["error"].to_pylist() == ["bad.wasm trapped: wasm `unreachable` instruction executed"] * 2
    dropping = udf(pipeline((("trap", "FP32", (-1,)),), (("trap", "FP32", (-1,)),)), on_error="drop")
    assert dropping({"trap": np.zeros(2, np.float32)}).schema == pa.schema({"trap": pa.float32()})


@pytest.mark.parametrize(("per", "shape"), [("batch", (-1, 2)), ("batch", (-1, -1)), ("row", (2,)), ("row", (-1, -1))])
def test_an_empty_batch_has_the_types_of_others(udf, per, shape):
    function = udf(**renamed("FP32", shape), per=per, on_error="drop")
    row = np.ones([2 if size == -1 else size for size in (shape if per == "row" else shape[1:])], np.float32)
    table = pa.table({"x": ArrowTensorArray.from_numpy(np.stack([row, row]))})
    full, empty = function(table), function(table.slice(0, 0))
    assert empty.num_rows == 0
    assert type(empty["y"].type).__name__ == type(full["y"].type).__name__
    assert BlockAccessor.for_block(pa.concat_tables([full, full.slice(0, 0)])).num_rows() == 2


def test_a_guest_for_rows_gets_cells_and_returns_cells(udf):
    inputs = (("x", "FP32", (-1, -1)), ("n", "INT64", (1,)), ("s", "BYTES", (1,)))
    function = udf(
        pipeline(inputs, inputs), per="row", outputs={"x": "x2", "n": "n2", "s": "s2"}, text=["s"], on_error="null"
    )
    arrays = [np.ones((1, 2), np.float32), np.zeros((3, 1), np.float32)]
    table = pa.table({"x": ArrowVariableShapedTensorArray.from_numpy(arrays), "n": [1, 2], "s": ["a", "b"]})
    made = function(table)
    assert [cell.shape for cell in BlockAccessor.for_block(made).to_numpy("x2")] == [(1, 2), (3, 1)]
    assert (made["n2"].to_pylist(), made["s2"].to_pylist()) == ([1, 2], ["a", "b"])
    made = function(table.set_column(2, "s", pa.array(["a", None])))
    assert made["error"].to_pylist() == [None, "the column `s` is null"]
    assert made["x2"].is_null().to_pylist() == [False, True]


def test_lists_of_strings_and_numbers_go_through_a_guest_for_rows(udf):
    inputs = (("s", "BYTES", (-1,)), ("v", "INT32", (-1,)))
    function = udf(pipeline(inputs, inputs), per="row", outputs={"s": "s2", "v": "v2"}, text=["s"])
    lists = {"s": [["a", "b"], []], "v": pa.array([[1], [2, 3]], pa.list_(pa.int32()))}
    made = function(pa.table(lists))
    assert made["s2"].to_pylist() == [["a", "b"], []]
    assert made["v2"].to_pylist() == [[1], [2, 3]]


def test_rows_of_different_shapes_are_not_a_batch(udf):
    arrays = [np.ones((1, 2), np.float32), np.zeros((3, 1), np.float32)]
    table = pa.table({"x": ArrowVariableShapedTensorArray.from_numpy(arrays)})
    with pytest.raises(GuestFailed, match=r'have different shapes, so they are not a tensor; .*`per="row"`'):
        udf(same("FP32", (-1, -1, -1)))(table)


def test_models_have_the_options_of_register(udf):
    guest = pipeline((("compute", "FP32", (-1,)), ("x", "FP32", (-1,))), (("output", "FP32", (-1,)),))
    function = udf(guest, models={"net": Model(scripted(), {"optimize": "freeze"})})
    assert [model.name for model in function.engine.stats.models] == ["net"]
    wrong = udf(guest, models={"net": Model(scripted(), {"optimize": "more"})}, name="add.wasm")
    with pytest.raises(GuestFailed, match=r"add.wasm: `optimize` is `more`; choose one of"):
        wrong({})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"per": "column"}, "`per` is 'column'; choose one of 'batch', 'row'"),
        ({"on_error": "skip"}, "`on_error` is 'skip'; choose one of 'raise', 'null', 'drop'"),
        ({"max_uses": 0}, "`max_uses` is 0"),
        ({"inputs": {"z": "x"}}, "`inputs` has `z`; the guest describes `x`"),
        ({"outputs": {"z": "x"}}, "`outputs` has `z`; the guest describes `x`"),
        ({"text": ["x"]}, "`text` has `x`; the outputs of BYTES are none"),
        ({"error": "x", "on_error": "null"}, "several outputs become the column `x`"),
        ({"engine": {"thread": 1}}, "`engine`: .*'thread'"),
        ({"engine": {"device": "cuda:0"}}, r"the device cuda:0 was chosen, but Ray assigned no GPU .*`num_gpus=1`"),
        ({"models": {"net": 3}}, "a guest or a model is a path, bytes, or `ray.put` of its bytes, not `int`"),
        ({"models": {"net": "no.pt2"}}, "no.pt2"),
        ({"limits": Limits(fuel=10)}, "fuel"),
        ({"inptus": {"x": "y"}}, "GuestUDF: got an unexpected keyword argument 'inptus'; did you mean `inputs`"),
        ({"keep": "id"}, "`keep` is 'id'; give a list of names"),
        ({"inputs": ["x"]}, r"`inputs` is \['x'\]; give a dictionary"),
        ({"models": ["net"]}, r"`models` is \['net'\]; give a dictionary"),
        ({"models": {"net": Model(b"", {"optimise": 1})}}, "the model `net`: .*'optimise'"),
        ({"engine": ["threads"]}, r"`engine` is \['threads'\]; give a dictionary"),
        ({"max_uses": "3"}, "`max_uses` is '3'; give a whole number, or None"),
        ({"max_uses": True}, "`max_uses` is True; give a whole number, or None"),
        ({"limits": None}, "`limits` is None; a value of the type Limits was expected"),
        ({"error": 3}, "`error` is 3; a value of the type str was expected"),
        ({"parameters": {"a": [1]}}, "the parameter `a` has the type list; give a Boolean, a number or a string"),
    ],
)
def test_options_that_are_wrong_are_raised_by_the_first_call(udf, options, reason):
    with pytest.raises(GuestFailed, match=reason):
        udf(same("INT64"), **options)({"x": np.arange(3)})


@pytest.mark.parametrize(
    ("guest", "reason"),
    [
        ("missing.wasm", "missing.wasm does not exist"),
        (b"\0asm\x01\0\0\0", "the guest is a core module; a pipeline is a component of the world"),
        (b"nothing", "the guest is not WebAssembly"),
        (pipeline(), "does not describe its inputs and outputs"),
        (same("BF16"), "describes `x`, `x` as BF16, which columns do not have"),
        (pipeline((("x", "INT64", (1,)),)), "describes no outputs"),
    ],
)
def test_a_guest_that_cannot_be_used_is_raised_by_the_first_call(udf, guest, reason):
    with pytest.raises(GuestFailed, match=reason):
        udf(guest)({"x": np.arange(3)})


def test_a_model_that_is_wrong_is_raised_where_it_is_made():
    with pytest.raises(TypeError, match=r"is a path, bytes, or `ray\.put` of its bytes, not `Linear`"):
        Model(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match="`options` is 'freeze'; give a dictionary"):
        Model("net.pt2", "freeze")


def test_what_a_user_gives_can_be_pickled():
    options = {"models": {"net": Model("net.pt2", {"warm_up": (1, 3)})}, "limits": Limits(timeout=1)}
    assert pickle.loads(pickle.dumps(options)) == options
    assert pickle.loads(pickle.dumps(GuestUDF)) is GuestUDF


def test_an_instance_that_is_given_to_another_process_says_to_give_the_class(udf):
    with pytest.raises(TypeError, match="give `map_batches` the class, and its arguments as `fn_constructor_kwargs`"):
        pickle.dumps(udf(same("INT64")))


def test_outside_of_an_actor_the_log_stays_as_it_is(udf):
    udf(same("INT64"))({"x": np.arange(3)})
    assert logging.getLogger("wasi_nn_torch").parent is logging.getLogger()


def test_an_instance_is_replaced_after_so_many_calls(udf):
    guest = pipeline((("count", "INT32", (1,)),), (("count", "INT32", (1,)),))
    function = udf(guest, per="row", max_uses=3, outputs={"count": "n"})
    # The first use of the first instance was `describe`.
    made = function({"count": np.zeros(7, np.int32)})["n"].to_pylist()
    assert made == [1, 2, 1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("assigned", "visible", "device"),
    [
        ([], None, "cpu"),
        ([], "0,1", "cpu"),
        (["3"], "3", "cuda:0"),
        (["3"], "1,3", "cuda:1"),
        (["3"], None, "cuda:3"),
        (["GPU-1a"], None, "cuda:0"),
        (["GPU-1a"], "GPU-2b, GPU-1a", "cuda:1"),
    ],
)
def test_graphs_are_on_the_accelerator_that_ray_assigned(assigned, visible, device):
    assert device_of(assigned, visible) == device


def test_the_pipeline_of_the_server_is_a_function_on_rows(udf):
    photo = built("build/classify/photos/chelsea.ppm").read_bytes()
    function = udf(
        built("build/udf/guest.wasm"),
        models={"classifier": built("build/classify/model.pt2")},
        per="row",
        text=["label"],
        keep=[],
        on_error="null",
    )
    made = function(pa.table({"photo": [photo, b"GIF89a"]}))
    assert made["label"].to_pylist() == ["Egyptian cat", None]
    assert made["error"].to_pylist() == [None, "not a binary PPM picture (status 400)"]
