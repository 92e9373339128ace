"""`wasi-nn-torch inspect`: its report on each format, and the code that it never runs."""

import io
import json
import os
import subprocess
import sys
import zipfile

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from tests import warm
from tests.wasi_nn_torch.helpers import exported_attacks
from tests.wasi_nn_torch.helpers.exported_models import BATCH, Arguments, Counter, Slices, exported
from tests.wasi_nn_torch.helpers.exported_models import Small as SmallExported
from tests.wasi_nn_torch.helpers.guest_models import (
    IMAGE,
    Block,
    Everything,
    Named,
    Outer,
    Recurrent,
    Saves,
    SavesWhenLoaded,
    Small,
    saved,
    scripted,
    traced,
    written,
)
from wasi_nn_torch.cli import app

# Inspecting has nothing to do with an accelerator.
pytestmark = pytest.mark.cpu


@pytest.fixture
def inspect(tmp_path):
    """Inspect a file with this content; its result, whatever it is."""

    def run(content, *options):
        path = tmp_path / "model.pt"
        path.write_bytes(content)
        return CliRunner().invoke(app, ["inspect", *options, str(path)])

    return run


@pytest.fixture
def rows(inspect):
    """Inspect, and return the texts under each name."""

    def of(content, *options):
        result = inspect(content, *options)
        assert result.exit_code == 0, result.output
        said = {}
        for line in result.stdout.splitlines():
            name, _, text = line.partition(": ")
            said.setdefault(name, []).append(text)
        return said

    return of


@pytest.fixture
def facts(inspect):
    """Inspect, and return the JSON."""

    def of(content, *options):
        result = inspect(content, "--json", *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return of


# --- TorchScript ---


def test_a_scripted_module(rows, tmp_path):
    said = rows(scripted(Block()))
    assert said.pop("file")[0].endswith(" kB")
    assert said == {
        "model": [str(tmp_path / "model.pt")],
        "format": ["TorchScript"],
        "a guest may supply it": ["yes, with --guest-models isolated"],
        "input": ["`x` tensor, given as it comes"],
        "output": ["`output` tensor"],
        "parameters": ["330"],
        "weights": ["float32, 1.5 kB (378 elements)", "int64, 16 B (2 elements)"],
        "state": ["none; contexts share everything"],
    }


def test_a_traced_module_tells_the_shapes_that_it_was_made_with(facts):
    [value] = facts(traced(Block(), IMAGE))["contents"]["inputs"]
    assert (value["name"], value["shape"], value["example"]) == ("x", None, [1, 3, 16, 16])
    assert (value["dtype"], value["example_dtype"]) == (None, "FP32")


def test_arguments_that_are_not_tensors_or_are_optional(rows):
    class Scaled(nn.Module):
        def forward(
            self, x: Tensor, by: float, times: int = 1, negate: bool = False, y: Tensor | None = None
        ) -> Tensor:
            return -x * by * times if negate else x

    inputs = rows(scripted(Scaled()))["input"]
    assert inputs == [
        "`x` tensor, given as it comes",
        "`by` float",
        "`times` integer, optional",
        "`negate` boolean, optional",
        "`y` tensor, given as it comes, optional",
    ]


def test_outputs_have_the_names_that_a_guest_gets_them_by(rows):
    assert rows(scripted(Named()))["output"] == ["`logits` tensor", "`hidden` tensor, optional"]
    assert rows(scripted(Recurrent()))["output"] == ["`0` tensor", "`1` tensor"]
    assert rows(scripted(Everything()))["output"] == [f"`{name}` tensor" for name in ("x", "y", "rows", "state")]


def test_a_part_of_a_name_that_only_a_computation_tells_is_an_asterisk(rows):
    class Pieces(nn.Module):
        def forward(self, x: Tensor) -> tuple[list[Tensor], int]:
            return list(x.unbind()), x.size(0)

    assert rows(scripted(Pieces()))["output"] == ["`0.*` tensor", "`1` integer I64 [1]"]


def test_the_state_is_everything_that_a_computation_changes(facts):
    assert facts(scripted(Everything()))["contents"]["state"] == ["count", "state"]


class Slips(nn.Module):
    """Changes its state by way of views, containers, branches and loops; tensors that it only reads are not state."""

    history: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("rows", "chosen", "looped", "read", "untaken"):
            self.register_buffer(name, torch.zeros(2, 2))
        self.history = []
        self.inner = nn.BatchNorm1d(2)

    def forward(self, x: Tensor, which: bool) -> Tensor:
        self.rows[0].view(2).add_(1)
        (self.chosen if which else x).mul_(2)
        y = self.looped
        for _ in range(x.size(0)):
            y = y.t()
        y.zero_()
        self.history.append(x)
        if self.training:
            self.untaken.add_(1)
        return torch.relu_(self.inner(x + self.read))


def test_state_is_found_through_views_branches_and_loops(facts):
    assert facts(scripted(Slips()))["contents"]["state"] == ["chosen", "history", "looped", "rows"]


def test_state_of_a_part_has_its_path(facts):
    assert facts(scripted(Outer(Remembers())))["contents"]["state"] == ["inner.last"]


class Remembers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = torch.zeros(1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.last
        self.last = x
        return y


def test_weights_that_became_constants_are_counted(facts):
    contents = facts(saved(torch.jit.freeze(torch.jit.script(Block().eval()))))["contents"]
    assert contents["parameters"] == 0
    assert contents["weights"] == [{"dtype": "float32", "elements": 294, "nbytes": 294 * 4}]


class Tied(nn.Module):
    """Has a weight twice, and a buffer that is a view of another."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.other.weight = self.one.weight
        self.register_buffer("whole", torch.zeros(36))
        self.register_buffer("part", self.whole[4:])

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.other(x)) + self.whole.sum() + self.part.sum()


def test_weights_that_are_shared_are_counted_once(facts):
    assert facts(scripted(Tied()))["contents"]["weights"] == [{"dtype": "float32", "elements": 100, "nbytes": 400}]


# --- exported programs ---


def test_an_exported_program_tells_everything(facts, tmp_path):
    shapes = {"x": {0: BATCH}}
    facts = facts(exported(SmallExported(), torch.ones(3, 2), dynamic_shapes=shapes))
    contents = facts.pop("contents")
    assert facts == {
        "path": str(tmp_path / "model.pt"),
        "encoding": "pytorch",
        "file_bytes": (tmp_path / "model.pt").stat().st_size,
        "format": "an exported program (torch.export)",
        "refusal": None,
    }
    [symbol] = contents["sizes"]
    value = {"kind": "tensor", "dtype": "FP32", "shape": [symbol, 2], "optional": False}
    value |= {"example": None, "example_dtype": None}
    assert contents == {
        "inputs": [{"name": "x", **value}],
        "left_out": [],
        "outputs": [{"name": "output", **value}],
        "sizes": {symbol: [1, 64]},
        "parameters": 6,
        "weights": [{"dtype": "float32", "elements": 10, "nbytes": 40}],
        "state": [],
        "methods": None,
    }


def test_sizes_and_shapes_of_an_exported_program_are_told_to_people(rows):
    said = rows(exported(SmallExported(), torch.ones(3, 2), dynamic_shapes={"x": {0: BATCH}}))
    symbol = said["size"][0].split("`")[1]
    assert said["input"] == [f"`x` tensor FP32 [{symbol}, 2]"]
    assert said["size"] == [f"`{symbol}` is at least 1 and at most 64"]


def test_inputs_of_an_exported_program_that_are_parts_numbers_or_constants(rows):
    keywords = {"scale": 3.0, "times": 2, "mask": torch.zeros(2, dtype=torch.bool)}
    arguments = rows(exported(Arguments(), torch.ones(2), {"bias": torch.ones(2)}, kwargs=keywords))
    assert arguments["input"] == [
        "`x` tensor FP32 [2]",
        "`opts.bias` tensor FP32 [2]",
        "`scale` float, optional",
        "`times` integer, optional",
        "`mask` tensor bool [2]",
    ]
    sliced = rows(exported(Slices(), torch.ones(4), 2, dynamic_shapes={"x": None, "n": torch.export.Dim.DYNAMIC}))
    assert "`n` integer" in sliced["input"]


class Answers(nn.Module):
    def forward(self, x: Tensor) -> dict[str, object]:
        return {"a": x.half(), "b": [x.sum(), None, x.shape[0]], "c": 2.5}


def test_outputs_of_an_exported_program_are_flat_as_a_guest_gets_them(rows):
    said = rows(exported(Answers(), torch.ones(3, 2)))
    assert said["output"] == [
        "`a` tensor FP16 [3, 2]",
        "`b.0` tensor FP32 []",
        "`b.2` integer I64 [1]",
        "`c` float FP64 [1]",
    ]


@pytest.mark.parametrize("functional", [False, True], ids=["as exported", "functional"])
def test_state_of_an_exported_program(facts, functional):
    contents = facts(exported(Counter(), torch.ones(2), functional=functional))["contents"]
    assert contents["state"] == ["ring", "total"]


class WritesToAView(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(2, 2))
        self.register_buffer("read", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        y = self.read + x
        self.rows[0].view(2).add_(x)
        return y.add_(self.rows[1])


def test_state_of_an_exported_program_is_found_through_views(facts):
    assert facts(exported(WritesToAView(), torch.ones(2)))["contents"]["state"] == ["rows"]


class WritesWithin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.count.add_(x)
        return self.count + x


def test_state_that_cannot_be_told_is_not_said_to_be_none(rows):
    said = rows(exported(WritesWithin(), torch.ones(2)), "--trust")
    assert said["state"] == ["not known; each context may have its own"]


# --- models that are not loaded ---


def test_a_model_that_does_not_pass_the_check_is_not_loaded(rows, tmp_path):
    prey = tmp_path / "written-by-a-model"
    said = rows(scripted(SavesWhenLoaded(str(prey))))
    assert said["format"] == ["TorchScript"]
    [refusal] = said["a guest may supply it"]
    assert refusal.startswith("no: the model is refused: code/__torch__/")
    assert said["loaded"] == ["no, because that would run unchecked code; if you trust its source, use --trust"]
    assert "input" not in said
    assert not prey.exists()


def test_with_trust_it_is_loaded_and_its_code_runs(rows, tmp_path):
    prey = tmp_path / "written-by-a-model"
    said = rows(scripted(SavesWhenLoaded(str(prey))), "--trust")
    assert said["a guest may supply it"][0].startswith("no: the model is refused")
    assert said["input"] == ["`x` tensor, given as it comes"]
    assert prey.exists(), "this is what is asked for"


def test_a_model_that_only_its_computation_makes_harmful_is_told_too(facts, tmp_path):
    refused = facts(scripted(Saves(str(tmp_path / "prey"))))
    assert "it calls `torch.save`" in refused["refusal"]
    assert refused["contents"] is None


ATTACKS = ["sample_inputs", "weights", "constants", "size", "guard", "container"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_exported_program_that_does_harm_when_it_is_loaded_is_harmless_here(inspect, attack, tmp_path):
    prey = tmp_path / "made-by-a-model"
    result = inspect(getattr(exported_attacks, attack)(str(prey)))
    assert result.exit_code == 0
    assert not prey.exists()


def test_native_code_is_told_and_not_loaded(rows):
    content = written({"archive_format": b"pt2", "data/aotinductor/model/model.so": b"\x7fELF"})
    said = rows(content)
    assert said["format"] == ["an AOTInductor package, which is native code"]
    assert "only the operator may offer that, by name" in said["a guest may supply it"][0]
    assert "loaded" in said


def test_native_code_that_is_trusted_is_loaded(inspect):
    result = inspect(written({"archive_format": b"pt2", "data/aotinductor/model/model.so": b"\x7fELF"}), "--trust")
    assert result.exit_code == 2
    assert "is an AOTInductor package that cannot be loaded" in result.stderr


def test_names_from_a_file_do_not_command_the_terminal(inspect):
    class Escapes(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"\x1b]0;owned\x07": x}

    result = inspect(scripted(Escapes()))
    assert "�]0;owned�" in result.stdout
    assert "\x1b" not in result.stdout


# --- files that are not models ---


def state_dict():
    file = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"\x08\x08\x12\x07pytorch", ["is an ONNX model", "export the whole model"]),
        (b"", ["is an empty file; copy or download it again"]),
        (state_dict(), ["is a state dict", "load this into it with load_state_dict", "Engine.register(name, module)"]),
    ],
    ids=["something else", "nothing", "state dict"],
)
@pytest.mark.parametrize("options", [[], ["--json"], ["--trust"]], ids=["plain", "json", "trust"])
def test_a_file_that_is_not_a_model_ends_with_one_line_that_says_what_to_do(inspect, content, texts, options):
    result = inspect(content, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: the model file `")
    assert result.stderr.count("\n") == 1
    for text in texts:
        assert text in result.stderr


def test_a_model_that_no_guest_can_use_is_told(inspect):
    class Wants(nn.Module):
        def forward(self, x: list[str]) -> int:
            return len(x)

    result = inspect(scripted(Wants()))
    assert result.exit_code == 2
    assert "its parameter `x` is List[str], but wasi-nn has only tensors" in result.stderr


def test_a_broken_model_that_is_trusted_is_told(inspect):
    whole = scripted(Small())
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        content = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    broken = written({name: b"broken" if name == "data.pkl" else data for name, data in content.items()})
    assert inspect(broken).exit_code == 0, "it is not loaded, so the damage is not found"
    result = inspect(broken, "--trust")
    assert result.exit_code == 2
    assert "is a broken TorchScript archive" in result.stderr


def test_a_file_that_is_not_there(tmp_path):
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "none.pt")])
    assert result.exit_code == 2
    assert result.stderr.endswith("none.pt` does not exist; check the path\n")


def test_a_directory(tmp_path):
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 2
    assert "is a directory; name the file in it that holds the model" in result.stderr


# --- the program itself ---


def test_on_a_terminal_it_is_a_table(inspect, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    lines = inspect(scripted(Recurrent())).stdout.splitlines()
    inputs = [line for line in lines if "tensor, given as it comes" in line]
    outputs = [line for line in lines if " tensor  " in line]
    assert (len(inputs), len(outputs)) == (3, 2)
    assert "input" in inputs[0]
    assert outputs[1].replace("\x1b[1m", "").startswith("     "), "a name is not repeated"


def test_it_works_as_a_program(tmp_path):
    (tmp_path / "model.pt").write_bytes(scripted(Small()))
    command = [*warm.python(), "-m", "wasi_nn_torch", "inspect", str(tmp_path / "model.pt")]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert "input: `x` tensor, given as it comes\n" in result.stdout


def test_a_host_that_cannot_start_processes_says_so_in_one_line(tmp_path):
    (tmp_path / "model.pt").write_bytes(scripted(Small()))
    code = "import sys; sys.executable = '/bin/false'; from wasi_nn_torch.cli import main; main()"
    command = [sys.executable, "-c", code, "inspect", str(tmp_path / "model.pt")]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"}, timeout=120)
    assert (result.returncode, result.stdout) == (2, "")
    assert "cannot start a process for guest-supplied models" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_its_help_loads_neither_torch_nor_wasmtime():
    code = (
        "import sys; from typer.testing import CliRunner; from wasi_nn_torch.cli import app; "
        "assert CliRunner().invoke(app, ['inspect', '--help']).exit_code == 0; "
        "raise SystemExit('torch' in sys.modules or 'wasmtime' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
