"""Ready-made clients, unchanged: `tritonclient[http]` and curl."""

import asyncio
import json
import shutil
import subprocess
from urllib.request import Request, urlopen

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as asynchronous
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

# Processes of their own see no simulated accelerator.
pytestmark = pytest.mark.cpu


@pytest.fixture
def client(at):
    with triton.InferenceServerClient(at) as client:
        yield client


def given(array, name="x", datatype=None, binary=True):
    wanted = triton.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    wanted.set_data_from_numpy(array, binary_data=binary)
    return wanted


def test_the_server_says_that_it_lives_and_what_it_is(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("net")
    assert client.is_model_ready("net", "1")
    assert client.get_server_metadata()["name"] == "wasi-nn-torch"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]


def test_the_metadata_of_an_exported_program_are_complete(client):
    assert client.get_model_metadata("exported", "1") == {
        "name": "exported",
        "versions": ["1"],
        "platform": "pytorch",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [
            {"name": "positive", "datatype": "BOOL", "shape": [-1, 3]},
            {"name": "sum", "datatype": "FP32", "shape": [1]},
        ],
    }


def test_the_metadata_of_a_pipeline_are_those_that_it_tells(client):
    metadata = client.get_model_metadata("described")
    assert metadata["inputs"] == [
        {"name": "x", "datatype": "INT16", "shape": [-1, 3]},
        {"name": "flags", "datatype": "BOOL", "shape": [-1]},
    ]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("dtype", "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split())
def test_every_dtype_of_a_model_comes_back_as_it_was(client, dtype, binary):
    array = np.array([[0, 1, 100], [1, 0, 7]]).astype(dtype)
    wanted = [triton.InferRequestedOutput("output", binary_data=binary)]
    made = client.infer(f"same-{dtype}", [given(array, binary=binary)], outputs=wanted).as_numpy("output")
    assert (made.dtype, made.tolist()) == (array.dtype, array.tolist())


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_numbers_of_64_bits_without_a_sign_get_the_type_that_wasi_nn_has(client, binary):
    array = np.array([0, 2**63 - 1], np.uint64)
    wanted = [triton.InferRequestedOutput("output", binary_data=binary)]
    made = client.infer("same", [given(array, binary=binary)], outputs=wanted).as_numpy("output")
    assert (made.dtype, made.tolist()) == (np.int64, array.tolist())


def test_nan_and_infinities_come_back_as_bytes_and_are_an_error_as_json(client):
    array = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    for sent_binary in (True, False):
        inputs = [given(array, binary=sent_binary)]
        assert np.array_equal(client.infer("same", inputs).as_numpy("output"), array, equal_nan=True)
        with pytest.raises(InferenceServerException) as caught:
            client.infer("same", inputs, outputs=[triton.InferRequestedOutput("output", binary_data=False)])
        assert caught.value.status() == "400"
        assert "element 1 of output `output` is nan, which JSON does not have" in caught.value.message()


def test_half_precision_crosses_as_bytes(client):
    half = np.array([1.5, -2], np.float16)
    assert client.infer("same", [given(half)]).as_numpy("output").dtype == np.float16
    brain = np.array([1.5, -2], ml_dtypes.bfloat16)
    result = client.infer("same", [given(brain, datatype="BF16")])
    assert result.get_output("output")["datatype"] == "BF16"
    assert result.as_numpy("output").tolist() == [1.5, -2]


def test_several_inputs_and_outputs_by_name_and_on_request(client):
    x, y = np.ones(3, np.float32), np.arange(3, dtype=np.float32)
    assert client.infer("net", [given(x), given(y, "y")]).as_numpy("output").tolist() == [1, 2, 3]
    array = np.array([[-1, 0, 2]], np.float32)
    both = client.infer("exported", [given(array)])
    assert both.as_numpy("positive").tolist() == [[False, False, True]]
    assert both.as_numpy("sum").tolist() == [1]
    one = client.infer("exported", [given(array)], outputs=[triton.InferRequestedOutput("sum")])
    assert [each["name"] for each in one.get_response()["outputs"]] == ["sum"]


def test_the_id_of_a_request_comes_back(client):
    assert client.infer("net", [given(np.ones(1, np.float32))], request_id="a-7").get_response()["id"] == "a-7"


@pytest.mark.parametrize("way", ["gzip", "deflate"])
def test_requests_may_be_compressed_and_answers_need_not_be(client, way):
    x = np.ones(10_000, np.float32)
    ways = {"request_compression_algorithm": way, "response_compression_algorithm": way}
    assert client.infer("net", [given(x)], **ways).as_numpy("output").sum() == 20_000


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_byte_strings_go_through_a_pipeline(client, binary):
    texts = np.array([[b"ab", "ü".encode()], [b"", b"xyz"]], dtype=np.object_)
    wanted = [triton.InferRequestedOutput("x", binary_data=binary)]
    result = client.infer("texts", [given(texts, datatype="BYTES", binary=binary)], outputs=wanted).as_numpy("x")
    assert [each.encode() if isinstance(each, str) else each for each in result.flat] == list(texts.flat)


def test_a_graph_takes_one_byte_string_as_a_vector_of_bytes(client):
    image = np.array([b"\x01\x02\xff"], dtype=np.object_)
    assert client.infer("same", [given(image, datatype="BYTES")]).as_numpy("output").tolist() == [1, 2, 255]


def test_a_pipeline_that_describes_its_types_gets_and_gives_them(client):
    x, flags = np.array([[1, -2, 3]], np.int16), np.array([True, False])
    result = client.infer("described", [given(x), given(flags, "flags")])
    assert result.as_numpy("x").dtype == np.int16
    assert result.as_numpy("x").tolist() == [[1, -2, 3]]
    assert result.as_numpy("flags").tolist() == [True, False]


def test_a_pipeline_computes_graphs(client):
    inputs = [given(np.ones(1, np.uint8), "compute"), given(np.ones((2, 2), np.float32))]
    assert client.infer("plain", inputs).as_numpy("output").tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize(
    ("model", "inputs", "text"),
    [
        ("nothing", [], "there is no model `nothing`"),
        ("net", [("z", np.ones(1, np.float32))] * 1 + [("w", np.ones(1, np.float32))], "unknown: `z`, `w`"),
        ("net", [], "missing: `x`"),
        ("exported", [("x", np.ones((1, 4), np.float32))], "the model was exported for [s"),
        ("fails", [("x", np.ones(1, np.float32))], "fails on purpose"),
        ("described", [("x", np.ones((1, 3), np.int16))], "missing inputs: `flags`"),
        ("described", [("x", np.ones((1, 3), np.int16)), ("f", np.ones(1, bool))], "unknown inputs: `f`"),
        ("described", [("x", np.ones((1, 3), np.int32)), ("flags", np.ones(1, bool))], "`x` is INT32; expected INT16"),
        ("described", [("x", np.ones((3,), np.int16)), ("flags", np.ones(1, bool))], "`x` is [3]; expected [-1, 3]"),
        ("plain", [("fail", np.ones(1, np.uint8))], "not today"),
        ("same", [("x", np.array([2**64 - 1], np.uint64))], "a value of uint64 is above"),
    ],
)
def test_errors_reach_the_client_in_words(client, model, inputs, text):
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [given(array, name) for name, array in inputs])
    assert text in caught.value.message()


def test_outputs_that_do_not_exist_are_named(client):
    with pytest.raises(InferenceServerException) as caught:
        client.infer("net", [given(np.ones(1, np.float32))], outputs=[triton.InferRequestedOutput("logits")])
    assert "unknown outputs: `logits`; the outputs are `output`" in caught.value.message()


def test_requests_are_sent_at_the_same_time(at):
    with triton.InferenceServerClient(at, concurrency=4) as client:
        arrays = [np.full(3, number, np.float32) for number in range(20)]
        waiting = [client.async_infer("net", [given(array)]) for array in arrays]
        made = [each.get_result().as_numpy("output").tolist() for each in waiting]
    assert made == [[number + 1] * 3 for number in range(20)]


def test_the_client_for_asyncio_does_the_same(at):
    async def ask():
        async with asynchronous.InferenceServerClient(at) as client:
            assert await client.is_server_ready()
            wanted = asynchronous.InferRequestedOutput("output", binary_data=False)
            x = asynchronous.InferInput("x", [1], "FP32")
            x.set_data_from_numpy(np.ones(1, np.float32))
            answers = await asyncio.gather(*(client.infer("net", [x], outputs=[wanted]) for _ in range(10)))
            return [each.as_numpy("output").tolist() for each in answers]

    assert asyncio.run(ask()) == [[2]] * 10


def test_the_version_headers_and_parameters_of_a_request_are_passed_on(client):
    result = client.infer(
        "plain",
        [given(np.ones(1, np.uint8), "who")],
        model_version="1",
        headers={"X-Tenant": "acme"},
        query_params={"any": "thing"},
        timeout=20_000_000,
        parameters={"own": 1},
    )
    assert bytes(result.as_numpy("tenant")) == b"acme"
    assert 0 < result.as_numpy("left")[0] <= 20_000


def test_the_timeout_of_a_request_is_kept(client):
    with pytest.raises(InferenceServerException, match=r"did not answer in time|not answered in time") as caught:
        client.infer("plain", [given(np.ones(1, np.uint8), "loop")], timeout=100_000)
    assert caught.value.status() == "504"


def test_a_body_that_the_client_wrote_for_another_way_to_send_it_is_understood(client, at):
    body, length = client.generate_request_body([given(np.ones(3, np.float32))])
    headers = {"Inference-Header-Content-Length": str(length)}
    with urlopen(Request(f"http://{at}/v2/models/net/infer", data=body, headers=headers), timeout=20) as answer:
        found = client.parse_response_body(
            answer.read(), header_length=int(answer.headers["Inference-Header-Content-Length"] or 0) or None
        )
    assert found.as_numpy("output").tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("model_repository", lambda client: client.get_model_repository_index()),
        ("model_repository", lambda client: client.load_model("net")),
        ("model_repository", lambda client: client.unload_model("net")),
        ("model_configuration", lambda client: client.get_model_config("net")),
        ("model_configuration", lambda client: client.get_model_config("net", "1")),
        ("statistics", lambda client: client.get_inference_statistics()),
        ("statistics", lambda client: client.get_inference_statistics("net")),
        ("statistics", lambda client: client.get_inference_statistics("net", "1")),
        ("system_shared_memory", lambda client: client.get_system_shared_memory_status()),
        ("system_shared_memory", lambda client: client.register_system_shared_memory("r", "/k", 8)),
        ("system_shared_memory", lambda client: client.unregister_system_shared_memory()),
        ("cuda_shared_memory", lambda client: client.get_cuda_shared_memory_status("r")),
        ("cuda_shared_memory", lambda client: client.register_cuda_shared_memory("r", b"handle", 0, 8)),
        ("trace", lambda client: client.get_trace_settings()),
        ("trace", lambda client: client.update_trace_settings("net", {"trace_rate": "1"})),
        ("logging", lambda client: client.get_log_settings()),
        ("logging", lambda client: client.update_log_settings({"log_verbose_level": 1})),
    ],
)
def test_extensions_that_the_server_does_not_have_are_errors_that_name_them(client, name, ask):
    with pytest.raises(InferenceServerException) as caught:
        ask(client)
    assert caught.value.status() == "404"
    assert caught.value.message() == (
        f"this server does not have the extension `{name}` of Triton; those that it has are listed at /v2"
    )
    assert name not in client.get_server_metadata()["extensions"]


def test_the_extension_for_classes_is_refused(client):
    wanted = triton.InferRequestedOutput("output", class_count=2)
    with pytest.raises(InferenceServerException, match="`classification`, which this server does not support"):
        client.infer("net", [given(np.ones(3, np.float32))], outputs=[wanted])


# --- curl ---


def curl(at, path, *options, data=None):
    """The status, the headers, and the body of an answer."""
    command = ["curl", "-sS", "-i", "--max-time", "20", f"http://{at}{path}", *options]
    if data is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=30)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@needs_curl
def test_curl_gets_numbers_as_json(at):
    message = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}
    status, headers, body = curl(at, "/v2/models/net/infer", data=json.dumps(message).encode())
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [2], "data": [2.0, 3.0]}]


@needs_curl
def test_curl_gets_errors_as_json(at):
    for path, options, status in [
        ("/v2/models/net/infer", ("-X", "PUT"), 405),
        ("/v2/models/net", ("-X", "POST"), 405),
        ("/v2/models/net/versions/2", (), 404),
        ("/v2/nothing", (), 404),
        ("/nothing", (), 404),
    ]:
        answer, headers, body = curl(at, path, *options)
        assert (answer, headers["content-type"]) == (status, "application/json")
        assert list(json.loads(body)) == ["error"]


@needs_curl
def test_curl_keeps_its_request_id_or_gets_one(at):
    assert curl(at, "/v2", "-H", "X-Request-Id: mine")[1]["x-request-id"] == "mine"
    assert len(curl(at, "/v2", "-H", "X-Request-Id: two words")[1]["x-request-id"]) == 32
