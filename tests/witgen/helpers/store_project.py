"""A project whose world uses the WIT package `acme:store`, for which bindings exist elsewhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

from typer.testing import CliRunner

from witgen.cli import app
from witgen.generate import Target, generate
from witgen.mappings import parse_mappings

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


def write_wit(directory):
    (directory / "store.wit").write_text(STORE)
    (directory / "main.wit").write_text(MAIN)


def run(*arguments):
    """Run `witgen` in this process."""
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def witgen(command, *options):
    """Run a command on the world of the project."""
    return run(command, "main.wit", "store.wit", "--out", "bindings", *options)


def listed(entry):
    """Run `generate` with a pyproject.toml that lists the world of the project, and `entry`."""
    wit = 'wit = ["main.wit", "store.wit"]\nout = "bindings"'
    Path("pyproject.toml").write_text(f"[[tool.witgen.packages]]\n{wit}\n{entry}\n")
    return run("generate")


def generated(*pairs, wit=("main.wit", "store.wit")):
    mappings = parse_mappings(pair.partition("=")[::2] for pair in pairs)
    return generate(Target(tuple(map(Path, wit)), Path("bindings"), mappings=mappings))
