"""The check of guests' exported programs. What is refused here is a real archive that does harm when loaded."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch

from tests.wasi_nn_torch.helpers.exported_attacks import ATTACKS, MODULE, SMALL, WITHOUT_GRADIENTS, called
from tests.wasi_nn_torch.helpers.exported_models import (
    CONSTANTS,
    PROGRAM,
    SAMPLES,
    WEIGHTS,
    changed,
    graph_of,
)
from tests.wasi_nn_torch.helpers.guest_models import files, written
from wasi_nn_torch.contract.errors import ErrorCode, NnError
from wasi_nn_torch.pytorch.devices import CPU
from wasi_nn_torch.pytorch.graphs import load_from_guest
from wasi_nn_torch.pytorch.graphs.vetting.archive import _CENTRAL, _END, _END64, _LOCAL, _LOCATOR
from wasi_nn_torch.pytorch.graphs.vetting.check_exported import check_exported
from wasi_nn_torch.pytorch.graphs.vetting.exported import expressions
from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import Misfit

# The device does not matter: the check reads bytes.
pytestmark = pytest.mark.cpu

VICTIM = """
import sys, pathlib, torch
from wasi_nn_torch.contract.backend import BackendOptions
from wasi_nn_torch.contract.ledger import Ledger
from wasi_nn_torch.contract.policy import GuestModels
from wasi_nn_torch.pytorch import PyTorch
from wasi_nn_torch.contract.vocabulary import ExecutionTarget
session = PyTorch(BackendOptions("cpu", GuestModels.ANY)).session(Ledger())
for path in sorted(pathlib.Path.cwd().glob("*.pt2")):
    try:
        graph = session.load([memoryview(path.read_bytes())], ExecutionTarget.CPU)
        graph.instance()(x=torch.ones(3, 2))
    except Exception as error:
        print(path.stem, error)
"""


def refusal(data: bytes) -> str:
    with pytest.raises(NnError) as caught:
        check_exported(data)
    assert caught.value.code is ErrorCode.SECURITY
    assert "register the model by name" in caught.value.text
    assert "\n" not in caught.value.text
    return caught.value.text


def harm(name: str, folder: Path) -> Path:
    """What an attack makes in a folder."""
    return folder / (MODULE if name == "an import by a container" else name.replace(" ", "-"))


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    """A folder in which a host that takes any model has loaded and computed every attack."""
    folder = tmp_path_factory.mktemp("victim")
    (folder / f"{MODULE}.py").write_text(f"import os\nos.mkdir({str(folder / MODULE)!r})\n")
    for number, (name, (attack, _)) in enumerate(ATTACKS.items()):
        (folder / f"{number}.pt2").write_bytes(attack(str(harm(name, folder))))
    (folder / "host.py").write_text(VICTIM)
    return folder, subprocess.run(
        [sys.executable, "host.py"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


UNKNOWN_BEFORE_2_10 = {"an opaque object", "an operator that maps files", "an operator in a part of the program"}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_does_harm_where_nothing_is_checked(name, victim):
    folder, said = victim
    if name in UNKNOWN_BEFORE_2_10 and torch.__version__ < "2.10":
        pytest.skip("PyTorch 2.9 does not load such a program")
    assert harm(name, folder).exists(), f"PyTorch no longer does this: choose another harm\n{said}"


@pytest.mark.parametrize(("name", "attack", "reason"), [(name, *rest) for name, rest in ATTACKS.items()])
def test_an_attack_is_refused_with_its_place(name, attack, reason, tmp_path):
    data = attack(str(harm(name, tmp_path)))
    if reason:
        assert reason in refusal(data)
    else:
        load_from_guest(check_exported(data), CPU)
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_checked_is_loaded():
    content = files(check_exported(written({**files(SMALL), "extra/note.txt": b"a note"})))
    assert content[SAMPLES] == b""
    assert "extra/note.txt" not in content
    program = content[PROGRAM].decode()
    assert "stack_trace" in files(SMALL)[PROGRAM].decode()
    assert "stack_trace" not in program
    assert "nn_module_stack" not in program


def test_a_model_that_was_on_another_device_is_loaded_on_ours():
    def change(document: dict) -> None:
        for value in document["config"].values():
            value["tensor_meta"]["device"] = {"type": "cuda", "index": 7}

    assert load_from_guest(check_exported(changed(SMALL, change, WEIGHTS)), CPU).device == CPU


def with_meta(**meta: object) -> bytes:
    def change(document: dict) -> None:
        document["config"]["linear.weight"]["tensor_meta"].update(meta)

    return changed(SMALL, change, WEIGHTS)


def ints(*values: int) -> list[dict[str, int]]:
    return [{"as_int": value} for value in values]


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"sizes": ints(1 << 40, 2)}, "exceed the 4 elements of its file"),
        ({"sizes": ints(1 << 62, 1 << 62)}, "exceed the 4 elements of its file"),
        ({"sizes": ints(1 << 40, 1 << 40), "strides": ints(0, 0)}, "exceed the 4 elements of its file"),
        ({"strides": ints(1000, 1)}, "exceed the 4 elements of its file"),
        ({"storage_offset": {"as_int": 1}}, "exceed the 4 elements of its file"),
        ({"storage_offset": {"as_int": -1}}, "`-1` is not allowed there"),
        ({"strides": ints(-1, 1)}, "`-1` is not allowed there"),
        ({"sizes": ints(2)}, "does not match its dtype or sizes"),
        ({"dtype": 8}, "exceed the 2 elements of its file"),
        ({"dtype": 99}, "`99` is not allowed there"),
        ({"layout": 1}, "`1` is not allowed there"),
    ],
    ids=str,
)
def test_a_weight_beyond_its_file_is_refused(meta, reason):
    assert f"{WEIGHTS} at config.linear.weight" in refusal(with_meta(**meta))
    assert reason in refusal(with_meta(**meta))


def test_an_empty_file_is_no_huge_tensor():
    data = written({**files(with_meta(sizes=ints(1 << 50, 2))), "data/weights/weight_0": b""})
    assert "exceed the 0 elements of its file" in refusal(data)


@pytest.mark.parametrize("path", [PROGRAM, WEIGHTS, CONSTANTS])
def test_a_missing_file_is_refused(path):
    content = files(SMALL)
    del content[path]
    assert f"{path}: it is missing" in refusal(written(content))


@pytest.mark.parametrize("path", ["models/other.json", "data/aotinductor/model/a.so", "models/../a", "code/a.py"])
def test_entries_of_other_kinds_are_refused(path):
    assert "PyTorch does not write entries such as" in refusal(written({**files(SMALL), path: b"{}"}))


def deflated(content: dict[str, bytes]) -> bytes:
    """An archive with packed files, but laid out as strictly as PyTorch does it."""
    entries, directory = b"", b""
    for path, data in content.items():
        name, packer = f"archive/{path}".encode(), zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = packer.compress(data) + packer.flush()
        sizes = (0, len(packed), len(data), len(name), 0)
        directory += _CENTRAL.pack(b"PK\x01\x02", 0, 0, 0, 8, 0, 0, *sizes, 0, 0, 0, 0, len(entries)) + name
        entries += _LOCAL.pack(b"PK\x03\x04", 0, 0, 8, 0, 0, *sizes) + name + packed
    count, at, end = len(content), len(entries), len(entries) + len(directory)
    entries += directory + _END64.pack(b"PK\x06\x06", 44, 0, 0, 0, 0, count, count, len(directory), at)
    entries += _LOCATOR.pack(b"PK\x06\x07", 0, end, 1)
    return entries + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), at, 0)


def is_refused_as(data: bytes, reason: str) -> bool:
    """Outside of the assertion, which would print much."""
    return reason in refusal(data)


def test_a_packed_model_passes():
    assert load_from_guest(check_exported(deflated(files(SMALL))), CPU).device == CPU


def test_a_program_that_is_too_large_is_refused_before_it_is_unpacked():
    bomb = deflated({**files(SMALL), PROGRAM: bytes(64 << 20)})
    assert len(bomb) < 1 << 20
    assert is_refused_as(bomb, f"{PROGRAM}: it is too large to check")


def test_weights_that_unpack_to_more_than_the_archive_are_refused():
    content = files(with_meta(sizes=ints(1 << 20, 2)))
    bomb = deflated({**content, "data/weights/weight_0": bytes(8 << 20)})
    assert len(bomb) < 1 << 20
    assert is_refused_as(bomb, "data/weights/weight_0: its unpacked size exceeds that of the archive")


def test_two_entries_of_one_name_are_refused():
    content = {**files(SMALL), "MODELS/model.json": b"{}"}
    assert "PyTorch does not write entries" in refusal(written(content))
    assert "the same name" in refusal(written({**files(SMALL), "extra/A": b"", "extra/a": b""}))


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", "null", "[]", '{"graph_module": 1}', "\xff", "1" * 10_000])
def test_a_program_that_is_none_is_refused(text):
    assert PROGRAM in refusal(written({**files(SMALL), PROGRAM: text.encode("latin-1")}))


@pytest.mark.parametrize("limit", [1000, 2000, 10_000])
def test_a_program_with_deep_parts_is_refused(limit):
    before = sys.getrecursionlimit()

    def change(document: dict) -> None:
        graph: dict = {**graph_of(document), "nodes": []}
        for _ in range(60):
            arguments = {"wrapped_func": {"as_graph": {"name": "part", "graph": graph}}}
            inner = {"graph_module": {"graph": {**graph, "nodes": []}}}
            called(WITHOUT_GRADIENTS, **arguments)(inner)
            graph = graph_of(inner)
        document["graph_module"]["graph"] = graph

    data = changed(SMALL, change)
    sys.setrecursionlimit(limit)  # as torch.compile does
    try:
        assert "nested too deeply" in refusal(data)
    finally:
        sys.setrecursionlimit(before)


def test_containers_that_are_nested_deeply_are_refused():
    def change(document: dict) -> None:
        spec: dict = {"type": None, "context": None, "children_spec": []}
        for _ in range(40):
            spec = {"type": "builtins.tuple", "context": "null", "children_spec": [spec]}
        document["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])

    assert "containers are nested too deeply" in refusal(changed(SMALL, change))


@pytest.mark.parametrize(
    "target",
    [
        "torch.save",
        "torch.os.mkdir",
        "torch.ops.aten.save.default",
        "torch.ops.aten.add.__class__",
        "torch.ops.aten.empty_strided.default",
        "torch.ops.aten.native_batch_norm.default",
        "torch.ops.higher_order.cond",
        "torch.ops.prim.Print.default",
        "torch.ops.mine.add.default",
        "_operator.lshift",
        "_operator.attrgetter",
        "math.factorial",
        "#extension:add",
        "add",
        7,
    ],
)
def test_an_operator_that_is_not_known_to_be_harmless_is_refused_by_name(target):
    text = refusal(changed(SMALL, lambda document: graph_of(document)["nodes"][0].update(target=target)))
    assert f"graph_module.graph.nodes.0.target: it calls `{target!r}`" in text


@pytest.mark.parametrize("name", ["self", "torch", "lambda", "__import__", "a b", "é", "", "x=1", "x\n", 1, None])
def test_a_name_that_is_not_harmless_in_code_is_refused(name):
    def change(document: dict) -> None:
        document["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [name]

    assert "forward_arg_names.0: " in refusal(changed(SMALL, change))


@pytest.mark.parametrize("path", ["forward", "graph.owner", "linear._modules", "a..b", "a.__class__", "_graph", ""])
def test_a_path_to_what_is_no_weight_is_refused(path):
    def change(document: dict) -> None:
        document["config"][path] = document["config"].pop("linear.weight")

    assert f"{WEIGHTS} at config.name" in refusal(changed(SMALL, change, WEIGHTS))


def test_reading_beyond_weights_is_refused():
    """What one operator of PyTorch's reads depends on what lies behind its weights in the memory of the host."""
    channels = 1 << 12
    one = torch.ones(1)
    output, _, _ = torch.native_batch_norm(torch.ones(1, channels, 2), one, one, one, one, False, 0.1, 1e-5)
    assert len(output.unique()) > 1, "PyTorch compares sizes now: no longer refuse it"
    assert "torch.ops.aten.native_batch_norm.default" in refusal(
        changed(SMALL, called("torch.ops.aten.native_batch_norm.default"))
    )


@pytest.mark.parametrize("symbol", ["u99999999", "zf99999999999", "x", "s0; import os", "s"])
def test_a_symbol_that_pytorch_would_count_up_to_is_refused(symbol):
    bounds = {symbol: {"min_val": 0, "max_val": None}}
    assert "range_constraints" in refusal(changed(SMALL, lambda document: document.update(range_constraints=bounds)))


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s77', positive=True, integer=True)",
        "Add(Mul(Integer(2), Symbol('s0')), Integer(-1))",
        "FloorDiv(Symbol('s0'), Integer(2))",
        "Pow(Symbol('u0'), Integer(2))",
        "s0 + 2*s1 - 1",
        "Equality(Mod(Symbol('s0'), Integer(2)), Integer(0))",
        "Max(Integer(1), Symbol('s0'))",
    ],
)
def test_sizes_that_pytorch_writes_pass(text):
    assert str(expressions.size(text)).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "Symbol('__import__')",
        "Symbol('s0', cls=print)",
        "Symbol('s0')('x')",
        "sympify('1')",
        "S('1')",
        "E",
        "[s0 for s0 in s0]",
        "lambda: s0",
        "s0 if s0 else s1",
        "s0.subs",
        "s0[0]",
        "f's0'",
        "s0; s1",
        "s0 # comment",
        "s0 ** 9",
        "Pow(Integer(10), Integer(1000000000))",
        "Pow(Pow(Pow(Integer(9), Integer(8)), Integer(8)), Integer(8))",
        "Integer(99999999999999999999999)",
        "Add(" * 50 + "s0" + ")" * 50,
        "s0+" * 5000 + "s0",
        "s0!",
        "",
        7,
        None,
    ],
)
def test_sizes_that_are_more_than_arithmetic_are_refused(text):
    with pytest.raises(Misfit):
        expressions.size(text)


@pytest.mark.parametrize(
    "text", ["L['x'].size()[0] % 2 == 0", "L['n'] >= 0 and L['n'] <= L['x'].size()[0]", "L['x']['k'].stride()[1] != 1"]
)
def test_guards_that_pytorch_writes_pass(text):
    assert expressions.guard(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "print('x')",
        "L['x'].data_ptr()",
        "L['x'].size(print())",
        "L['x'].size()[L['x']]",
        "L['x'].__class__",
        "L[\"x', print(), '\"]",
        "M['x']",
        "L",
        "(lambda: 1)()",
    ],
)
def test_guards_that_are_more_than_conditions_on_sizes_are_refused(text):
    with pytest.raises(Misfit):
        expressions.guard(text)


def test_random_damage_never_escapes_as_another_error():
    random = torch.Generator().manual_seed(1)
    for _ in range(300):
        data = bytearray(SMALL)
        for at in torch.randint(len(data), (3,), generator=random).tolist():
            data[at] = int(torch.randint(256, (1,), generator=random))
        try:
            check_exported(bytes(data))
        except NnError:
            continue


def test_the_check_loads_nothing(monkeypatch):
    monkeypatch.setattr(torch.export, "load", lambda *_: pytest.fail("it loads the model"))
    monkeypatch.setitem(sys.modules, "pickle", None)
    check_exported(SMALL)
