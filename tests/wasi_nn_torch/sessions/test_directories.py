"""The directories of a guest: components use them through WASI 0.2, core modules through preview 1."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import wasi_nn_torch
from tests.wasi_nn_torch.helpers.exported_models import exported
from wasi_nn_torch import Directory, Engine
from wasi_nn_torch.cli import app
from wasi_nn_torch.cli.dir_option import parse_directories, parse_directory
from wasi_nn_torch.sessions.cache_key import key_path

# Nothing of it depends on the device.
pytestmark = pytest.mark.cpu

CHANGES = {
    "create": "data/new",
    "overwrite": "data/overwritten",
    "append": "data/appended",
    "truncate": "data/truncated",
    "empty": "data/emptied",
    "delete": "data/deleted",
    "rename": "data/old,data/renamed",
    "make a folder": "data/made",
    "remove a folder": "data/folder",
    "link": "data/linked,data/link",
    "link by name": "data/pointer",
    "set times": "data/touched",
}


@pytest.fixture(scope="module")
def engine():
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def probe(engine, probe_file):
    return engine.compile(probe_file)


@pytest.fixture
def run(engine, probe):
    """Run the probe; returns the last line that it says, which is JSON."""

    def run(*arguments, **options):
        said = []
        with engine.session(args=arguments, stdout=said.append, **options) as session:
            assert session.run(probe) == 0
        return json.loads(b"".join(said).splitlines()[-1])

    return run


@pytest.fixture
def directory(tmp_path):
    """A directory with something for each way to change it."""
    directory = tmp_path / "given"
    (directory / "folder").mkdir(parents=True)
    for name in "overwritten appended truncated emptied deleted old linked touched".split():
        (directory / name).write_text("content")
    return directory


def content(directory):
    """Everything that a guest could change."""
    return {
        path.relative_to(directory): (
            path.lstat().st_mtime_ns,
            path.lstat().st_nlink,
            path.is_file() and path.read_text(),
        )
        for path in directory.rglob("*")
    }


def changes(**chosen):
    return [word for change in (chosen or CHANGES).items() for word in change]


# --- components ---


@pytest.mark.parametrize("given", ["data", Directory("data")], ids=["by its name", "as a directory"])
def test_a_directory_is_read_only_by_default(run, directory, given):
    before = content(directory)
    refused = run("change", *changes(), dirs={str(directory): given})
    assert refused.keys() == CHANGES.keys()
    assert content(directory) == before


def test_a_writable_directory_can_be_changed_in_every_way(run, directory):
    assert run("change", *changes(), dirs={str(directory): Directory("data", writable=True)}) == {}
    assert {path.name for path in directory.iterdir()} == {
        *("new overwritten appended truncated emptied renamed made linked link pointer touched".split())
    }
    assert (directory / "truncated").read_text() == "c"


def test_a_file_does_not_become_writable_through_another_directory(run, directory, tmp_path):
    (tmp_path / "other").mkdir()
    dirs = {str(directory): "data", str(tmp_path / "other"): Directory("other", writable=True)}
    before = content(directory)
    refused = run("change", *changes(link="data/linked,other/linked", rename="data/old,other/old"), dirs=dirs)
    assert refused.keys() == {"link", "rename"}
    assert content(directory) == before


def test_a_directory_stays_read_only_next_to_a_writable_one(run, directory, tmp_path):
    (tmp_path / "other").mkdir()
    dirs = {str(directory): "data", str(tmp_path / "other"): Directory("other", writable=True)}
    assert run("change", *changes(create="other/new", append="data/appended"), dirs=dirs).keys() == {"append"}


# --- core modules ---

#: The rights of preview 1 to read and to write a file.
READ, WRITE = 2, 64
CALLS = {
    "open to write": f"(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)"
    f" (i64.const {READ | WRITE}) (i64.const 0) (i32.const 0) (i32.const 64))",
    "create": f"(call $open (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 1)"
    f" (i64.const {READ | WRITE}) (i64.const 0) (i32.const 0) (i32.const 64))",
    "empty": f"(call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 8)"
    f" (i64.const {READ | WRITE}) (i64.const 0) (i32.const 0) (i32.const 64))",
    "make a folder": "(call $mkdir (i32.const 3) (i32.const 4) (i32.const 3))",
    "delete": "(call $unlink (i32.const 3) (i32.const 0) (i32.const 4))",
    "rename": "(call $rename (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 4) (i32.const 3))",
    "link": "(call $link (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 4)"
    " (i32.const 3))",
    "link by name": "(call $symlink (i32.const 0) (i32.const 4) (i32.const 3) (i32.const 4) (i32.const 3))",
    "set times": "(call $times (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i64.const 0) (i64.const 0)"
    " (i32.const 10))",
}


def module(call):
    """A guest that makes one call on `file`, or for the name `new`, and exits with 0 or the number of the error."""
    return f"""
    (module
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_rename"
        (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_link"
        (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "path_filestat_set_times"
        (func $times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "filenew")
      (func (export "_start") (call $exit {call})))
    """.encode()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("writable", [False, True], ids=["read-only", "writable"])
def test_a_core_module_changes_a_directory_only_if_it_is_writable(engine, tmp_path, call, writable):
    (tmp_path / "file").write_text("content")
    before = content(tmp_path)
    with engine.session(dirs={str(tmp_path): Directory("data", writable)}) as session:
        status = session.run(module(CALLS[call]))
    assert (status == 0) is writable
    assert writable or content(tmp_path) == before


# --- in Python ---


def test_a_directory_object_is_immutable():
    with pytest.raises(FrozenInstanceError):
        Directory("data").writable = True


def test_a_directory_that_cannot_be_opened_is_an_error(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "is_dir", lambda self: True)
    with pytest.raises(NotADirectoryError, match=r"guest directory .*nowhere cannot be opened"):
        engine.session(dirs={str(tmp_path / "nowhere"): "data"})


# --- on the command line ---


@pytest.mark.parametrize(
    ("text", "host", "guest", "writable"),
    [
        ("photos", "photos", "photos", False),
        (".", ".", ".", False),
        ("photos:ro", "photos", "photos", False),
        ("photos:rw", "photos", "photos", True),
        ("photos::data", "photos", "data", False),
        ("photos::/data:ro", "photos", "/data", False),
        ("photos::/data:rw", "photos", "/data", True),
        (".::/ro:ro", ".", "/ro", False),
        ("photos::rw", "photos", "rw", False),
        ("photos::a:b:rw", "photos", "a:b", True),
        ("photos::a::b:ro", "photos", "a::b", False),
        ("a:b::data", "a:b", "data", False),
        ("C:/photos::data", "C:/photos", "data", False),
    ],
)
def test_a_directory_is_spelled_with_a_name_and_a_mode(text, host, guest, writable):
    assert parse_directory(text) == (host, Directory(guest, writable))


@pytest.mark.parametrize(
    "text", ["", "::", "::guest", "photos::", "photos:::rw", ":rw", "photos::a::rw", "photos::a::ro"]
)
def test_a_directory_needs_both_names(text):
    with pytest.raises(ValueError, match=r"is not HOST\[::GUEST\]\[:ro\|:rw\]"):
        parse_directory(text)


@pytest.mark.parametrize("text", [".::/ro:ro:x", "photos::a:b", "photos::data:RW", "photos::data:", "photos::a:ra"])
def test_a_mode_that_does_not_exist_is_an_error(text):
    with pytest.raises(ValueError, match=r"must end with :ro or :rw|is not HOST"):
        parse_directory(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (".:.", "; WasmEdge's GUEST:HOST is `.::.:rw` here"),
        (".:/no/such/photos", "; WasmEdge's GUEST:HOST is `/no/such/photos::.:rw` here"),
        ("data:photos:readonly", "; WasmEdge's GUEST:HOST is `photos::data` here"),
        ("photos:ra", "; WasmEdge's GUEST:HOST is `ra::photos:rw` here"),
        ("photos:", ""),
    ],
)
def test_one_colon_gets_a_hint_at_two(text, advice):
    with pytest.raises(ValueError, match="is not HOST") as caught:
        parse_directory(text)
    assert str(caught.value) == f"`{text}` is not HOST[::GUEST][:ro|:rw]{advice}"


@pytest.mark.skipif("os.name == 'nt'", reason="no name has a colon there")
def test_a_directory_with_a_colon_in_its_name_is_taken_as_it_is(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert parse_directory(f"{tmp_path}/a:b") == (f"{tmp_path}/a:b", Directory(f"{tmp_path}/a:b"))


def test_a_directory_is_given_once():
    with pytest.raises(ValueError, match="directory `photos` is given more than once"):
        parse_directories(["photos::a", "photos::b:rw"])


def test_two_directories_need_two_names(engine, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="two guest directories have the name data; give each its own name"):
        engine.session(dirs={f"{tmp_path}/a": "data", f"{tmp_path}/b": Directory("data", writable=True)})


# --- files that the host trusts ---


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """An engine whose cache of compiled guests is in a directory `cache`, with a model in a directory `models`."""
    monkeypatch.setenv("WASI_NN_TORCH_CACHE", str(tmp_path / "cache"))
    for name in ("models", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "net.pt2").write_bytes(exported(torch.nn.ReLU(), torch.ones(2)))
    with Engine("cpu") as engine:
        engine.register("net", tmp_path / "models" / "net.pt2")
        engine.compile(b"(component)")
        yield engine


@pytest.mark.parametrize(
    ("name", "trusted"),
    [
        (".", "the cache of compiled guests"),
        ("cache", "the cache of compiled guests"),
        ("cache/within", "the cache of compiled guests"),
        ("link to cache", "the cache of compiled guests"),
        ("models", "the model file"),
        ("link to models", "the model file"),
    ],
)
def test_a_directory_with_files_that_the_host_trusts_cannot_be_writable(cached, tmp_path, name, trusted):
    (tmp_path / "cache" / "within").mkdir()
    for target in ("cache", "models"):
        (tmp_path / f"link to {target}").symlink_to(tmp_path / target)
    with pytest.raises(ValueError, match=f"cannot be writable, because a guest could change {trusted} "):
        cached.session(dirs={str(tmp_path / name): Directory("data", writable=True)})
    with cached.session(dirs={str(tmp_path / name): "data"}):
        pass


@pytest.mark.parametrize("lent", ["models", "elsewhere"])
def test_a_linked_model_is_protected_where_the_link_and_where_the_file_is(cached, tmp_path, lent):
    cached.unregister("net")
    (tmp_path / "elsewhere" / "link.pt2").symlink_to(tmp_path / "models" / "net.pt2")
    cached.register("linked", tmp_path / "elsewhere" / "link.pt2")
    with pytest.raises(ValueError, match="could change the model file"):
        cached.session(dirs={str(tmp_path / lent): Directory("data", writable=True)})


def test_a_directory_is_free_once_its_models_are_not_offered_any_more(cached, tmp_path):
    cached.unregister("net")
    with cached.session(dirs={str(tmp_path / "models"): Directory("data", writable=True)}):
        pass


def test_the_package_cannot_be_changed_by_a_guest():
    package = Path(wasi_nn_torch.__file__).parent
    with Engine("cpu", cache=False) as engine, pytest.raises(ValueError, match="could change the package"):
        engine.session(dirs={str(package / "cli"): Directory("data", writable=True)})


@pytest.fixture
def key(tmp_path, monkeypatch):
    """The file of the key, in a directory `state`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("wasi_nn_torch.sessions.cache_key.user_state_path", lambda *_, **__: tmp_path / "state" / "app")
    return key_path()


@pytest.mark.parametrize("cache", [True, False], ids=["with a cache", "without"])
@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read-only"])
@pytest.mark.parametrize("name", [".", "state", "state/app/keys", "link"])
def test_a_directory_with_the_key_of_compiled_guests_cannot_be_given(key, tmp_path, name, writable, cache):
    with Engine("cpu", cache=cache) as engine:
        engine.compile(b"(component)")
        assert key.exists() is cache
        key.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "link").symlink_to(key.parent)
        with pytest.raises(ValueError, match="because a guest could read the key of compiled guests ") as caught:
            engine.session(dirs={str(tmp_path / name): Directory("data", writable=writable)})
        assert str(caught.value).endswith(f" {key}; give the guest another directory")


@pytest.mark.parametrize("writable", [True, False], ids=["writable", "read-only"])
def test_a_directory_next_to_the_key_can_be_given(key, tmp_path, writable):
    (tmp_path / "other").mkdir()
    with Engine("cpu") as engine, engine.session(dirs={str(tmp_path / "other"): Directory("data", writable=writable)}):
        pass


def test_the_command_line_says_which_file_is_in_the_way(tmp_path):
    (tmp_path / "net.pt2").write_bytes(exported(torch.nn.ReLU(), torch.ones(2)))
    (tmp_path / "guest.wat").write_text("(component)")
    arguments = ["--graph", f"net={tmp_path}/net.pt2", "--dir", f"{tmp_path}:rw", str(tmp_path / "guest.wat")]
    result = CliRunner().invoke(app, ["run", *arguments])
    assert result.exit_code == 2
    assert f"a guest could change the model file {tmp_path}/net.pt2" in result.stderr
