import os
import threading

import pytest
import torch

from wasi_nn_torch.backends import Backends
from wasi_nn_torch.contract import BackendOptions
from wasi_nn_torch.errors import ErrorCode, ModelError, NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.registry import Registry


@pytest.fixture
def registry(device):
    return Registry(Backends(BackendOptions(str(device))))


@pytest.fixture
def path(tmp_path, script):
    file = tmp_path / "net.pt"
    file.write_bytes(script(torch.nn.ReLU()))
    return file


def inner(lent):
    """The backend's own graph."""
    return lent._loaded.graph


def not_found(registry: Registry, name: str) -> NnError:
    with pytest.raises(NnError) as caught:
        registry.graph(name)
    assert caught.value.code is ErrorCode.NOT_FOUND
    return caught.value


@pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: path.read_bytes()], ids=["str", "Path", "bytes"])
def test_a_model_is_registered_from_a_path_or_bytes(kind, registry, path, ledger, tensor, values):
    registry.register("net", kind(path))
    [(_, output)] = registry.graph("net").context(ledger).compute([("input", tensor(torch.tensor([-1.0, 2])))])
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


def test_an_unknown_name_is_answered_with_those_that_there_are(registry, path):
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
    with pytest.raises(ValueError, match="there is a graph `net` already"):
        registry.register("net", path)


def test_a_device_that_does_not_exist_is_refused(registry, path):
    with pytest.raises(ValueError, match="`teapot` is not the name of a device"):
        registry.register("net", path, device="teapot")


def test_a_missing_file_is_named(registry, tmp_path):
    with pytest.raises(ModelError, match=f"`{tmp_path / 'no.pt'}` does not exist; check the path"):
        registry.register("net", tmp_path / "no.pt")


def test_a_folder_is_no_model(registry, tmp_path):
    with pytest.raises(ModelError, match="is a directory; name the file in it"):
        registry.register("net", tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="only a user other than root can be denied a file")
def test_a_file_that_may_not_be_read_is_named(registry, path):
    path.chmod(0)
    with pytest.raises(ModelError, match=r"cannot be read .*check its permissions"):
        registry.register("net", path)


def test_a_file_that_is_no_model_is_named_with_advice(registry, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(3, 2).state_dict(), path)
    with pytest.raises(ModelError, match=f"`{path}` is a state dict .* save the whole model as TorchScript"):
        registry.register("net", path)


def test_a_name_is_still_free_after_a_failure(registry, path, tmp_path):
    with pytest.raises(ModelError):
        registry.register("net", tmp_path)
    registry.register("net", path)


@pytest.mark.usefixtures("no_gc")
def test_closing_frees_the_weights(registry, tmp_path, script, ledger, watch):
    registry.register("net", script(torch.nn.Linear(3, 2)))
    context = registry.graph("net").context(ledger)
    weights = [watch(parameter) for parameter in context._model.parameters()]
    registry.close()
    assert not any(is_free() for is_free in weights)
    del context
    assert all(is_free() for is_free in weights)
