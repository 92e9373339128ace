"""Models by name: loading, sharing, eviction under a limit, replacing and withdrawing."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading

import pytest
import torch

from wasi_nn_torch import Engine
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.serving.backends import Backends
from wasi_nn_torch.serving.registry import Registry


@pytest.fixture
def registry(device):
    return Registry(Backends(BackendOptions(str(device))))


@pytest.fixture
def path(tmp_path, script):
    file = tmp_path / "net.pt"
    file.write_bytes(script(torch.nn.ReLU()))
    return file


def inner(lease):
    """The backend's own graph."""
    return lease.graph


def not_found(registry: Registry, name: str) -> NnError:
    with pytest.raises(NnError) as caught:
        registry.graph(name)
    assert caught.value.code is ErrorCode.NOT_FOUND
    return caught.value


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: path.read_bytes()], ids=["str", "Path", "bytes"])
def test_a_model_is_registered_from_a_path_or_bytes(kind, registry, path, part, tensor, values):
    registry.register("net", kind(path))
    [(_, output)] = registry.graph("net").context(part).compute([("input", tensor(torch.tensor([-1.0, 2])))])
    assert values(output) == [0, 2]


def test_a_graph_is_on_the_chosen_device_by_default(registry, path, device):
    registry.register("net", path)
    assert inner(registry.graph("net")).device == device


def test_a_graph_can_be_registered_for_another_device(registry, path):
    registry.register("net", path, device="cpu")
    assert inner(registry.graph("net")).device == CPU


def test_a_graph_is_loaded_once_and_shared(registry, path):
    registry.register("net", path)
    path.unlink()
    assert inner(registry.graph("net")) is inner(registry.graph("net"))


def test_a_graph_is_loaded_once_more_for_another_device(accelerator, path):
    registry = Registry(Backends(BackendOptions(str(accelerator))))
    registry.register("net", path)
    assert inner(registry.graph("net", "cpu")).device == CPU
    assert inner(registry.graph("net", "cpu")) is inner(registry.graph("net", "cpu"))


def test_threads_that_ask_at_once_share_one_graph(registry, path):
    registry.register("net", path)
    graphs = []
    threads = [threading.Thread(target=lambda: graphs.append(inner(registry.graph("net", "cpu")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(graphs) == 4
    assert len(set(graphs)) == 1


def test_the_error_for_an_unknown_name_lists_the_known_ones(registry, path):
    registry.register("classifier", path)
    registry.register("detector", path)
    error = not_found(registry, "clasifier")
    assert error.text == (
        "there is no graph `clasifier`; this host offers `classifier`, `detector`; did you mean `classifier`?"
    )


def test_an_empty_registry_offers_none(registry):
    assert not_found(registry, "net").text == "there is no graph `net`; this host offers none"


def test_a_guests_string_is_never_a_path(registry, path):
    registry.register("net", path)
    not_found(registry, str(path))


def test_names_are_listed_in_order(registry, path):
    registry.register("b", path)
    registry.register("a", path)
    assert registry.names == ["b", "a"]


def test_a_name_cannot_be_taken_twice(registry, path):
    registry.register("net", path)
    with pytest.raises(ValueError, match="a graph named `net` already exists"):
        registry.register("net", path)


def test_a_device_that_does_not_exist_is_refused(registry, path):
    with pytest.raises(ValueError, match="`teapot` is not the name of a device"):
        registry.register("net", path, device="teapot")


def test_a_missing_file_is_named(registry, tmp_path):
    with pytest.raises(ModelError, match=f"`{tmp_path / 'no.pt'}` does not exist; check the path"):
        registry.register("net", tmp_path / "no.pt")


def test_a_directory_is_not_a_model(registry, tmp_path):
    with pytest.raises(ModelError, match="is a directory; name the file in it"):
        registry.register("net", tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="only a user other than root can be denied a file")
def test_a_file_that_may_not_be_read_is_named(registry, path):
    path.chmod(0)
    with pytest.raises(ModelError, match=r"cannot be read .*check its permissions"):
        registry.register("net", path)


def test_a_file_that_is_not_a_model_is_named_with_advice(registry, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(ModelError, match=f"`{path}` is a state dict .* export the whole model"):
        registry.register("net", path)


def test_a_name_is_still_free_after_a_failure(registry, path, tmp_path):
    with pytest.raises(ModelError):
        registry.register("net", tmp_path)
    registry.register("net", path)


@pytest.mark.usefixtures("no_gc")
def test_closing_frees_the_weights(registry, tmp_path, script, part, watch):
    registry.register("net", script(torch.nn.Linear(3, 2)))
    context = registry.graph("net").context(part)
    weights = [watch(parameter) for parameter in context._model.parameters()]
    registry.close()
    assert not any(is_free() for is_free in weights)
    del context
    assert all(is_free() for is_free in weights)


class Weights(torch.nn.Module):
    """Takes 4,000 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1000))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight[: x.size(0)]


@pytest.fixture
def heavy(tmp_path, script):
    """A file whose model takes 4,000 bytes."""
    file = tmp_path / "heavy.pt"
    file.write_bytes(script(Weights()))
    return file


@pytest.fixture
def budgeted(device):
    """A registry with room for two of the heavy models."""
    return Registry(Backends(BackendOptions(str(device))), budget=9000)


def loaded(registry):
    return [name for name in registry.names if registry._entries[name].loaded]


def test_the_size_of_a_model_is_known(registry, heavy):
    registry.register("net", heavy)
    assert registry.graph("net").graph.nbytes == 4000


def test_the_least_recently_used_graph_is_evicted_first(budgeted, heavy):
    budgeted.register("a", heavy)
    budgeted.register("b", heavy)
    assert loaded(budgeted) == ["a", "b"]
    budgeted.graph("a")
    budgeted.register("c", heavy)
    assert loaded(budgeted) == ["a", "c"]


def test_an_evicted_graph_is_loaded_again(budgeted, heavy, part, tensor, values):
    for name in "abc":
        budgeted.register(name, heavy)
    assert loaded(budgeted) == ["b", "c"]
    [(_, output)] = budgeted.graph("a").context(part).compute([("x", tensor(torch.tensor([3.0])))])
    assert values(output) == [3]
    assert loaded(budgeted) == ["a", "c"]


@pytest.mark.usefixtures("no_gc")
def test_the_memory_of_an_evicted_graph_is_freed(budgeted, heavy, part, watch):
    budgeted.register("a", heavy)
    is_free = watch(next(iter(budgeted.graph("a").context(part)._model.parameters())))
    budgeted.register("b", heavy)
    assert not is_free()
    budgeted.register("c", heavy)
    assert is_free()


@pytest.mark.parametrize("use", [lambda lease, part: lease, lambda lease, part: lease.context(part)])
def test_a_graph_in_use_is_not_evicted(use, budgeted, heavy, part):
    budgeted.register("a", heavy)
    used = use(budgeted.graph("a"), part)
    for name in "bcd":
        budgeted.register(name, heavy)
    assert loaded(budgeted) == ["a", "d"]
    del used
    budgeted.register("e", heavy)
    assert loaded(budgeted) == ["d", "e"]


def test_a_guest_is_told_if_every_loaded_graph_is_in_use(budgeted, heavy):
    for name in "abc":
        budgeted.register(name, heavy)
    used = [budgeted.graph(name) for name in "bc"]
    with pytest.raises(NnError) as caught:
        budgeted.graph("a")
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert "needs 4000 bytes" in caught.value.text
    assert "models in use already take 8000 (limit 9000)" in caught.value.text
    used.pop()
    budgeted.graph("a")


def test_a_model_beyond_the_budget_is_refused_and_displaces_nothing(budgeted, heavy, script):
    budgeted.register("a", heavy)
    with pytest.raises(ModelError, match=r"the model `large` needs 12000 bytes on .* \(limit 9000\)"):
        budgeted.register("large", script(torch.nn.Linear(2, 1000)))
    assert loaded(budgeted) == ["a"]
    budgeted.register("large", heavy)


def test_a_guest_does_not_learn_about_the_operators_file(budgeted, heavy, caplog):
    for name in "abc":
        budgeted.register(name, heavy)
    heavy.unlink()
    with pytest.raises(NnError) as caught:
        budgeted.graph("a")
    assert caught.value.code is ErrorCode.RUNTIME_ERROR
    assert caught.value.text == "this host could not load the graph `a`; its log says why"
    assert str(heavy) in caplog.text


def test_a_file_that_has_changed_is_not_loaded_again(budgeted, times, tmp_path, caplog):
    path = tmp_path / "net.pt"
    path.write_bytes(times(3))
    budgeted.register("net", path)
    for name in "bc":
        budgeted.register(name, times(1))  # which evict it
    path.write_bytes(times(5))
    with pytest.raises(NnError) as caught:
        budgeted.graph("net")
    assert caught.value.code is ErrorCode.RUNTIME_ERROR
    assert str(path) not in caught.value.text
    assert f"the model file `{path}` has changed since it was registered; register the new file" in caplog.text
    budgeted.replace("net", path)
    assert budgeted.graph("net")


def test_a_file_that_has_not_changed_is_loaded_again(budgeted, times, tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(times(3))
    budgeted.register("net", path)
    for name in "bc":
        budgeted.register(name, times(1))
    path.touch()
    assert budgeted.graph("net")


def test_a_guest_that_asks_for_an_unknown_device_is_told(registry, path):
    registry.register("net", path)
    with pytest.raises(NnError, match="unsupported-operation: `teapot` is not the name of a device"):
        registry.graph("net", "teapot")


def test_threads_never_exceed_the_budget(budgeted, heavy):
    for name in "abcd":
        budgeted.register(name, heavy)
    taken, refused = [], []

    def ask(name):
        for _ in range(50):
            try:
                graph = budgeted.graph(name)
            except NnError as error:
                refused.append(error.code)
            else:
                with budgeted._lock:
                    taken.append(budgeted._taken(budgeted._entries[name].device))
                del graph

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) + len(refused) == 200
    assert max(taken) <= 9000
    assert set(refused) <= {ErrorCode.TOO_LARGE}


# --- models that are replaced and withdrawn ---


class Times(torch.nn.Module):
    """Multiplies; takes as many bytes as it has weights."""

    def __init__(self, factor: float, weights: int = 1000) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((weights,), float(factor)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight[: x.size(0)]


@pytest.fixture
def times(script):
    return lambda factor, weights=1000: script(Times(factor, weights))


@pytest.fixture
def product(tensor, values):
    """The output of a context for the input 2."""
    return lambda context: values(context.compute([("x", tensor(torch.tensor([2.0])))])[0][1])


def test_sessions_keep_the_old_graph_and_new_requests_get_the_new_one(registry, times, product, part):
    registry.register("net", times(3))
    graph = registry.graph("net")
    context = graph.context(part)
    registry.replace("net", times(5))
    assert product(context) == [6]
    assert product(graph.context(part)) == [6]
    assert product(registry.graph("net").context(part)) == [10]


def test_a_replaced_graph_keeps_its_place_among_the_names(registry, times):
    for name in "abc":
        registry.register(name, times(1))
    registry.replace("b", times(2))
    assert registry.names == ["a", "b", "c"]


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize(
    "end", [lambda registry, new: registry.replace("net", new), lambda registry, new: registry.unregister("net")]
)
def test_the_memory_of_a_withdrawn_graph_is_freed_with_its_last_user(end, registry, times, part, watch):
    registry.register("net", times(3))
    graph = registry.graph("net")
    context = graph.context(part)
    is_free = watch(next(iter(context._model.parameters())))
    end(registry, times(5))
    del graph
    assert not is_free()
    del context
    assert is_free()


@pytest.mark.usefixtures("no_gc")
def test_the_memory_of_an_unused_graph_is_freed_at_once(registry, times, part, watch):
    registry.register("net", times(3))
    is_free = watch(next(iter(registry.graph("net").context(part)._model.parameters())))
    registry.unregister("net")
    assert is_free()


def test_an_unregistered_graph_is_not_found_and_its_name_is_free(registry, times):
    registry.register("net", times(3))
    registry.unregister("net")
    not_found(registry, "net")
    assert registry.names == []
    registry.register("net", times(3))


@pytest.mark.parametrize("change", [lambda r: r.replace("nets", b""), lambda r: r.unregister("nets")])
def test_an_unknown_name_cannot_be_replaced_or_unregistered(change, registry, times):
    registry.register("net", times(3))
    with pytest.raises(ValueError, match="there is no graph `nets`; expected one of `net`"):
        change(registry)


@pytest.mark.parametrize("source", [b"nonsense", "/nowhere/model.pt"])
def test_the_old_model_stays_if_the_new_one_cannot_be_loaded(registry, times, part, product, source):
    registry.register("net", times(3))
    with pytest.raises(ModelError):
        registry.replace("net", source)
    assert product(registry.graph("net").context(part)) == [6]


def test_the_old_model_stays_if_there_is_no_room_for_the_new_one(budgeted, times, part, product):
    budgeted.register("net", times(3))
    with pytest.raises(ModelError, match="needs 12000 bytes"):
        budgeted.replace("net", times(5, 3000))
    assert loaded(budgeted) == ["net"]
    assert product(budgeted.graph("net").context(part)) == [6]


def test_a_replaced_graph_makes_room_for_the_new_one(budgeted, times):
    budgeted.register("net", times(3, 2000))
    budgeted.replace("net", times(5, 2000))
    assert loaded(budgeted) == ["net"]


def test_others_are_evicted_for_the_new_graph_only_if_needed(budgeted, times):
    budgeted.register("other", times(3))
    budgeted.register("net", times(3))
    budgeted.replace("net", times(5))
    assert loaded(budgeted) == ["other", "net"]
    budgeted.replace("net", times(5, 2000))
    assert loaded(budgeted) == ["net"]


@pytest.mark.parametrize("use", [lambda lease, part: lease, lambda lease, part: lease.context(part)])
def test_a_withdrawn_graph_counts_while_it_is_used(use, budgeted, times, part):
    budgeted.register("net", times(3))
    used = use(budgeted.graph("net"), part)
    budgeted.replace("net", times(5))
    with pytest.raises(ModelError, match="models in use already take 4000"):
        budgeted.register("more", times(1, 2000))
    del used
    budgeted.register("more", times(1, 2000))


def test_a_graph_withdrawn_during_loading_counts_while_it_is_used(budgeted, times, monkeypatch):
    for name in "abc":
        budgeted.register(name, times(3))
    assert loaded(budgeted) == ["b", "c"]
    entry = budgeted._entries["a"]
    load = entry.load

    def withdrawn_meanwhile(device, format=None):
        budgeted.unregister("a")
        return load(device, format)

    monkeypatch.setattr(entry, "load", withdrawn_meanwhile)
    graph = budgeted.graph("a")
    assert budgeted._taken(entry.device) == 8000
    del graph
    assert budgeted._taken(entry.device) == 4000


def test_threads_that_replace_and_ask_never_exceed_the_budget_and_get_an_offered_graph(budgeted, times, part, product):
    models = {factor: times(factor) for factor in (3, 5, 7)}
    budgeted.register("net", models[3])
    device = budgeted._entries["net"].device
    taken, wrong = [], []

    def replace():
        for factor in [5, 7, 3] * 10:
            with contextlib.suppress(ModelError):  # two old ones may be in use
                budgeted.replace("net", models[factor])

    def ask():
        for _ in range(60):
            answer = product(budgeted.graph("net").context(part))
            with budgeted._lock:
                taken.append(budgeted._taken(device))
            if answer not in ([6], [10], [14]):
                wrong.append(answer)

    threads = [threading.Thread(target=work) for work in (replace, ask, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 120
    assert max(taken) <= 9000
    assert wrong == []
    assert budgeted._taken(device) == 4000


def test_a_guest_that_runs_keeps_its_graph_while_the_operator_replaces_it(probe_file, script, device):
    with Engine(device) as engine:
        engine.register("net", script(Times(3)))
        said = []

        def hear(text):
            said.append(text)
            if b"ready" in text:
                engine.replace("net", script(Times(5)))
            if b"done" in text:
                engine.unregister("net")

        two = [1], "FP32", struct.pack("<f", 2).hex()
        computed = [
            ["get", "graph", "net"], ["begin", "context", "graph"], ["say", "ready"], ["make", "old", *two],
            ["compute", "context", {"x": "old"}, "six"], ["show", "six"],
            ["get", "graph", "net"], ["begin", "context", "graph"], ["make", "new", *two],
            ["compute", "context", {"x": "new"}, "ten"], ["show", "ten"], ["say", "done"], ["get", "none", "net"],
        ]  # fmt: skip
        with engine.session(args=["play", json.dumps(computed)], stdout=hear) as session:
            assert session.run(probe_file) == 0
        answers = [json.loads(line) for line in b"".join(said).splitlines()]
        assert [struct.unpack("<f", bytes.fromhex(answers[at][2]))[0] for at in (1, 2)] == [6, 10]
        assert answers[-1]["code"] == "NOT_FOUND"
        assert engine.names == []
