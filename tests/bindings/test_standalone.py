"""A package with a copy of the runtime inside needs nothing but wasmtime."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires

import pytest

from tests.conftest import ROOT
from tests.guests.forward import forwarding_guest
from wit_host.made_for import WASMTIME
from witgen.render import LEAVE_AS_IT_IS

WIT = """
package acme:greeting@1.0.0;

interface hello {
    record person { name: string, age: option<u8> }
    variant failure { unknown(string), shy }
    greet: func(who: person) -> result<string, failure>;
}

world polite { import hello; export hello; }
"""
HOST = """
import sys

for name in ("wit_host", "witgen", "wasi_nn_torch", "torch"):
    sys.modules[name] = None

from acme.greeting import Guest, add_to_linker, hello
from acme.greeting._wit_host import Engine


class Host(hello.Host):
    def greet(self, who):
        if who.age is None:
            raise hello.HelloFailureError(hello.FailureUnknown(who.name))
        return f"hello {who.name}"


engine = Engine()
with engine.store() as store:
    add_to_linker(store.linker, Host())
    guest = Guest(store.instantiate(engine.compile(sys.argv[1])))
    print(guest.hello.greet(hello.Person("Ada", 36)))
    try:
        guest.hello.greet(hello.Person("Bob", None))
    except hello.HelloFailureError as error:
        print(error.value)
"""


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standalone")
    (folder / "hello.wit").write_text(WIT)
    (folder / "guest.wasm").write_bytes(forwarding_guest(WIT))
    arguments = ["hello.wit", "--out", ".", "--package", "acme.greeting", "--standalone"]
    assert run(folder, "-m", "witgen", "generate", *arguments).returncode == 0
    assert run(folder, "-m", "witgen", "check", *arguments).returncode == 0
    return folder


def test_it_runs_a_guest_where_nothing_else_is_installed(project):
    result = run(project, "-c", HOST, "guest.wasm")
    assert result.stderr == ""
    assert result.stdout == "hello Ada\nFailureUnknown(value='Bob')\n"


@pytest.fixture
def other_wasmtime(tmp_path):
    """A directory that makes another version of wasmtime appear to be installed."""
    (tmp_path / "wasmtime-51.2.0.dist-info").mkdir()
    (tmp_path / "wasmtime-51.2.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: wasmtime\nVersion: 51.2.0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("package", "remedy"),
    [("acme.greeting", "generate the package again"), ("wit_host", "update the package")],
)
def test_it_says_which_wasmtime_it_was_made_for_if_another_is_found(project, other_wasmtime, package, remedy):
    code = f"import sys; sys.path.insert(0, {str(other_wasmtime)!r}); import {package}"
    result = run(project, "-c", code)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"ImportError: {package} was made for wasmtime 50.0, but wasmtime 51.2.0 is installed; "
        f"run `pip install 'wasmtime==50.0.*'`, or {remedy} with a version of wit-host for wasmtime 51.2.0"
    )


def test_it_is_made_for_the_wasmtime_that_the_distribution_requires():
    [required] = [each for each in requires("wit-host") or [] if each.startswith("wasmtime")]
    assert required == f"wasmtime=={WASMTIME}.*"


def test_mypy_finds_nothing_in_it(project):
    result = run(project, "-m", "mypy", "--strict", "-p", "acme.greeting")
    assert result.returncode == 0, result.stdout


def test_the_copy_is_that_of_this_version(project):
    source = ROOT / "backend" / "wit_host"
    for path in source.rglob("*.py"):
        copy = project / "acme" / "greeting" / "_wit_host" / path.relative_to(source)
        header = f"# Copied by witgen from wit_host, do not edit.\n{LEAVE_AS_IT_IS}"
        assert copy.read_bytes() == header.encode() + path.read_bytes()


def test_a_file_that_the_runtime_no_longer_has_is_taken_away(project):
    stale = project / "acme" / "greeting" / "_wit_host" / "stale.py"
    stale.write_text("")
    arguments = ["hello.wit", "--out", ".", "--package", "acme.greeting", "--standalone"]
    assert run(project, "-m", "witgen", "check", *arguments).returncode == 1
    assert run(project, "-m", "witgen", "generate", *arguments).returncode == 0
    assert not stale.exists()
