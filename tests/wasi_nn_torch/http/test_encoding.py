"""The bodies of responses, as the Open Inference Protocol has them."""

import json
import math
import struct

import pytest

from wasi_nn_torch.http.encoding import encode, to_json
from wasi_nn_torch.http.errors import HttpError
from wasi_nn_torch.http.messages import InferRequest, Wanted
from wasi_nn_torch.pipelines.datatypes import DATATYPES
from wasi_nn_torch.pipelines.values import Value

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


def value(datatype: str, data: bytes, shape=(2,), name="y"):
    return Value(name, DATATYPES[datatype], shape, memoryview(bytearray(data)))


@pytest.mark.parametrize(
    ("datatype", "data", "listed"),
    [
        ("BOOL", b"\1\0", [True, False]),
        ("INT8", b"\xff\1", [-1, 1]),
        ("UINT64", struct.pack("<2Q", 1, 2**64 - 1), [1, 2**64 - 1]),
        ("FP32", struct.pack("<2f", 1, -0.5), [1.0, -0.5]),
        ("FP64", struct.pack("<2d", 0.1, -0.5), [0.1, -0.5]),
        ("BYTES", b"\1\0\0\0a\2\0\0\0\xc3\xbc", ["a", "ü"]),
    ],
)
def test_bytes_become_json(datatype, data, listed):
    encoded = encode("net", "1", InferRequest((), id="7"), [value(datatype, data)])
    assert encoded.binary == []
    assert json.loads(encoded.header) == {
        "model_name": "net",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "datatype": datatype, "shape": [2], "data": listed}],
    }


def test_binary_outputs_are_the_buffers_themselves():
    one, other = value("FP16", b"abcd", name="a"), value("UINT8", b"\1\2", name="b")
    encoded = encode("net", "1", InferRequest((), (Wanted("a", True), Wanted("b", False))), [one, other])
    assert encoded.binary == [one.data]
    assert encoded.binary[0].obj is one.data.obj
    outputs = json.loads(encoded.header)["outputs"]
    assert outputs[0] == {"name": "a", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": 4}}
    assert outputs[1]["data"] == [1, 2]


@pytest.mark.parametrize(
    ("datatype", "data", "text"),
    [("BF16", b"abcd", "`y` is BF16, which JSON cannot carry"), ("BYTES", b"\1\0\0\0\xff\0\0\0\0", "is not UTF-8")],
)
def test_outputs_that_json_cannot_carry_are_refused_in_words(datatype, data, text):
    with pytest.raises(HttpError, match=text) as caught:
        encode("net", "1", InferRequest(()), [value(datatype, data)])
    assert caught.value.status == 400
    assert encode("net", "1", InferRequest((), is_binary=True), [value(datatype, data)]).binary


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("datatype", "code"), [("FP32", "f"), ("FP64", "d")])
def test_numbers_that_json_does_not_have_are_refused_in_json_and_sent_as_bytes(datatype, code, number):
    made = value(datatype, struct.pack(f"<3{code}", 1, number, number), shape=(3,))
    with pytest.raises(HttpError, match=f"element 1 of output `y` is {number}, which JSON .* binary data") as caught:
        encode("net", "1", InferRequest(()), [made])
    assert caught.value.status == 400
    assert encode("net", "1", InferRequest((), is_binary=True), [made]).binary == [made.data]


def test_no_message_of_the_server_can_have_what_json_does_not_have():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"number": math.nan})


def test_an_output_with_very_many_elements_is_not_written_as_json():
    large = value("UINT8", bytes((1 << 20) + 1), shape=((1 << 20) + 1,))
    with pytest.raises(HttpError, match="1048577 elements, which is too many for JSON"):
        encode("net", "1", InferRequest(()), [large])
