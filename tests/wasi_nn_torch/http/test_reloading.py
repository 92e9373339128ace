"""When files of models are loaded again, and what is tried again."""

import asyncio
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wasi_nn_torch.http import reloading as reloads
from wasi_nn_torch.http.reloading import Reloading, Source

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu


class Model:
    """A model that is loaded from a file, as long as `fault` is None; `loads` are the contents that were read."""

    def __init__(self, folder) -> None:
        self.file = folder / "model"
        self.file.write_text("old")
        self.loads: list[str] = []
        self.fault: Exception | None = None

    def files(self):
        """The files that it was loaded from."""
        return [self.file]

    def load(self) -> None:
        self.loads.append(self.file.read_text())
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def model(tmp_path):
    return Model(tmp_path)


@asynccontextmanager
async def reloading(*models: Model, seconds: float | None = None, since: int | None = None):
    """Looks for changes in the block."""
    sources = [Source(f"m{n}", model.file, model.load, model.files) for n, model in enumerate(models)]
    made = Reloading(sources, seconds, since)
    task = asyncio.create_task(made.run())
    try:
        yield made
        assert not task.done(), "nobody looks for changes any more"
    finally:
        task.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_an_error_of_a_library_does_not_end_reloading(model, caplog):
    async def look() -> None:
        async with reloading(model, seconds=0.01):
            model.fault = KeyError("a fault of a library")
            model.file.write_text("new")
            await until(lambda: "m0 was not reloaded, and stays as it was" in caplog.text)
            model.fault = None
            model.file.write_text("newer")
            await until(lambda: "m0 was reloaded" in caplog.text)

    asyncio.run(look())
    assert model.loads == ["new", "newer"]
    assert "a fault of a library" in caplog.text


def test_being_asked_tries_again_what_could_not_be_loaded_though_its_file_is_the_same(model, tmp_path, caplog):
    (tmp_path / "other").mkdir()
    other = Model(tmp_path / "other")

    async def look() -> None:
        async with reloading(model, other) as looking:
            model.fault = OSError("weights.bin is missing")
            model.file.write_text("new")
            looking.now()
            await until(lambda: "m0 was not reloaded, and stays as it was: weights.bin is missing" in caplog.text)
            model.fault = None
            looking.now()
            await until(lambda: "m0 was reloaded" in caplog.text)
            looking.now()  # after which nothing is left to be tried
            other.file.write_text("newer")
            await until(lambda: "m1 was reloaded" in caplog.text)

    asyncio.run(look())
    assert model.loads == ["new", "new"]
    assert other.loads == ["newer"]


def test_what_could_not_be_loaded_is_not_tried_again_by_itself(model, tmp_path, caplog):
    (tmp_path / "other").mkdir()
    other = Model(tmp_path / "other")

    async def look() -> None:
        async with reloading(model, other, seconds=0.01):
            model.fault = OSError("weights.bin is missing")
            model.file.write_text("new")
            await until(lambda: model.loads)
            other.file.write_text("newer")
            await until(lambda: other.loads)

    asyncio.run(look())
    assert model.loads == ["new"]
    assert caplog.text.count("m0 was not reloaded") == 1


def test_being_asked_says_which_file_is_missing(model, caplog):
    async def look() -> None:
        async with reloading(model) as looking:
            model.file.unlink()
            looking.now()
            await until(lambda: f"m0 stays as it was: {model.file} cannot be found" in caplog.messages)

    asyncio.run(look())
    assert not model.loads


class Growing(Model):
    """A model whose file grows whenever somebody looks at it, until it has three parts."""

    def files(self):
        """The files that it was loaded from."""
        if len(written := self.file.read_text()) < 3:
            self.file.write_text(f"{written}{len(written)}")
        return [self.file]


def test_a_file_that_still_changes_when_the_server_is_asked_is_read_afterwards(tmp_path, monkeypatch):
    """Nothing asks a second time, and nothing looks at intervals."""
    monkeypatch.setattr(reloads, "_QUIET", 0.01)
    model = Growing(tmp_path)
    model.file.write_text("")

    async def look() -> None:
        async with reloading(model) as looking:
            looking.now()
            await until(lambda: model.loads)

    asyncio.run(look())
    assert model.loads == ["012"]


class Replaced(Model):
    """A model whose other file is replaced while it is loaded, and is not known before."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.weights = folder / "weights"
        self.known: list[Path] = []

    def files(self):
        """The files that it was loaded from."""
        return [self.file, *self.known]

    def load(self) -> None:
        self.known = [self.weights]
        self.loads.append(self.weights.read_text())
        if len(self.loads) == 1:
            self.weights.write_text("of the new model")


@pytest.mark.parametrize("seconds", [None, 0.01])
def test_a_new_file_that_changes_while_it_is_loaded_is_loaded_again(tmp_path, seconds):
    model = Replaced(tmp_path)
    model.weights.write_text("of the old model")

    async def look() -> None:
        async with reloading(model, seconds=seconds) as looking:
            model.file.write_text("new")
            looking.now()
            await until(lambda: len(model.loads) > 1)

    asyncio.run(look())
    assert model.loads[:2] == ["of the old model", "of the new model"]


def test_a_file_that_changed_while_the_server_started_is_loaded_again(model):
    began = time.time_ns()
    model.file.write_text("new")

    async def look() -> None:
        async with reloading(model, since=began) as looking:
            looking.now()
            await until(lambda: model.loads)

    asyncio.run(look())
    assert model.loads == ["new"]
