"""Every mapping of `--with` that is refused: by its form, beside other options, and by the world."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.witgen.helpers.store_project import ALL, MAIN, STORE, generated, listed, run, witgen, write_wit
from witgen import WitError
from witgen.mappings import MappingError, parse_mappings
from witgen.target import Target


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A directory with the WIT of a world and of the package that it uses."""
    monkeypatch.chdir(tmp_path)
    write_wit(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('with = "acme_store"', "`with` has to be a table of strings"),
        ('with = { "acme:store/*" = 3 }', "`with` has to be a table of strings"),
        ('async-hosts = "yes"', "`async-hosts` has to be true or false"),
        ("async_hosts = true", "unknown key `async_hosts`; did you mean `async-hosts`?"),
        ('with = { "acme:store" = "x" }', "pyproject.toml: `with`: `acme:store` is not the name of an interface"),
        ('with = { "acme:store/*" = "x" }\nstandalone = true', "pyproject.toml: `with`: a standalone package"),
    ],
)
def test_a_wrong_entry_in_pyproject_is_told(project, entry, message):
    result = listed(entry)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


NOT_KEYS = ["", "*", "acme", "acme:store", "store/types", "acme:store@1.2.0/types", "acme:store/types@"]
NOT_KEYS += ["acme:*/types@1.2.0", "acme:store/ty*", "acme:store/types/more", "Acme store:x/y", "acme:store/types@1 2"]
NOT_KEYS += ["acme:store/%types", "acme:store/types@1.2.0@1.2.0", "acme:store/-types", "acmé:store/types"]


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
    result = run("generate", *option)
    assert result.returncode == 2
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
    (project / "store.wit").write_text(
        STORE.replace("interface unused", "interface TYPES").replace("import unused;", "")
    )
    (project / "main.wit").write_text(MAIN.replace("import acme:store/search@", "import acme:store/TYPES@"))
    message, _ = refused("acme:store/types@1.2.0=acme_store")
    assert message.endswith("cannot both be imported: they differ only in case")
