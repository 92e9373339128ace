"""Models that were made faster compute the same, share and keep what they did, and go free as before."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.wasi_nn_torch.helpers.exported_models import BATCH, exported
from tests.wasi_nn_torch.helpers.guest_models import written
from tests.wasi_nn_torch.helpers.models import scripted
from wasi_nn_torch import Engine
from wasi_nn_torch.contract.errors import ModelError
from wasi_nn_torch.contract.policy import ModelOptions, Optimize
from wasi_nn_torch.pytorch import graphs
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import ExecutionContext, Graph

CHOICES = [None, *Optimize]
IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Image(nn.Module):
    """A network for images, with a normalization and a weight that nothing else has."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=in_place)
        self.linear = nn.Linear(8 * 36, 4)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def features(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.convolution(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).flatten(1))


class Maps(Image):
    """Returns an image."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Views(Image):
    """Takes it for granted that images are row-major."""

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).view(x.shape[0], -1))


class WritesThroughAView(Image):
    """What it writes to a view is seen in the image."""

    def forward(self, x: Tensor) -> Tensor:
        image = self.features(x)
        image.view(x.shape[0], -1).mul_(3.0)
        return image


class Remembers(Image):
    """Adds to a state, and returns it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(self.linear(self.features(x).flatten(1)))
        return self.total


class Attributes(Image):
    """Counts in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(self.features(x).flatten(1)) + self.calls


class Computes(nn.Module):
    """Has a part that depends on no input, and so can be computed when the model is loaded."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.erfinv(torch.full([8], 0.5))


class Shared(nn.Module):
    """Two normalizations behind one convolution, and one convolution used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.other = (nn.BatchNorm2d(3, affine=affine) for affine in (True, False))
        for norm in (self.one, self.other):
            nn.init.normal_(norm.running_mean)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        return self.one(y) + self.other(y) + self.other(self.convolution(y))


MODELS = [Image, lambda: Image(in_place=True), Maps, Views, lambda: Views(in_place=True), WritesThroughAView]
NAMES = ["image", "in place", "maps", "views", "views in place", "writes through a view"]


def made(model: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return model().eval()


def seen(module: nn.Module, *inputs: Tensor) -> list[float]:
    """What a module returns, computed by PyTorch itself."""
    with torch.inference_mode():
        return module(*inputs).flatten().tolist()


def kinds(graph: Graph) -> set[str]:
    """The operators of a model that was TorchScript."""
    text = str(graph.instance().inlined_graph)
    return {word.split("(")[0] for word in text.split() if word.startswith("aten::")}


def kernel(graph: Graph) -> Tensor:
    """The weights of the first convolution of a model that was TorchScript."""
    model = graph.instance()
    [parameter] = [each for each in model.parameters() if each.dim() == 4] or [
        node.t("value")
        for node in model.graph.findAllNodes("prim::Constant")
        if node.hasAttribute("value") and node.kindOf("value") == "t" and node.t("value").dim() == 4
    ]
    return parameter


def has_channels_last(weights: Tensor) -> bool:
    return weights.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def compute(memory, tensor, values):
    """Compute a graph once, in a context of its own or in the one that is given."""

    def run(graph: Graph | ExecutionContext, x: Tensor = IMAGES) -> list[float]:
        context = graph if isinstance(graph, ExecutionContext) else graph.context(memory)
        [(_, output)] = context.compute([("x", tensor(x))])
        return values(output)

    return run


# --- TorchScript ---


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE], ids=str)
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_torchscript_computes_the_same(model, optimize, device, compute):
    module = made(model)
    graph = graphs.load(scripted(module), device, "the model", ModelOptions(optimize))
    assert compute(graph) == pytest.approx(seen(module, IMAGES), rel=1e-4, abs=1e-5)


@pytest.mark.cpu
@pytest.mark.parametrize("model", MODELS[:5], ids=NAMES[:5])
def test_on_the_cpu_normalizations_are_folded_and_channels_are_last_by_default(model):
    graph = graphs.load(scripted(made(model)), CPU, "the model")
    assert "aten::batch_norm" not in kinds(graph)
    assert has_channels_last(kernel(graph))


@pytest.mark.cpu
def test_what_is_written_through_a_view_leaves_images_row_major():
    graph = graphs.load(scripted(made(WritesThroughAView)), CPU, "the model")
    assert "aten::view" in kinds(graph)
    assert not has_channels_last(kernel(graph))


@pytest.mark.cpu
def test_nothing_is_done_where_that_is_asked_for():
    graph = graphs.load(scripted(made(Image)), CPU, "the model", ModelOptions(Optimize.NONE))
    assert "aten::batch_norm" in kinds(graph)
    assert not has_channels_last(kernel(graph))


@pytest.mark.cpu
@pytest.mark.parametrize(
    "module",
    [
        pytest.param(lambda: nn.Conv2d(3, 4, 3).double(), id="FP64"),
        pytest.param(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), id="instance norm"),
    ],
)
def test_what_would_lose_keeps_its_layout(module):
    graph = graphs.load(scripted(module()), CPU, "the model")
    assert not has_channels_last(kernel(graph))


def test_on_an_accelerator_nothing_is_done_by_default(accelerator):
    graph = graphs.load(scripted(made(Image)), accelerator, "the model")
    assert "aten::batch_norm" in kinds(graph)
    assert not has_channels_last(kernel(graph))


def test_a_frozen_model_without_state_is_shared_by_all_contexts(device):
    graph = graphs.load(scripted(made(Image)), device, "the model", ModelOptions(Optimize.FREEZE))
    assert graph.instance() is graph.instance()
    assert list(graph.instance().parameters()) == []


@pytest.mark.parametrize("optimize", [None, Optimize.FREEZE], ids=str)
@pytest.mark.parametrize("model", [Remembers, Attributes])
def test_each_context_keeps_its_own_state(model, optimize, device, memory, compute):
    data = scripted(made(model))
    plain, optimized = (
        graphs.load(data, device, "the model", ModelOptions(wish)) for wish in (Optimize.NONE, optimize)
    )
    expected = plain.context(memory)
    one, other = optimized.context(memory), optimized.context(memory)
    first, second = compute(expected), compute(expected)
    assert first != second
    assert compute(one) == pytest.approx(first, rel=1e-4, abs=1e-5)
    assert compute(one) == pytest.approx(second, rel=1e-4, abs=1e-5)
    assert compute(other) == pytest.approx(first, rel=1e-4, abs=1e-5)


@pytest.mark.cpu
def test_by_default_no_model_grows(compute):
    data = scripted(made(Shared))
    plain, default, frozen = (
        graphs.load(data, CPU, "net", ModelOptions(wish)) for wish in (Optimize.NONE, None, Optimize.FREEZE)
    )
    assert default.nbytes == plain.nbytes
    assert frozen.nbytes > 1.2 * plain.nbytes
    assert compute(default) == pytest.approx(compute(plain), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("model", [Image, Remembers])
@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE], ids=str)
def test_the_size_of_a_model_is_that_of_what_it_holds(model, optimize, device):
    module = made(model)
    weights = sum(each.nbytes for each in (*module.convolution.parameters(), *module.linear.parameters()))
    state = 0 if model is Image else 32
    norm = 4 * 8 * 4 + 8  # gone where it is folded
    assert graphs.load(scripted(module), device, "the model", ModelOptions(optimize)).nbytes - weights - state in (
        0,
        norm,
    )


def test_an_unknown_way_to_optimize_is_refused(device):
    with Engine(device) as engine, pytest.raises(ValueError, match="fast"):
        engine.register("net", scripted(Image()), optimize="fast")


def test_what_is_asked_for_holds_on_every_device(device):
    with Engine("cpu") as engine:
        engine.register("net", scripted(Image()), optimize="freeze")
        graph = engine._registry.graph("net", str(device)).graph
    assert graph.device == device
    assert "aten::batch_norm" not in kinds(graph)


# --- guests' own models ---


@pytest.mark.cpu
def test_no_code_of_a_guests_model_runs_while_it_is_loaded():
    data = scripted(made(Computes))
    assert "aten::erfinv" in kinds(graphs.load_from_guest(data, CPU))
    assert "aten::erfinv" not in kinds(graphs.load(data, CPU, "net", ModelOptions(Optimize.FREEZE))), (
        "freezing has computed it"
    )


@pytest.mark.cpu
def test_no_code_of_a_guests_program_runs_while_it_is_loaded():
    graph = graphs.load_from_guest(exported(made(Computes), IMAGES), CPU)
    assert "aten.erfinv.default" in names(graph)


@pytest.mark.cpu
def test_a_guests_image_network_has_its_channels_last(compute):
    module = made(Image)
    graph = graphs.load_from_guest(scripted(module), CPU)
    assert "aten::batch_norm" in kinds(graph), "it is not frozen"
    assert has_channels_last(kernel(graph))
    assert compute(graph) == pytest.approx(seen(module, IMAGES), rel=1e-4, abs=1e-5)


def test_a_guests_model_that_takes_images_for_row_major_is_computed(device, compute):
    module = made(Views)
    graph = graphs.load_from_guest(scripted(module), device)
    assert compute(graph) == pytest.approx(seen(module, IMAGES), rel=1e-4, abs=1e-5)


class Repeats(nn.Module):
    """Has weights and statistics that look a thousand times as large as their memory."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 3, 3, 3).expand(1000, 3, 3, 3))
        self.register_buffer("mean", torch.zeros(1).expand(1000))
        self.register_buffer("variance", torch.ones(1).expand(1000))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(nn.functional.conv2d(x, self.weight), self.mean, self.variance)


class Ties(nn.Module):
    """Uses one memory for the weights of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.other.weight = nn.Parameter(self.one.weight.detach())

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.other(x)


@pytest.mark.parametrize("save", [scripted, lambda module: exported(module, IMAGES)], ids=["TorchScript", "exported"])
@pytest.mark.parametrize("model", [Repeats, Ties])
def test_a_guests_weights_do_not_grow(model, save, device, compute):
    module = made(model)
    data = save(module)
    graph = graphs.load_from_guest(data, device)
    assert graph.nbytes == graphs.load(data, device, "the model", ModelOptions(Optimize.NONE)).nbytes
    assert compute(graph) == pytest.approx(seen(module, IMAGES), rel=1e-4, abs=1e-5)


# --- outputs ---


@pytest.mark.parametrize("save", [scripted, lambda module: exported(module, IMAGES)], ids=["TorchScript", "exported"])
def test_an_image_that_is_an_output_is_row_major(save, device, memory, tensor):
    context = graphs.load(save(made(Maps)), device, "the model").context(memory)
    [(_, output)] = context.compute([("x", tensor(IMAGES))])
    assert output._content().is_contiguous()


def test_the_next_model_may_view_an_image(device, memory, tensor, values):
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(-1)

    maps = graphs.load(scripted(made(Maps)), device, "maps").context(memory)
    flat = graphs.load(scripted(Flat()), device, "flat").context(memory)
    [(_, image)] = flat.compute([("x", maps.compute([("x", tensor(IMAGES))])[0][1])])
    assert values(image) == pytest.approx(seen(made(Maps), IMAGES), rel=1e-4, abs=1e-5)


# --- exported programs ---


@cache
def program_of(model: Callable[[], nn.Module], functional: bool) -> tuple[nn.Module, bytes]:
    """A module, and what it is exported to for any batch: once for every way to optimize it."""
    module = made(model)
    return module, exported(module, IMAGES, functional=functional, dynamic_shapes={"x": {0: BATCH}})


@pytest.mark.parametrize("optimize", [None, Optimize.NONE, Optimize.FREEZE], ids=str)
@pytest.mark.parametrize("functional", [False, True], ids=["as exported", "decomposed"])
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_an_exported_program_computes_the_same(model, functional, optimize, device, compute):
    module, data = program_of(model, functional)
    graph = graphs.load(data, device, "the model", ModelOptions(optimize))
    x = torch.cat([IMAGES, IMAGES + 1])
    assert compute(graph, x) == pytest.approx(seen(module, x), rel=1e-4, abs=1e-5)


def names(graph: Graph) -> list[str]:
    return [str(node.target) for node in graph.instance()._program.code.graph.nodes]


def kernels(graph: Graph) -> list[Tensor]:
    return [each for each in graph.instance()._tensors if each is not None and each.dim() == 4]


@pytest.mark.cpu
@pytest.mark.parametrize("load", [graphs.load_from_guest, lambda data, device: graphs.load(data, device, "net")])
def test_on_the_cpu_a_program_is_folded_and_has_its_channels_last(load):
    graph = load(exported(made(Views), IMAGES), CPU)
    assert not any("batch_norm" in name for name in names(graph))
    assert all(map(has_channels_last, kernels(graph)))
    plain = graphs.load(exported(made(Views), IMAGES), CPU, "net", ModelOptions(Optimize.NONE))
    assert any("batch_norm" in name for name in names(plain))
    assert not any(map(has_channels_last, kernels(plain)))
    assert graph.nbytes < plain.nbytes


@pytest.mark.parametrize("save", [scripted, lambda module: exported(module, IMAGES)], ids=["TorchScript", "exported"])
def test_what_is_shared_is_not_folded(save, device, compute):
    module = made(Shared)
    graph = graphs.load(save(module), device, "the model", ModelOptions(Optimize.FREEZE))
    assert compute(graph) == pytest.approx(seen(module, IMAGES), rel=1e-4, abs=1e-5)


# --- modules ---


def test_a_module_is_left_to_the_operator_by_default(device, compute):
    module = made(Image)
    graph = graphs.load(module, device, "the model")
    assert isinstance(graph.instance().norm, nn.BatchNorm2d)
    if device == CPU:
        assert graph.instance().convolution.weight.data_ptr() == module.convolution.weight.data_ptr()


def test_a_module_is_frozen_where_that_is_asked_for_and_stays_as_it_was(device, compute):
    module = made(Image).train()
    graph = graphs.load(module, device, "the model", ModelOptions(Optimize.FREEZE))
    assert "aten::batch_norm" not in kinds(graph)
    assert compute(graph) == pytest.approx(seen(made(Image), IMAGES), rel=1e-4, abs=1e-5)
    assert module.training
    assert not has_channels_last(module.convolution.weight)
    assert module.convolution.weight.requires_grad


# --- memory ---


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("optimize", [None, Optimize.FREEZE], ids=str)
@pytest.mark.parametrize("model", [Image, Remembers])
def test_the_weights_of_an_optimized_model_go_with_its_last_context(model, optimize, device, memory, compute, watch):
    graph = graphs.load(scripted(made(model)), device, "the model", ModelOptions(optimize))
    context = graph.context(memory)
    freed = watch(kernel(graph))
    for _ in range(3):
        compute(context)
    del graph
    assert not freed()
    del context
    assert freed()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("save", [scripted, lambda module: exported(module, IMAGES)], ids=["TorchScript", "exported"])
@pytest.mark.parametrize("model", [Image, Maps])
def test_freezing_keeps_no_second_copy_of_the_weights(model, save, accelerator, allocated, compute):
    data = save(made(model))
    before = allocated()
    plain = graphs.load(data, accelerator, "the model", ModelOptions(Optimize.NONE))
    takes = allocated() - before
    del plain
    assert allocated() == before
    graph = graphs.load(data, accelerator, "the model", ModelOptions(Optimize.FREEZE))
    assert 0 < graph.nbytes <= allocated() - before <= takes
    compute(graph)
    del graph
    assert allocated() == before


# --- what cannot be done ---


class Locked(nn.Module):
    """Has what cannot be copied, and what TorchScript does not know."""

    def forward(self, x: Tensor) -> Tensor:
        with threading.Lock():
            return x


@pytest.mark.parametrize(
    ("model", "optimize", "reason"),
    [
        pytest.param(
            lambda: scripted(Image()), "compile", "is TorchScript, which cannot be compiled", id="TorchScript"
        ),
        pytest.param(
            Image,
            "compile",
            "is a module, which cannot be compiled because it does not describe its inputs",
            id="module",
        ),
        pytest.param(
            lambda: written({"archive_format": b"pt2", "data/aotinductor/model/model.so": b"\x7fELF"}),
            "freeze",
            "is an AOTInductor package, which is already compiled",
            id="package",
        ),
        pytest.param(
            Locked, "freeze", "a module that cannot be frozen, because it cannot be converted", id="scripting"
        ),
    ],
)
def test_what_cannot_be_done_is_said(model, optimize, reason, device):
    with Engine(device) as engine:
        with pytest.raises(ModelError, match=f"the model `net` .*{reason}"):
            engine.register("net", model(), optimize=optimize)
        engine.register("net", scripted(Image()))


@pytest.mark.parametrize("optimize", [None, Optimize.FREEZE], ids=str)
def test_a_model_that_pytorch_cannot_freeze(optimize, device, compute, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("Freezing does not do this")

    monkeypatch.setattr(torch.jit, "freeze", fail)
    data = scripted(made(Image))
    if optimize is None:
        assert compute(graphs.load(data, device, "net")) == pytest.approx(seen(made(Image), IMAGES), rel=1e-4, abs=1e-5)
        return
    with pytest.raises(ModelError, match=r"net cannot be frozen \(Freezing does not do this\); leave out"):
        graphs.load(data, device, "net", ModelOptions(optimize))


# --- compiling ---

needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs g++")


@pytest.mark.cpu
def test_without_a_compiler_the_error_names_it():
    from torch._inductor import config

    data = exported(nn.Linear(2, 2), torch.rand(1, 2))
    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(ModelError, match=r"no-such-compiler.*CXX"):
        graphs.load(data, CPU, "the model", ModelOptions(Optimize.COMPILE))


@pytest.mark.cpu
@needs_a_compiler
def test_a_program_is_compiled_and_computes_the_same(compute, caplog):
    caplog.set_level("INFO", "wasi_nn_torch")
    module = made(Image)
    data = exported(module, IMAGES, dynamic_shapes={"x": {0: BATCH}})
    graph = graphs.load(data, CPU, "the model", ModelOptions(Optimize.COMPILE))
    own = [record for record in caplog.records if record.name.startswith("wasi_nn_torch")]
    assert [record.message.split(" took")[0] for record in own] == [
        "compiling the model for cpu",
        "compiling the model",
    ]
    assert graph.instance() is graph.instance()
    x = torch.cat([IMAGES, IMAGES])
    assert compute(graph, x) == pytest.approx(seen(module, x), rel=1e-4, abs=1e-5)
    assert graph.signature.parameters[0].name == "x"


@pytest.mark.cpu
@needs_a_compiler
def test_a_compiled_program_has_a_state_for_each_context(memory, compute):
    data = exported(made(Remembers), IMAGES)
    graph = graphs.load(data, CPU, "the model", ModelOptions(Optimize.COMPILE))
    plain = graphs.load(data, CPU, "the model", ModelOptions(Optimize.NONE)).context(memory)
    one, other = graph.context(memory), graph.context(memory)
    first, second = compute(plain), compute(plain)
    assert compute(one) == pytest.approx(first, rel=1e-4, abs=1e-5)
    assert compute(one) == pytest.approx(second, rel=1e-4, abs=1e-5)
    assert compute(other) == pytest.approx(first, rel=1e-4, abs=1e-5)
