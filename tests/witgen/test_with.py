"""`--with`: interfaces that an existing package has are imported from there."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from witgen import WitError
from witgen.cli import app
from witgen.generate import Target, generate
from witgen.layout import Layout
from witgen.mappings import MappingError, parse_mappings
from witgen.resolver import choose_world, resolve

STORE = """
package acme:store@1.2.0;

interface types {
    enum colour { red }
    record item { name: string, colour: colour }
    resource shelf { constructor(size: u32); items: func() -> list<item>; }
    variant failure { full, broken(string) }
    put: func(s: borrow<shelf>, i: item) -> result<_, failure>;
}

interface search {
    use types.{item};
    find: func(name: string) -> list<item>;
}

interface unused { enum e { x } }

world everything { import types; import search; import unused; }
"""
MAIN = """
package acme:main;

interface actions {
    use acme:store/types@1.2.0.{item, shelf, failure, colour};
    move: func(s: shelf, i: item) -> result<shelf, failure>;
    paint: func(c: colour) -> result<_, colour>;
}

world main {
    import acme:store/search@1.2.0;
    export actions;
}
"""
ALL = "acme:store/*@1.2.0=acme_store"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with the WIT of a world and of the package that it uses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.wit").write_text(STORE)
    (tmp_path / "main.wit").write_text(MAIN)
    return tmp_path


def witgen(command, *options, wit=("main.wit", "store.wit")):
    result = CliRunner().invoke(app, [command, *wit, "--out", "bindings", *options], catch_exceptions=False)
    return subprocess.CompletedProcess(options, result.exit_code, result.stdout, result.stderr)


def generated(*pairs, wit=("main.wit", "store.wit")):
    mappings = parse_mappings(pair.partition("=")[::2] for pair in pairs)
    return generate(Target(tuple(map(Path, wit)), Path("bindings"), mappings=mappings))


# --- what is generated ---


def test_an_interface_that_an_existing_package_has_is_imported_from_there(project):
    files = generated(ALL)
    assert sorted(files) == ["__init__.py", "exports/__init__.py", "exports/actions.py", "py.typed"]
    lines = "COLOUR, FAILURE, ITEM, SHELF, Colour, Item, Shelf, TypesFailureError"
    assert f"from acme_store.types import {lines}\n" in files["exports/actions.py"]


def test_a_world_whose_imports_are_all_mapped_has_nothing_to_define(project):
    text = generated(ALL)["__init__.py"]
    assert "def add_to_linker" not in text
    assert "BUFFERS:" not in text
    assert "- `acme:store/search@1.2.0` is `acme_store.search`.\n" in text


def test_a_single_interface_is_mapped_to_the_module_itself(project):
    files = generated("acme:store/types@1.2.0=elsewhere.deep.kinds")
    assert "from elsewhere.deep.kinds import ITEM, Item\n" in files["search.py"]
    assert "search.add_to_linker(linker, search_host)\n" in files["__init__.py"]
    assert "kinds" not in files["__init__.py"].partition("__all__")[2]
    assert '"""Define every import of the world, except those that are modules of existing' in files["__init__.py"]


def test_the_version_may_be_left_out(project):
    assert generated("acme:store/*=acme_store") == generated(ALL)
    assert generated("acme:store/types=a.t", "acme:store/search=a.s") == generated(
        "acme:store/types@1.2.0=a.t", "acme:store/search@1.2.0=a.s"
    )


def test_an_error_that_no_function_of_the_existing_package_has_gets_no_exception(project):
    text = generated(ALL)["exports/actions.py"]
    assert "wit.Result(None, COLOUR, ResultError)" in text
    assert "Raises `ResultError[Colour]` if the guest" in text
    assert "wit.Result(wit.Own(SHELF), FAILURE, TypesFailureError)" in text


def test_an_export_that_a_mapping_fits_is_generated_and_its_plain_types_are_imported(project):
    (project / "main.wit").write_text("package acme:main; world main { export acme:store/types@1.2.0; }")
    files = generated(ALL)
    text = files["exports/types.py"]
    assert "from acme_store.types import COLOUR, FAILURE, ITEM, Colour, Item, TypesFailureError\n" not in text
    assert "from acme_store.types import FAILURE, ITEM, Item, TypesFailureError\n" in text
    assert "class Shelf(GuestResource):" in text
    assert "class Item" not in text
    assert "acme_store" not in files["__init__.py"], "it imports nothing that would have to be defined"


def test_a_label_of_a_mapped_interface_has_its_resources_and_functions(project):
    (project / "main.wit").write_text("package acme:main; world main { import spare: acme:store/types@1.2.0; }")
    text = generated(ALL)["spare.py"]
    assert "from acme_store.types import FAILURE, ITEM, Item, TypesFailureError\n" in text
    assert "class Shelf(Protocol):" in text
    assert "class Host(Protocol):" in text


def test_a_name_of_an_existing_package_that_is_taken_here_gets_an_underscore(project):
    main = MAIN.replace("{item, shelf,", "{item as thing, shelf,").replace("i: item", "i: thing, j: item")
    (project / "main.wit").write_text(main.replace("    move", "    record item { id: u8 }\n    move"))
    text = generated(ALL)["exports/actions.py"]
    assert "from acme_store.types import ITEM as ITEM_\n" in text
    assert "from acme_store.types import Item as Item_\n" in text
    assert "def move(self, s: Shelf, i: Item_, j: Item) -> Shelf:\n" in text


def test_interfaces_of_one_name_are_told_apart_as_in_the_existing_package(project):
    for number in (1, 2):
        (project / f"v{number}.wit").write_text(f"package acme:v@{number}.0.0; interface wit {{ enum e {{ x }} }}")
    uses = "".join(f"use acme:v/wit@{number}.0.0.{{e as e{number}}};" for number in (1, 2))
    (project / "main.wit").write_text(f"package acme:main; world main {{ {uses} export f: func(a: e1, b: e2); }}")
    wit = ("main.wit", "v1.wit", "v2.wit")
    together = generated("acme:v/*@1.0.0=all", "acme:v/*@2.0.0=all", wit=wit)["__init__.py"]
    assert "from all.wit_v1_0_0 import E\n" in together
    assert "from all.wit_v2_0_0 import E as E_\n" in together
    apart = generated("acme:v/*@1.0.0=one", "acme:v/*@2.0.0=two", wit=wit)["__init__.py"]
    assert "from one.wit_ import E" in apart, "a module of this name would hide the codecs"
    assert "from two.wit_ import E as E_" in apart


def test_the_directory_in_which_witgen_runs_does_not_matter(project):
    before = generated(ALL)
    (project / "acme_store").mkdir()
    for file in ("__init__.py", "types.py"):
        (project / "acme_store" / file).write_text("")
    assert generated(ALL) == before


# --- every package ---

GOLDEN = ROOT / "tests" / "golden" / "bindings"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.name not in ("guards", "extended"))


def user_of(name):
    """WIT that uses every type of every interface that the world of a golden package imports, and the mappings."""
    resolved = resolve(GOLDEN / name / "wit")
    layout = Layout(resolved, choose_world(resolved))
    uses, functions, keys = [], [], {}
    for module in layout.imports:
        interface = resolved.interfaces[module.interface]
        if interface.name is None or module.link_name == module.path[-1] or "/" not in module.link_name:
            continue
        package = resolved.packages[interface.package].name
        keys[package.of("*")] = f"tests.golden.bindings.{name}.bindings"
        path = package.of(f"%{interface.name}")
        uses.append(f"import {path};")
        for type_id in module.names.types:
            number = len(functions)
            uses.append(f"use {path}.{{%{resolved.types[type_id].name} as t{number}}};")
            functions.append(f"export f{number}: func(v: t{number}) -> result<t{number}, t{number}>;")
    return f"package test:user; world user {{ {' '.join([*uses, *functions])} }}", keys


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_an_existing_package_is_known_from_the_wit(name, tmp_path, monkeypatch):
    text, keys = user_of(name)
    (tmp_path / "user.wit").write_text(text)
    deps = sorted((GOLDEN / name / "wit").rglob("*.wit"))
    wit = (tmp_path / "user.wit", *deps)
    files = generate(Target(wit, tmp_path / f"uses_{name}", mappings=parse_mappings(keys.items())))
    assert sorted(files) == ["__init__.py", "py.typed"], "all interfaces are mapped"
    (tmp_path / f"uses_{name}").mkdir()
    (tmp_path / f"uses_{name}" / "__init__.py").write_text(files["__init__.py"])
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module(f"uses_{name}")
    if "export f0" not in text:
        return
    assert files["__init__.py"].count("from tests.golden") >= 1
    for number in range(text.count("export f")):
        assert get_type_hints(getattr(module.Guest, f"f{number}")).keys() == {"v", "return"}


# --- the command line and pyproject.toml ---


def test_generate_then_check_with_an_existing_package(project):
    assert witgen("generate", "--with", ALL).returncode == 0
    assert witgen("check", "--with", ALL).returncode == 0
    result = witgen("check", "--with", "acme:store/*@1.2.0=other_store")
    assert result.returncode == 1
    assert result.stderr.endswith(
        "run `witgen generate main.wit store.wit --out bindings --with 'acme:store/*@1.2.0=other_store'`\n"
    )


def listed(entry):
    Path("pyproject.toml").write_text(
        f'[[tool.witgen.packages]]\nwit = ["main.wit", "store.wit"]\nout = "bindings"\n{entry}\n'
    )
    result = CliRunner().invoke(app, ["generate"], catch_exceptions=False)
    return result.exit_code, result.stderr


def test_pyproject_lists_existing_packages(project):
    assert listed('with = { "acme:store/*@1.2.0" = "acme_store" }') == (0, "")
    assert CliRunner().invoke(app, ["check"]).exit_code == 0
    assert witgen("check", "--with", ALL).returncode == 0, "both are the same"
    assert witgen("check").returncode == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('with = "acme_store"', "it may have `world`, `package`, `standalone`, `with` and `async-hosts`"),
        ('with = { "acme:store/*" = 3 }', "it may have"),
        ('async-hosts = "yes"', "it may have"),
        ("async_hosts = true", "it may have"),
        ('with = { "acme:store" = "x" }', "pyproject.toml: `with`: `acme:store` is not the name of an interface"),
        ('with = { "acme:store/*" = "x" }\nstandalone = true', "pyproject.toml: `with`: a standalone package"),
    ],
)
def test_a_wrong_entry_in_pyproject_is_told(project, entry, message):
    status, stderr = listed(entry)
    assert status == 2
    assert message in stderr
    assert stderr.count("\n") == 1


NOT_KEYS = [
    "",
    "acme",
    "acme:store",
    "store/types",
    "acme:store@1.2.0/types",
    "acme:store/types@",
    "acme:*/types@1.2.0",
]
NOT_KEYS += [
    "acme:store/ty*",
    "acme:store/types/more",
    "Acme store:x/y",
    "acme:store/types@1 2",
    "*",
    "acme:store/%types",
]


@pytest.mark.parametrize("key", NOT_KEYS)
def test_a_key_that_names_no_interface_is_refused(project, key):
    result = witgen("generate", "--with", f"{key}=acme_store")
    assert result.returncode == 2
    assert result.stderr == (
        f"error: --with: `{key}` is not the name of an interface; write `namespace:package/interface@version`, or "
        "`namespace:package/*@version` for every interface of a package\n"
    )


@pytest.mark.parametrize(
    ("value", "better"),
    [
        ("", "bindings"),
        ("acme-store", "acme_store"),
        ("acme..store", "acme.store"),
        (".acme", "acme"),
        ("acme/store", "acme_store"),
        ("acme.class", "acme.class_"),
        ("a=b", "a_b"),
    ],
)
def test_a_value_that_is_no_module_is_refused_with_one_that_is(project, value, better):
    result = witgen("generate", "--with", f"acme:store/*@1.2.0={value}")
    assert result.returncode == 2
    assert result.stderr == (
        f"error: --with: `acme:store/*@1.2.0`: `{value}` is not the dotted name of a Python module; write `{better}`\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--with", "acme:store/*"], "--with: `acme:store/*` has no `=`; write the interface and the module"),
        (["--with", ALL, "--with", ALL], "--with: `acme:store/*@1.2.0` is mapped twice; keep one of them"),
        (["--with", ALL, "--standalone"], "--with: a standalone package cannot use the types of `acme_store`"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "check"])
def test_options_that_cannot_be_used_are_refused(project, command, options, message):
    result = witgen(command, *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not Path("bindings").exists()


@pytest.mark.parametrize("option", [["--with", ALL], ["--async-hosts"]])
def test_options_without_wit_are_refused(project, option):
    result = CliRunner().invoke(app, ["generate", *option])
    assert result.exit_code == 2
    assert "give both the WIT and --out, or nothing" in result.stderr


def test_a_standalone_package_is_refused_by_the_library_too():
    with pytest.raises(MappingError, match="leave out `standalone`"):
        Target((Path("x.wit"),), Path("x"), standalone=True, mappings=parse_mappings([("a:b/*", "c")]))


# --- mappings that do not fit the world ---


def refused(*pairs):
    with pytest.raises(WitError) as caught:
        generated(*pairs)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("acme:store/serch@1.2.0", "did you mean `acme:store/search@1.2.0`?"),
        ("acme:store/types@1.3.0", "did you mean `acme:store/types@1.2.0`?"),
        ("acme:stor/*@1.2.0", "did you mean `acme:store/*@1.2.0`?"),
        ("acme:store/serch", "did you mean `acme:store/search`?"),
        ("wasi:http/handler@0.2.0", "it has `acme:store/types@1.2.0`, `acme:store/search@1.2.0`, `acme:main/actions`"),
        (
            "acme:store/unused@1.2.0",
            "the world neither imports nor exports it, but `acme:store/types@1.2.0`, `acme:store/search@1.2.0`, "
            "`acme:main/actions`",
        ),
    ],
)
def test_a_mapping_that_fits_no_interface_of_the_world_is_refused(project, key, hint):
    assert refused(f"{key}=acme_store") == (f"no interface of the world `main` fits `{key}`", hint)


def test_it_is_shown_at_the_world(project):
    result = witgen("generate", "--with", "acme:store/serch@1.2.0=x")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "main.wit:10:7: error: no interface of the world `main` fits `acme:store/serch@1.2.0`"
    )
    assert "did you mean" in result.stderr


def test_a_world_without_interfaces_fits_no_mapping(project):
    (project / "main.wit").write_text("package acme:main; world main { import f: func(); }")
    assert refused(ALL)[1] == "the world neither imports nor exports it, but no interface at all"
    assert refused("a:b/c=d")[1] == "it has no interface at all"


def test_an_interface_that_is_mapped_twice_is_refused(project):
    assert refused(ALL, "acme:store/types@1.2.0=acme_types") == (
        "`acme:store/types@1.2.0` is mapped twice",
        "`acme:store/*@1.2.0` and `acme:store/types@1.2.0` both fit it; keep one of them",
    )
    assert refused("acme:store/search=a.b", "acme:store/*@1.2.0=c")[0] == "`acme:store/search@1.2.0` is mapped twice"


def test_two_interfaces_in_one_module_are_refused(project):
    assert refused("acme:store/types@1.2.0=acme_store", "acme:store/search@1.2.0=acme_store") == (
        "`acme:store/types@1.2.0` and `acme:store/search@1.2.0` are both mapped to `acme_store`",
        "a module has one interface; name that of each",
    )


def test_a_key_without_a_version_means_the_package_without_one_if_there_is_one(project):
    (project / "bare.wit").write_text("package acme:store; interface types { enum e { x } }")
    (project / "main.wit").write_text(
        "package acme:main; world main { import acme:store/types; import acme:store/types@1.2.0; }"
    )
    text = generated("acme:store/types=bare", wit=("main.wit", "store.wit", "bare.wit"))["__init__.py"]
    assert "- `acme:store/types` is `bare`.\n" in text
    assert "    types.add_to_linker(linker, types_host)\n" in text


def test_a_key_without_a_version_that_fits_several_is_refused(project):
    (project / "old.wit").write_text("package acme:store@1.0.0; interface types { enum e { x } }")
    (project / "main.wit").write_text(
        "package acme:main; world main { import acme:store/types@1.0.0; import acme:store/types@1.2.0; }"
    )
    with pytest.raises(WitError) as caught:
        generated("acme:store/types=x", wit=("main.wit", "store.wit", "old.wit"))
    assert caught.value.message == "`acme:store/types` fits more than one version"
    assert caught.value.hint == "name one of `acme:store/types@1.0.0`, `acme:store/types@1.2.0`"


def test_an_interface_whose_types_need_one_that_is_not_mapped_is_refused_where_it_uses_them(project):
    message, hint = refused("acme:store/search@1.2.0=acme_store.search")
    assert message == (
        "`acme:store/search@1.2.0` is mapped to `acme_store.search`, but `acme:store/types@1.2.0` is not mapped"
    )
    assert hint == "map it as well: the existing package has its types, which would be generated a second time"
    result = witgen("generate", "--with", "acme:store/search@1.2.0=acme_store.search")
    assert result.stderr.startswith("store.wit:13:16: error: ")
    assert "^^^^" in result.stderr


def test_a_mapped_interface_and_another_that_a_component_cannot_tell_from_it_are_refused(project):
    (project / "store.wit").write_text(STORE.replace("interface unused", "interface TYPES"))
    (project / "main.wit").write_text(MAIN.replace("import acme:store/search", "import acme:store/TYPES"))
    message, _ = refused("acme:store/types@1.2.0=acme_store")
    assert message.endswith("cannot both be imported: they differ only in case")


# --- hosts that wait ---

WAITING = """
from __future__ import annotations

from collections.abc import Sequence

from tests.golden.bindings.async_hosts import bindings
from tests.golden.bindings.async_hosts.bindings import pages
from wit_host import Linker


class Page(pages.Page):
    def __init__(self, address: str) -> None:
        self.address = address

    async def text(self) -> str:
        return self.address

    async def links(self) -> Sequence[Page]:
        return []

    async def content(self) -> bytes:
        return b""

    def drop(self) -> None:
        pass


class Host(pages.Host):
    async def new_page(self, address: str) -> Page:
        return Page(address)

    async def page_open(self, address: str) -> Page:
        return Page(address)

    async def fetch(self, address: str) -> bytes:
        return address.encode()

    async def store(self, entries: list[pages.Entry]) -> None:
        pass

    async def await_(self, seconds: float) -> None:
        pass


class Clock:
    async def now(self) -> int:
        return 1


def define(linker: Linker) -> None:
    bindings.add_to_linker(linker, Clock(), Host())
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Runs a type checker on a module of this text, in the checkout."""

    def check(checker, text):
        path = tmp_path_factory.mktemp("waiting") / "waiting.py"
        path.write_text(textwrap.dedent(text))
        options = {"mypy": ["--strict"], "pyright": ["--pythonpath", sys.executable]}[checker]
        command = [sys.executable, "-m", checker, *options, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)

    return check


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_coroutines_implement_async_hosts_and_nothing_else_does(checked, checker):
    right = checked(checker, WAITING)
    assert right.returncode == 0, right.stdout + right.stderr
    for function in ("async def now", "async def fetch", "async def text", "async def new_page"):
        wrong = checked(checker, WAITING.replace(function, function.removeprefix("async ")))
        assert wrong.returncode == 1, function
        assert function.removeprefix("async def ") in wrong.stdout
    wrong = checked(checker, WAITING.replace("def drop", "async def drop"))
    assert wrong.returncode == 1
    assert "drop" in wrong.stdout


def test_only_what_a_host_implements_is_a_coroutine(project):
    target = Target((Path("store.wit"),), Path("bindings"), async_hosts=True)
    plain = generate(Target((Path("store.wit"),), Path("bindings")))
    text = generate(target)["types.py"]
    for function in ("put", "new_shelf", "items"):
        assert f"    async def {function}(self" in text
    assert text.count("async def") == 3
    assert (
        text.replace("async def", "def").replace(
            '\n\n    They are coroutines, so the guest has to run under asyncio.\n    """', '"""'
        )
        == plain["types.py"]
    )


def test_exports_of_guests_are_called_without_waiting(project):
    files = generate(Target((Path("main.wit"), Path("store.wit")), Path("bindings"), async_hosts=True))
    assert "async def" not in files["exports/actions.py"]
    assert "async def find" in files["search.py"]


def test_async_hosts_are_an_option_and_an_entry(project):
    assert witgen("generate", "--async-hosts").returncode == 0
    assert witgen("check", "--async-hosts").returncode == 0
    result = witgen("check")
    assert result.returncode == 1
    assert "-    async def find" in result.stdout
    status, _ = listed("async-hosts = true")
    assert status == 0
    assert witgen("check", "--async-hosts").returncode == 0
