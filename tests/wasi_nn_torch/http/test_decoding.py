"""The bodies of requests, as the Open Inference Protocol has them."""

import json
import math
import struct

import pytest

from wasi_nn_torch.http.decoding import decode
from wasi_nn_torch.http.errors import HttpError
from wasi_nn_torch.http.messages import Wanted
from wasi_nn_torch.pipelines.datatypes import DATATYPES

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


def item(name="x", datatype="FP32", shape=(2,), **more):
    return {"name": name, "datatype": datatype, "shape": list(shape), **more}


def read(message, binary=b"", length=None):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    before = (len(text) if length is None else length) if binary or length is not None else None
    return decode(memoryview(bytearray(text + binary)), before)


def refused(message, binary=b"", length=None) -> str:
    with pytest.raises(HttpError) as caught:
        read(message, binary, length)
    assert caught.value.status == 400
    return caught.value.text


@pytest.mark.parametrize(
    ("datatype", "data", "packed"),
    [
        ("BOOL", [True, False], b"\1\0"),
        ("BOOL", [1, 0], b"\1\0"),
        ("UINT8", [1, 255], b"\1\xff"),
        ("INT8", [-1, 1], b"\xff\1"),
        ("UINT16", [1, 65535], struct.pack("<2H", 1, 65535)),
        ("INT16", [-1, 1], struct.pack("<2h", -1, 1)),
        ("UINT32", [1, 2**32 - 1], struct.pack("<2I", 1, 2**32 - 1)),
        ("INT32", [-1, 1], struct.pack("<2i", -1, 1)),
        ("UINT64", [1, 2**64 - 1], struct.pack("<2Q", 1, 2**64 - 1)),
        ("INT64", [-1, 1], struct.pack("<2q", -1, 1)),
        ("FP32", [1, -0.5], struct.pack("<2f", 1, -0.5)),
        ("FP64", [1, -0.5], struct.pack("<2d", 1, -0.5)),
        ("BYTES", ["a", "ü"], b"\1\0\0\0a\2\0\0\0\xc3\xbc"),
    ],
)
def test_json_becomes_bytes(datatype, data, packed):
    [value] = read({"inputs": [item(datatype=datatype, data=data)]}).inputs
    assert (value.name, value.datatype, value.shape) == ("x", DATATYPES[datatype], (2,))
    assert bytes(value.data) == packed


def test_nested_lists_are_row_major():
    [value] = read({"inputs": [item(datatype="UINT8", shape=(2, 2), data=[[1, 2], [3, 4]])]}).inputs
    assert bytes(value.data) == b"\1\2\3\4"


def test_binary_data_follow_the_json_in_order_and_are_not_copied():
    inputs = [
        item("x", "FP16", (2,), parameters={"binary_data_size": 4}),
        item("y", "UINT8", (1,), data=[7]),
        item("z", "BYTES", (2,), parameters={"binary_data_size": 9}),
    ]
    text = json.dumps({"inputs": inputs}).encode()
    body = bytearray(text + b"abcd" + b"\1\0\0\0x\0\0\0\0")
    x, y, z = decode(memoryview(body), len(text)).inputs
    assert [bytes(each.data) for each in (x, y, z)] == [b"abcd", b"\7", b"\1\0\0\0x\0\0\0\0"]
    body[len(text)] = ord("A")
    assert bytes(x.data) == b"Abcd"


def test_ids_parameters_and_outputs_are_read():
    message = {
        "id": "7",
        "parameters": {"a": 1, "b": "x", "c": True, "d": 0.5, "binary_data_output": True},
        "inputs": [],
        "outputs": [{"name": "p", "parameters": {"binary_data": False}}, {"name": "q"}],
    }
    request = read(message)
    assert (request.id, request.is_binary) == ("7", True)
    assert request.parameters == {"a": 1, "b": "x", "c": True, "d": 0.5}
    assert request.outputs == (Wanted("p", False), Wanted("q"))


def test_a_tensor_without_elements_is_accepted():
    [value] = read({"inputs": [item(shape=(0, 3), data=[])]}).inputs
    assert (value.shape, value.data.nbytes) == ((0, 3), 0)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"[", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"inputs": [' + b"1" * 5000 + b"]}", "not valid JSON"),
        ([], "the request must be a JSON object"),
        ({}, "needs `inputs`, a list"),
        ({"inputs": 1}, "needs `inputs`, a list"),
        ({"inputs": [1]}, "an input must be a JSON object"),
        ({"inputs": [{}]}, "the name of an input must be a string"),
        ({"inputs": [item(shape=(-1,), data=[])]}, "a `shape`, a list of sizes of at least 0"),
        ({"inputs": [{"name": "x", "datatype": "FP32"}]}, "a `shape`, a list of sizes of at least 0"),
        ({"inputs": [item(shape=(True,), data=[1])]}, "a `shape`, a list of sizes of at least 0"),
        ({"inputs": [item(shape=(1,) * 65, data=[1])]}, "has 65 dimensions (limit 64)"),
        ({"inputs": [item(datatype="FP8", data=[1, 2])]}, "the datatype of input `x` is `FP8`; expected one of BOOL"),
        ({"inputs": [{"name": "x", "shape": [1]}]}, "the datatype of input `x` is missing"),
        ({"inputs": [item()]}, "input `x` needs `data`, a list, or the parameter `binary_data_size`"),
        ({"inputs": [item(data=[1])]}, "input `x` of shape [2] needs 2 elements, but `data` has 1"),
        ({"inputs": [item(data=[[1], 2])]}, "nested to different depths"),
        ({"inputs": [item(data=[1, "2"])]}, "the data of input `x` are not FP32"),
        ({"inputs": [item(data=[1, None])]}, "the data of input `x` are not FP32"),
        ({"inputs": [item(data=[1, 1e39])]}, "the data of input `x` are not FP32"),
        ({"inputs": [item(data=[1, -(10**400)])]}, "the data of input `x` are not FP32"),
        ({"inputs": [item(datatype="INT32", data=[1, 2.5])]}, "the data of input `x` are not INT32"),
        ({"inputs": [item(datatype="INT8", data=[1, 200])]}, "the data of input `x` are not INT8"),
        ({"inputs": [item(datatype="UINT64", data=[1, -1])]}, "the data of input `x` are not UINT64"),
        ({"inputs": [item(datatype="BOOL", data=[1, 2])]}, "2 is neither true nor false"),
        ({"inputs": [item(datatype="FP16", data=[1, 2])]}, "which JSON cannot carry; send it as binary data"),
        ({"inputs": [item(datatype="BYTES", data=["a", 2])]}, "must be strings, since it is BYTES"),
        ({"inputs": [item(data=[1, 2])] * 2}, "several inputs of the same name: `x`"),
        ({"inputs": [], "outputs": [{"name": "y"}] * 2}, "several outputs of the same name: `y`"),
        ({"inputs": [], "id": 7}, "the id must be a string"),
        ({"inputs": [], "parameters": {"a": []}}, "the parameter `a` of the request must be a string"),
        ({"inputs": [], "parameters": {"binary_data_output": 1}}, "`binary_data_output` must be true or false"),
        ({"inputs": [{}] * 1025}, "the request has 1025 inputs (limit 1024)"),
        (
            {"inputs": [item(parameters={"shared_memory_region": "r"})]},
            "input `x` has the parameter `shared_memory_region`, which this server does not support",
        ),
        (
            {"inputs": [item(data=[1, 2], parameters={"binary_data_size": 8})]},
            "has both `data` and `binary_data_size`",
        ),
        (
            {"inputs": [item(parameters={"binary_data_size": 8})]},
            "the binary data of input `x` end at byte 8, but 0 follow the JSON",
        ),
        ({"inputs": [item(parameters={"binary_data_size": "8"})]}, "must be a number of bytes"),
    ],
)
def test_whatever_the_protocol_does_not_allow_is_refused_in_words(message, text):
    assert text in refused(message)


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_is_too_large_for_any_float_is_refused_rather_than_infinite(datatype, number):
    text = json.dumps({"inputs": [item(datatype=datatype, data=[1, 0])]}).replace("[1, 0]", f"[Infinity, {number}]")
    assert "element 1 is too large" in refused(text.encode())


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_the_words_for_nan_and_infinities_are_accepted_as_clients_of_triton_send_them(datatype):
    text = json.dumps({"inputs": [item(datatype=datatype, shape=(3,), data=[])]})
    value = read(text.replace("[]", "[NaN, Infinity, -Infinity]").encode()).inputs[0]
    numbers = value.data.cast(value.datatype.code).tolist()
    assert math.isnan(numbers[0])
    assert numbers[1:] == [math.inf, -math.inf]


def test_binary_data_of_the_wrong_size_are_refused():
    message = {"inputs": [item(parameters={"binary_data_size": 4})]}
    assert "input `x` of FP32 [2] needs 8 bytes, but `binary_data_size` is 4" in refused(message, bytes(4))
    message = {"inputs": [item(parameters={"binary_data_size": 8})]}
    assert "1 bytes are left after the binary data of all inputs" in refused(message, bytes(9))


def test_byte_strings_with_wrong_lengths_are_refused():
    message = {"inputs": [item(datatype="BYTES", parameters={"binary_data_size": 5})]}
    assert "an element at byte 4 has 9 bytes, which is beyond the end, 5" in refused(message, b"\x09\0\0\0a")
    assert "there are 1 elements; 2 were expected" in refused(message, b"\1\0\0\0a")
    message = {"inputs": [item(datatype="BYTES", shape=(1,), parameters={"binary_data_size": 400_000})]}
    assert "there are more elements; 1 were expected" in refused(message, bytes(400_000))
    message = {"inputs": [item(datatype="BYTES", shape=(300_000,), parameters={"binary_data_size": 1_200_000})]}
    assert "has too many elements (limit 262144)" in refused(message, bytes(1_200_000))
    message = {"inputs": [item(datatype="BYTES", parameters={"binary_data_size": 2})]}
    assert "the length of an element is cut off at byte 0 of 2" in refused(message, b"ab")


@pytest.mark.parametrize(("text", "length"), [(b"", None), (b" \r\n", None), (b"", 0)])
def test_a_request_without_json_is_told_what_is_missing(text, length):
    assert refused(text, length=length) == "the request has no JSON; send an object with `inputs`"


def test_a_length_of_the_json_beyond_the_body_is_refused():
    assert "is 99, but the body has 2 bytes" in refused(b"{}", length=99)
