"""The page at `/` in a real browser."""

from __future__ import annotations

import threading

import pytest

from tests.conftest import built
from tests.wasi_nn_torch.helpers.browser import browser, chromium
from tests.wasi_nn_torch.helpers.models import Add
from tests.wasi_nn_torch.helpers.pipelines import pipeline
from tests.wasi_nn_torch.helpers.serving import Connection, infer, served
from wasi_nn_torch import Batch, Engine
from wasi_nn_torch.http import ComponentSettings, PipelineSettings, create_app

pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine, which shows the page"),
]

ONE = ("x", "FP32", [1], bytes(4))
NAME = 'a "net" <b>bold'
LONG = "a-name-without-a-place-to-break-" * 4


@pytest.fixture(scope="module")
def at():
    described = (("scores", "FP32", (-1, 3)),)
    with Engine("cpu", guest_models="none") as engine:
        for name in (NAME, LONG):
            engine.register(name, Add())
        engine.register("joined", Add(), batch=Batch(4, trial=False))
        pipelines = {"p": PipelineSettings(pipeline()), "described": PipelineSettings(pipeline(described, described))}
        components = {"own": ComponentSettings(built("build/tests/http_c.wasm"), path="/own")}
        app = create_app(engine, pipelines=pipelines, components=components)
        with served(app) as at:
            yield at
        app.close()


@pytest.fixture(scope="module")
def page(at):
    """The page, which was open before the first request came."""
    with browser() as page:
        page.open(f"http://{at}/")
        page.until(lambda: "answers" in page.text("#state"))
        yield page


@pytest.fixture(scope="module")
def empty(page):
    """What the page shows before the first request, after several readings."""
    page.until(lambda: "\N{EN DASH}" not in page.text("article"))
    return page.text("body")


@pytest.fixture
def under_load(at, empty):
    """Requests, of which some fail, until the end of the test."""
    is_over = threading.Event()

    def ask() -> None:
        with Connection(at) as connection:
            while not is_over.wait(0.02):
                for model, tensor in (("joined", ONE), ("p", ONE), ("p", ("trap", *ONE[1:]))):
                    connection.send(infer(model, tensor)).answer()

    client = threading.Thread(target=ask)
    client.start()
    yield
    is_over.set()
    client.join()


def cells(page, model: str) -> dict[str, str]:
    """The texts in the row of a model, by the heads of the table."""
    rows = page.value(
        "[...document.querySelectorAll('#models tr')].map((row) => [row.querySelector('b').textContent, "
        "[...row.querySelectorAll('td[data-head]')].map((cell) => [cell.dataset.head, cell.textContent])])"
    )
    return next(dict(found) for name, found in rows if name == model)


def number(text: str) -> float:
    return float(text.split()[0].replace(",", ""))


def test_before_the_first_request_the_page_says_how_to_ask(empty, at):
    assert "No model was asked yet." in empty
    assert f"curl http://{at}/v2/models/a%20%22net%22%20%3Cb%3Ebold" in empty
    assert "Failures since the start\nnone" in empty
    assert empty.count("0 since the start") == 2


def test_every_panel_shows_figures_under_load(page, under_load):
    page.until(lambda: number(cells(page, "p")["failures/s"]) > 0 and "trap" in page.text("#failures"))
    tiles = page.value(
        "[...document.querySelectorAll('article')].map((tile) => [...tile.querySelectorAll('h3, strong, p')]"
        ".map((part) => part.textContent))"
    )
    by_head = {head: (value, note) for head, value, note in tiles}
    assert list(by_head) == ["Requests", "Failures", "Time", "In progress", "Weights"]
    assert number(by_head["Requests"][0].removesuffix("/s")) > number(by_head["Failures"][0].removesuffix("/s")) > 0
    assert "since the start" in by_head["Requests"][1]
    assert by_head["Time"][0].endswith("ms")
    shown = cells(page, "p")
    assert number(shown["requests/s"]) > number(shown["failures/s"]) > 0
    assert number(shown["instances replaced"]) > 0
    assert cells(page, "joined")["rows per batch"] == "1"
    assert cells(page, "described")["requests/s"] == "0"
    assert "trap" in page.text("#failures")
    assert page.value("document.getElementById('hint').hidden")


def test_the_page_describes_what_models_take_and_shows_names_as_text(page):
    text = page.text("#models")
    assert NAME in text
    assert "pipeline: scores FP32[n, 3] → scores FP32[n, 3]" in text
    assert page.value("document.querySelectorAll('#models td > b > *').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 480, 768, 1000, 1200, 2000])
def test_nothing_overflows_and_everything_can_be_read(page, width, scheme):
    page.prefer(scheme)
    page.resize(width, 900)
    assert page.value("document.documentElement.scrollWidth") <= width
    cut = page.value(
        "[...document.querySelectorAll('td, th, strong, h3, p, li, small')].filter((each) => each.offsetParent "
        "&& each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline')"
        ".map((each) => each.textContent)"
    )
    assert cut == []
    assert page.value(CONTRAST) >= 4.5
    page.prefer("light")
    page.resize(1200, 800)


#: The least contrast of a text with what is behind it, as WCAG counts it; AA wants 4.5.
CONTRAST = """
(() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((each) => each / 255)
      .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => {
    const colour = getComputedStyle(each).backgroundColor;
    return colour === 'rgba(0, 0, 0, 0)' && each.parentElement ? behind(each.parentElement) : colour;
  };
  return Math.min(...[...document.querySelectorAll('h1, h2, h3, p, th, td, b, small, span, a, footer')].map((each) => {
    const [one, other] = [light(getComputedStyle(each).color), light(behind(each))].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
  }));
})()
"""


def test_the_browser_has_nothing_to_complain_of(page):
    page.value("1")
    assert page.complaints == []


def test_a_server_that_has_gone_is_told_and_its_last_figures_stay():
    with Engine("cpu", guest_models="none") as engine, browser() as page:
        engine.register("net", Add())
        app = create_app(engine)
        with served(app) as at:
            page.open(f"http://{at}/")
            page.until(lambda: "answers" in page.text("#state"))
        app.close()
        page.until(lambda: "The server does not answer. These are the figures of" in page.text("#state"))
        assert "net" in page.text("#models")
        again = create_app(engine)
        with served(again, port=int(at.split(":")[1])):
            page.until(lambda: page.text("#state") == "answers")
        again.close()
