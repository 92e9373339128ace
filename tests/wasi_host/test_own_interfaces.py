"""Interfaces of one's own that pass the streams of WASI."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import threading

import pytest

import wasi_host
from tests.conftest import ROOT
from tests.guests.tools import wasm_tools
from wasi_host import Pipe, World
from wit_host import GuestTimeout

WORLD = """package example:shop;

interface pages {
    use wasi:io/streams@0.2.0.{input-stream, output-stream};
    open: func(name: string) -> input-stream;
    create: func(name: string) -> output-stream;
}

world plugin {
    import pages;
    export copy: func(source: string, target: string) -> u32;
}
"""

#: Copies a page to another one, and returns the number of pieces.
GUEST = """(module
  (import "example:shop/pages" "open" (func $open (param i32 i32) (result i32)))
  (import "example:shop/pages" "create" (func $create (param i32 i32) (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]input-stream" (func $drop-input (param i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (func (export "copy") (param i32 i32 i32 i32) (result i32)
    (local $input i32) (local $output i32) (local $count i32)
    (local.set $input (call $open (local.get 0) (local.get 1)))
    (local.set $output (call $create (local.get 2) (local.get 3)))
    (block $end
      (loop $next
        (global.set $top (i32.const 4096))
        (call $read (local.get $input) (i64.const 100) (i32.const 0))
        (br_if $end (i32.load8_u (i32.const 0)))
        (call $write (local.get $output) (i32.load (i32.const 4)) (i32.load (i32.const 8)) (i32.const 16))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $end (i32.load8_u (i32.const 16)))
        (br $next)))
    (call $drop-input (local.get $input))
    (call $drop-output (local.get $output))
    (local.get $count)))"""


@pytest.fixture(scope="module")
def wit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "deps").mkdir()
    shutil.copy(ROOT / "wit/wasi/deps/io.wit", folder / "deps")
    (folder / "world.wit").write_text(WORLD)
    return folder


@pytest.fixture(scope="module")
def bindings(wit, tmp_path_factory):
    """Bindings whose streams are those of `wasi_bindings`."""
    out = tmp_path_factory.mktemp("bindings")
    arguments = ["generate", wit, "--out", out / "shop_bindings", "--with", "wasi:io/*=wasi_bindings"]
    subprocess.run([sys.executable, "-m", "witgen", *arguments], check=True, timeout=60)
    sys.path.insert(0, str(out))
    yield importlib.import_module("shop_bindings")
    sys.path.remove(str(out))


@pytest.fixture(scope="module")
def guest(wit, engine):
    core = wasm_tools("parse", "-", stdin=GUEST.encode())
    embedded = wasm_tools("component", "embed", wit, "--world", "plugin", "-", stdin=core)
    return engine.compile(wasm_tools("component", "new", "-", stdin=embedded), buffers=wasi_host.BUFFERS)


class Shop:
    """Pages that are pipes, of the guest's world."""

    def __init__(self, world, **pages):
        self.world = world
        self.pages = pages

    def open(self, name):
        return self.world.input_stream(self.pages[name])

    def create(self, name):
        return self.world.output_stream(self.pages[name])


def started(store, guest, bindings, shop):
    shop.world.add_to_linker(store.linker)
    bindings.add_to_linker(store.linker, shop)
    return bindings.Guest(store.instantiate(guest))


def test_a_guest_copies_a_stream_of_its_host_to_another_one(engine, guest, bindings):
    written = bytearray()
    shop = Shop(World(), source=bytes(range(250)), target=written.extend)
    with engine.store(timeout=60) as store:
        assert started(store, guest, bindings, shop).copy("source", "target") == 3
        assert shop.world.open_handles == 0
    assert written == bytes(range(250))


def test_bytes_flow_while_the_guest_runs(engine, guest, bindings):
    source, target = Pipe(16), Pipe(16)
    shop = Shop(World(), source=source, target=target)
    with engine.store(timeout=60) as store:
        copying = started(store, guest, bindings, shop)
        thread = threading.Thread(target=copying.copy, args=["source", "target"])
        thread.start()
        for number in range(50):
            source.write(b"%04d" % number, timeout=60)
            assert target.read(4, timeout=60) == b"%04d" % number
        source.finish()
        assert target.read(timeout=60) == b""
        thread.join(60)
        assert not thread.is_alive()


def test_a_guest_that_nobody_reads_from_ends_at_its_deadline(engine, guest, bindings):
    shop = Shop(World(), source=bytes(1000), target=Pipe(16))
    with engine.store(timeout=0.3) as store, pytest.raises(GuestTimeout):
        started(store, guest, bindings, shop).copy("source", "target")
    assert shop.world.open_handles == 0
