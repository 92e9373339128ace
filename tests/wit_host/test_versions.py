"""Interfaces of other versions that are compatible, by the engine's own rule."""

from __future__ import annotations

import pytest

from wit_host import LinkError, versions
from wit_host import values as wit


@pytest.mark.parametrize(
    ("wanted", "offered", "found"),
    [
        ("a:b/c", ["a:b/c"], "a:b/c"),
        ("a:b/c@1.2.3", ["a:b/c@1.2.3", "a:b/c@1.9.0"], "a:b/c@1.2.3"),
        ("a:b/c@1.2.3", ["a:b/c@1.0.0", "a:b/c@1.9.0", "a:b/c@1.10.0", "a:b/c@2.0.0"], "a:b/c@1.10.0"),
        ("a:b/c@1.2.3", ["a:b/c@1.0.0"], "a:b/c@1.0.0"),
        ("a:b/c@0.2.0", ["a:b/c@0.2.12"], "a:b/c@0.2.12"),
        ("a:b/c@0.2.12", ["a:b/c@0.2.0"], "a:b/c@0.2.0"),
        ("a:b/c@0.2.0", ["a:b/c@0.3.0", "a:b/c@1.2.0"], None),
        ("a:b/c@0.0.1", ["a:b/c@0.0.2"], None),
        ("a:b/c@1.0.0-rc-1", ["a:b/c@1.0.0", "a:b/c@1.0.0-rc-2"], None),
        ("a:b/c@1.0.0", ["a:b/c@1.0.0-rc-1"], None),
        ("a:b/c@1.0.0", ["a:b/d@1.0.0", "a:x/c@1.0.0", "a:b/c"], None),
        ("a:b/c", ["a:b/c@1.0.0"], None),
    ],
)
def test_a_compatible_version_serves_and_the_newest_of_several(wanted, offered, found):
    assert versions.find(wanted, offered) == found


COMPATIBLE = [("1.0.0", "1.5.2"), ("1.5.2", "1.0.0"), ("0.2.0", "0.2.9"), ("1.0.0", "1.0.0")]
INCOMPATIBLE = [("2.0.0", "1.0.0"), ("0.3.0", "0.2.0"), ("0.0.2", "0.0.1"), ("1.0.0-rc", "1.0.0")]
GUEST = '(component (import "acme:rockets/launch@{}" (instance (export "f" (func (param "v" {}))))))'


def link(host, guest, offered):
    version, type_ = guest
    with host.store() as store:
        instance = store.linker.instance(f"acme:rockets/launch@{offered}")
        instance.function("f", lambda _: None, {"v": wit.STRING}, None)
        store.instantiate(host.engine.compile(GUEST.format(version, type_).encode()), "guest")


@pytest.mark.parametrize(("guest", "offered"), COMPATIBLE)
def test_a_guest_runs_on_a_host_of_a_compatible_version(host, guest, offered):
    link(host, (guest, "string"), offered)


@pytest.mark.parametrize(("guest", "offered"), COMPATIBLE)
def test_types_are_compared_across_compatible_versions(host, guest, offered):
    message = f"guest imports acme:rockets/launch@{guest}#f with another type: parameter v: this host has string"
    with pytest.raises(LinkError, match=message):
        link(host, (guest, "u64"), offered)


@pytest.mark.parametrize(("guest", "offered"), INCOMPATIBLE)
def test_a_guest_is_not_given_another_version(host, guest, offered):
    with pytest.raises(LinkError, match=f"guest imports acme:rockets/launch@{guest}, which this host does not provide"):
        link(host, (guest, "string"), offered)


def test_a_guest_may_import_two_versions_that_one_definition_serves(host):
    text = "(component {} {})".format(*(GUEST.format(v, "string")[len("(component ") : -1] for v in ("1.0.0", "1.1.0")))
    with host.store() as store:
        instance = store.linker.instance("acme:rockets/launch@1.4.0")
        instance.function("f", lambda _: None, {"v": wit.STRING}, None)
        store.instantiate(host.engine.compile(text.encode()))


def test_what_the_host_defines_itself_comes_before_the_engines_wasi(host):
    name = "wasi:random/insecure-seed@0.2.0"
    text = f"""(component
        (import "{name}" (instance $i (export "insecure-seed" (func (result (tuple u64 u64))))))
        (core module $memory (memory (export "m") 1))
        (core instance $memory (instantiate $memory))
        (alias export $i "insecure-seed" (func $f))
        (core func $f (canon lower (func $f) (memory (core memory $memory "m"))))
        (core module $m (import "" "f" (func $f (param i32))) (func (export "run") (result i32)
          (call $f (i32.const 8)) (i32.const 0)))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func $run (result (result)) (canon lift (core func $m "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"""
    for define in (False, True):
        asked = []
        with host.store() as store:
            store.linker.add_wasi()
            if define:
                seed = wit.Tuple(wit.U64, wit.U64)
                store.linker.instance(name).function("insecure-seed", lambda: asked.append(1) or (1, 2), {}, seed)  # noqa: B023
            assert store.run_command(host.engine.compile(text.encode())) == 0
        assert asked == ([1] if define else [])
