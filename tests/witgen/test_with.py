"""`--with`: interfaces that an existing package has are imported from there."""

from __future__ import annotations

import importlib
from typing import get_type_hints

import pytest

from tests.conftest import ROOT
from tests.witgen.helpers.store_project import ALL, MAIN, generated, listed, run, witgen, write_wit
from witgen.generate import Target, generate
from witgen.layout import Layout
from witgen.mappings import parse_mappings
from witgen.resolver import choose_world, resolve


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with the WIT of a world and of the package that it uses."""
    monkeypatch.chdir(tmp_path)
    write_wit(tmp_path)
    return tmp_path


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
    assert "class Host(Protocol[ShelfT]):" in text


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


def test_a_key_without_a_version_means_the_package_without_one_if_there_is_one(project):
    (project / "bare.wit").write_text("package acme:store; interface types { enum e { x } }")
    (project / "main.wit").write_text(
        "package acme:main; world main { import acme:store/types; import acme:store/types@1.2.0; }"
    )
    text = generated("acme:store/types=bare", wit=("main.wit", "store.wit", "bare.wit"))["__init__.py"]
    assert "- `acme:store/types` is `bare`.\n" in text
    assert "    types.add_to_linker(linker, types_host)\n" in text


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


def test_pyproject_lists_existing_packages(project):
    assert listed('with = { "acme:store/*@1.2.0" = "acme_store" }').returncode == 0
    assert run("check").returncode == 0
    assert witgen("check", "--with", ALL).returncode == 0, "both are the same"
    assert witgen("check").returncode == 1
