"""Sessions that offer only some of the registered graphs: what their guests find, and what they learn of the others."""

from __future__ import annotations

import json
import struct

import pytest
import torch

from tests.guests import witx
from tests.wasi_nn_torch.helpers.models import Add, Scale, scripted
from tests.wasi_nn_torch.helpers.plugins import Plugin, compiled
from tests.wasi_nn_torch.helpers.versions import VERSIONS, guest_of
from wasi_nn_torch import Engine
from wasi_nn_torch.hosts.witx_numbers import Errno
from wit_host import ResultError

#: Registered, offered to no session here, and never to be named to a guest.
SECRET = "internal-fraud-scores"
#: Nothing of this name was ever registered; as long as the secret one, so that only the name may differ in a text.
UNKNOWN = "absolutely-not-anyway"


@pytest.fixture
def engine(device):
    with Engine(device, cache=False) as engine:
        for name in ("add", "other", SECRET):
            engine.register(name, scripted(Add()))
        yield engine


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


def start(session, version="2024-10-28"):
    package = guest_of(version)
    return session.start(package.wasm, package.bindings.Guest)


def found(exports, *names):
    """Those of the names for which the guest gets a graph."""
    return [name for name in names if told(exports, name) is None]


def told(exports, name):
    """The code and the text of the error for a name, or None if the guest gets the graph."""
    try:
        exports.graph.load_by_name(name).drop()
    except ResultError as error:
        with error.value as refusal:
            return refusal.code().name, refusal.data()
    return None


# --- what guests find ---


def test_a_guest_finds_the_graphs_of_its_session_only(engine, version):
    with engine.session(graphs=["add", "other"]) as session:
        assert found(start(session, version), "add", "other", SECRET, UNKNOWN) == ["add", "other"]
    with engine.session(graphs=["other"]) as session:
        assert found(start(session, version), "add", "other", SECRET, UNKNOWN) == ["other"]


def test_a_graph_that_is_kept_from_a_guest_is_answered_as_an_unknown_name(engine, version):
    with engine.session(graphs=["add"]) as session:
        exports = start(session, version)
        code, text = told(exports, SECRET)
        assert (code, text.replace(SECRET, UNKNOWN)) == told(exports, UNKNOWN)
    assert code == "NOT_FOUND"
    assert text == f"there is no graph `{SECRET}`; this host offers `add`"


@pytest.mark.parametrize("misspelled", ["others", SECRET + "s"])
def test_no_similar_name_is_suggested_that_is_kept_from_the_guest(engine, version, misspelled):
    with engine.session(graphs=["add"]) as session:
        assert told(start(session, version), misspelled)[1].endswith("this host offers `add`")
    with engine.session(graphs=["add", "other"]) as session:
        assert told(start(session, version), "others")[1].endswith("did you mean `other`?")


def test_a_core_module_finds_the_graphs_of_its_session_only(engine):
    with engine.session(graphs=["add"]) as session:
        library = session.start(witx.passing())
        texts = []
        for name in (SECRET, UNKNOWN):
            library.write(witx.NAME, name.encode())
            assert library.call("load_by_name", witx.NAME, len(name), witx.ANSWER) == Errno.NOT_FOUND
            texts.append(session.last_refusal.text.replace(name, "…"))
            config = json.dumps({"device": "cpu"}).encode()
            library.write(witx.CONFIG, config)
            where = (witx.NAME, len(name), witx.CONFIG, len(config), witx.ANSWER)
            assert library.call("load_by_name_with_config", *where) == Errno.NOT_FOUND
        assert texts[0] == texts[1]
        library.write(witx.NAME, b"add")
        assert library.call("load_by_name", witx.NAME, 3, witx.ANSWER) == Errno.SUCCESS


def test_an_unknown_device_tells_nothing_of_a_graph_that_is_kept_from_the_guest(engine):
    with engine.session(graphs=["add"]) as session:
        library = session.start(witx.passing())
        config = json.dumps({"device": "tpu"}).encode()
        library.write(witx.CONFIG, config)
        answers = {}
        for name in ("add", SECRET, UNKNOWN):
            library.write(witx.NAME, name.encode())
            where = (witx.NAME, len(name), witx.CONFIG, len(config), witx.ANSWER)
            answers[name] = library.call("load_by_name_with_config", *where)
    assert answers == {
        "add": Errno.UNSUPPORTED_OPERATION,
        SECRET: Errno.NOT_FOUND,
        UNKNOWN: Errno.NOT_FOUND,
    }


def test_without_the_argument_a_guest_finds_every_graph(engine, version):
    with engine.session() as session:
        assert found(start(session, version), "add", "other", SECRET) == ["add", "other", SECRET]
    with engine.session(graphs=None) as session:
        assert found(start(session, version), SECRET) == [SECRET]


def test_no_names_mean_no_graphs(engine, version):
    with engine.session(graphs=[]) as session:
        assert told(start(session, version), "add") == (
            "NOT_FOUND",
            "there is no graph `add`; this host offers none",
        )


def test_two_sessions_of_one_guest_have_graphs_of_their_own(engine):
    package = guest_of("2024-10-28")
    guest = engine.compile(package.wasm)
    with engine.session(graphs=["add"]) as first, engine.session(graphs=["other"]) as second:
        one = first.start(guest, package.bindings.Guest)
        two = second.start(guest, package.bindings.Guest)
        assert found(one, "add", "other") == ["add"]
        assert found(two, "add", "other") == ["other"]


def test_the_collection_is_read_once(engine):
    names = ["add"]
    with engine.session(graphs=names) as session:
        names.append(SECRET)
        assert found(start(session), "add", SECRET) == ["add"]


def test_every_instance_of_a_pool_has_the_graphs_of_the_pool(engine):
    package = guest_of("2024-10-28")
    with engine.pool(package.wasm, package.bindings.Guest, graphs=["add"], max_uses=1) as pool:
        for _ in range(2):
            with pool.lease() as exports:
                assert found(exports, "add", "other", SECRET) == ["add"]
        assert pool.stats.started == 2


# --- names that are wrong ---


def test_an_unknown_name_is_an_error_of_the_operator_at_once(engine):
    expected = f"there is no graph `ad`; expected one of `add`, `other`, `{SECRET}`"
    with pytest.raises(ValueError, match=expected):
        engine.session(graphs=["add", "ad"])
    with pytest.raises(ValueError, match=expected):
        engine.pool(compiled(engine), Plugin, graphs=["ad"])
    assert engine.stats.opened == 0


@pytest.mark.parametrize("graphs", ["add", b"add"])
def test_one_name_in_place_of_several_is_a_type_error(engine, graphs):
    with pytest.raises(TypeError, match=r"`graphs` takes several texts, such as \[\"classifier\"\], not (str|bytes)"):
        engine.session(graphs=graphs)


def test_a_name_that_is_no_text_is_a_type_error(engine):
    with pytest.raises(TypeError, match=r"`graphs` takes texts, such as \[\"classifier\"\], not int"):
        engine.session(graphs=[1])


# --- models that change during the session ---


def test_a_name_stands_for_the_model_of_the_moment(engine):
    with engine.session(graphs=["add"]) as session:
        exports = start(session)
        engine.replace("add", scripted(Scale(5.0)))
        assert computed(exports, 3.0) == 15.0
        engine.unregister("add")
        assert told(exports, "add") == ("NOT_FOUND", "there is no graph `add`; this host offers none")
        engine.register("add", scripted(Scale(7.0)))
        assert computed(exports, 3.0) == 21.0


def test_a_graph_that_is_registered_later_is_not_offered(engine):
    with engine.session(graphs=["add"]) as session:
        exports = start(session)
        engine.register("later", scripted(Add()))
        assert found(exports, "later") == []


def test_a_pool_starts_instances_after_one_of_its_graphs_was_unregistered(engine):
    package = guest_of("2024-10-28")
    with engine.pool(package.wasm, package.bindings.Guest, graphs=["add", "other"], max_uses=1) as pool:
        engine.unregister("other")
        with pool.lease() as exports:
            assert found(exports, "add", "other") == ["add"]


def computed(exports, number):
    types = guest_of("2024-10-28").bindings.tensor.TensorType
    tensor = exports.tensor.new_tensor([1], types.FP32, struct.pack("<f", number))
    with exports.graph.load_by_name("add") as graph:
        context = graph.init_execution_context()
    [(_, output)] = context.compute([("x", tensor)])
    return torch.frombuffer(bytearray(output.data()), dtype=torch.float32).item()
