"""The WIT in a binary is what `wasm-tools component wit` prints of it, read as text.

Random packages are compared as binary packages, as core modules and as components. For more, and other ones:

    WITGEN_EXAMPLES=5000 python -m pytest tests/witgen/test_decode_compared.py

`wasm-tools` prints no empty documentation, moves white space in it, and repeats that of an interface at an import under
a label; so documentation is compared with its JSON. What it prints is not always valid; then witgen has to read the
binary all the same.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.conftest import ROOT
from tests.witgen.helpers import binaries, wasm_tools
from tests.witgen.helpers.writer import write_project
from tests.witgen.test_golden import GOLDEN, NAMES, NEEDS
from witgen.diagnostics import WitError
from witgen.dump import dump
from witgen.resolver import resolve, resolve_texts

pytestmark = pytest.mark.skipif(wasm_tools.program() is None, reason=wasm_tools.MISSING)
EXAMPLES = int(os.environ.get("WITGEN_EXAMPLES", "0"))
SEEDS = range(40) if not EXAMPLES else range(Random().randrange(10**9), 10**10)[:EXAMPLES]
GUESTS = ["build/classify/guest.wasm", "build/plugins/plugin.wasm", "build/tests/probe.wasm", "build/vad/guest.wasm"]


def without_docs(thing):
    if isinstance(thing, dict):
        return {key: without_docs(value) for key, value in thing.items() if key != "docs" or isinstance(value, int)}
    return [without_docs(each) for each in thing] if isinstance(thing, list) else thing


def docs(thing, found):
    """All documentation in a dump, in any order."""
    if isinstance(thing, dict):
        if set(thing) == {"contents"}:
            found.append(thing["contents"])
        for value in thing.values():
            docs(value, found)
    elif isinstance(thing, list):
        for each in thing:
            docs(each, found)
    return sorted(found)


def compare(binary: Path) -> bool:
    """Fail if witgen reads something else; return whether there was anything to compare with."""
    printed = binaries.text(binary)
    if printed is None:
        return False
    ours = dump(resolve(binary, all_features=True))
    command = [wasm_tools.program(), "component", "wit", "--json", binary]
    theirs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert docs(ours, []) == docs(theirs, [])
    text = as_text(printed)
    if text is None:
        return False
    for part in ("packages", "worlds", "interfaces", "types"):
        assert without_docs(ours[part]) == without_docs(text[part]), f"{part} of {binary} differ"
    assert json.dumps(without_docs(ours)) == json.dumps(without_docs(text)), "something stands in another order"
    return True


def as_text(printed: str):
    """What witgen makes of the text, unless it has a gate that no package of that version can have."""
    try:
        return dump(resolve_texts({"printed.wit": printed}, all_features=True))
    except WitError as error:
        if "@since" in error.message or "available only since" in error.message:
            return None
        raise


@pytest.mark.parametrize("guest", GUESTS)
def test_guests_of_other_tools_are_read_as_the_reference_reads_them(guest):
    if not (ROOT / guest).is_file():
        pytest.skip(f"{guest} is not built: `make test` builds it")
    assert compare(ROOT / guest)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_with_bindings_is_read_from_each_kind_of_binary(name, tmp_path):
    wit = in_one_directory(name, tmp_path)
    resolved = resolve(wit, all_features=True)
    compared = compare_all(tmp_path, [binaries.package(wit), *modules_and_components(wit, resolved)])
    assert compared >= 2 * len(resolved.worlds)


def in_one_directory(name, tmp_path):
    """The WIT of a golden package, with what it needs as dependencies."""
    wit = tmp_path / "wit"
    (wit / "deps").mkdir(parents=True)
    for source, place in [(ROOT / GOLDEN / name / "wit", wit), *((ROOT / path, None) for path in NEEDS.get(name, ()))]:
        for file in source.rglob("*.wit"):
            to = place / file.relative_to(source) if place else wit / "deps" / source.parent.name / file.name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(file.read_bytes())
    return wit


def modules_and_components(wit, resolved, features=("--all-features",)):
    modules = binaries.core_modules(wit, resolved, features)
    return [*modules, *map(binaries.component, modules)]


def compare_all(directory, made):
    """How many of the binaries could be compared."""
    count = 0
    for number, binary in enumerate(each for each in made if each is not None):
        (directory / f"{number}.wasm").write_bytes(binary)
        count += compare(directory / f"{number}.wasm")
    return count


def test_random_packages_are_read_from_each_kind_of_binary(tmp_path):
    compared = 0
    for seed in SEEDS:
        project, directory = write_project(Random(seed)), tmp_path / str(seed)
        wit = project.put(directory)
        try:
            resolved = resolve(wit, all_features=project.all_features, features=project.features)
        except WitError:
            continue
        features = ["--all-features"] if project.all_features else ["--features", ",".join(sorted(project.features))]
        compared += compare_all(directory, [binaries.package(wit, features)])
        compared += compare_all(directory, modules_and_components(wit, resolved, features)[-2:])
    assert compared > len(SEEDS) // 2


@pytest.mark.parametrize("version", ["2024-06-25", "2024-08-19", "2024-10-28"])
def test_the_package_of_wasi_nn_survives_its_binary_form_unchanged(version, tmp_path):
    (tmp_path / "nn.wasm").write_bytes(binaries.package(ROOT / "wit" / version))
    assert dump(resolve(tmp_path / "nn.wasm")) == dump(resolve(ROOT / "wit" / version))


def test_packages_have_the_order_that_the_reference_gives_them_if_some_are_binaries(tmp_path):
    wit = tmp_path / "wit"
    (wit / "deps").mkdir(parents=True)
    (wit / "a.wit").write_text("package a:b; world w { import z:z/i; import c:d/j; import f:g/k; }")
    (wit / "deps/c.wit").write_text("package c:d; interface j {}")
    for name, text in {"z": "package z:z; interface i { type t = u8; }", "f": F_WITH_Z}.items():
        (tmp_path / f"{name}.wit").write_text(text)
        (wit / "deps" / f"{name}.wasm").write_bytes(binaries.package(tmp_path / f"{name}.wit"))
    printed = subprocess.run([wasm_tools.program(), "component", "wit", "--json", wit], capture_output=True, check=True)
    assert dump(resolve(wit)) == json.loads(printed.stdout)


F_WITH_Z = "package f:g; interface k { use z:y/i.{t}; f: func() -> t; } package z:y { interface i { type t = u8; } }"
