"""Guests that forward, driven by the stock API of wasmtime: every value comes back from where it was sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from tests.guests.flat import Unsupported
from tests.guests.forward import forwarding_guest
from wit_host.capi import allow_many_borrows
from wit_host.rewrite import replace_fixed_length_lists

BUMP = 40 << 20  # bytes that many calls pass in total, which is more than the memory limit of a guest


class Stock:
    """One guest; each import is a Python function, the rest are traps."""

    def __init__(self, wasm: bytes, imports: dict[str, Callable[..., Any]], scope: str | None = None) -> None:
        config = wasmtime.Config()
        config.wasm_component_model_map = True
        allow_many_borrows(config)
        engine = wasmtime.Engine(config)
        self.store = wasmtime.Store(engine)
        self.store.set_limits(memory_size=8 << 20)
        self.dropped: list[int] = []
        loaded, linker = component.Component(engine, wasm), component.Linker(engine)
        with linker.root() as root:
            if scope is None:
                self._define(root, imports)
            else:
                with root.add_instance(scope) as instance:
                    self._define(instance, imports)
        self.instance = linker.instantiate(self.store, loaded)

    def _define(self, instance: component.LinkerInstance, imports: dict[str, Callable[..., Any]]) -> None:
        for name, function in imports.items():
            if function is RESOURCE:
                instance.add_resource(name, component.ResourceType.host(7), lambda _, rep: self.dropped.append(rep))
            else:
                instance.add_func(name, lambda store, *arguments, function=function: function(*arguments))

    def call(self, name: str, *arguments: Any, scope: str | None = None) -> Any:
        inside = None if scope is None else self.instance.get_export_index(self.store, scope)
        index = self.instance.get_export_index(self.store, name, inside)
        assert index is not None, name
        function = self.instance.get_func(self.store, index)
        assert function is not None
        try:
            return function(self.store, *arguments)
        finally:
            function.post_return(self.store)


def RESOURCE() -> None:
    """Represents a resource among the imports."""


def echo(type: str, declarations: str = "") -> tuple[Stock, list[Any]]:
    """A guest that imports and exports `f: func(v: type) -> type`, and what the import was called with."""
    seen: list[Any] = []

    def f(value: Any) -> Any:
        seen.append(value)
        return value

    wit = f"""package test:echo;
      interface types {{ {declarations} }}
      world w {{
        {"use types.{t};" if declarations else ""}
        import f: func(v: {type}) -> {type};
        export call-f: func(v: {type}) -> {type};
      }}"""
    return Stock(forwarding_guest(wit), {"f": f}), seen


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("bool", [True, False]),
        ("u8", [0, 255]),
        ("s8", [-128, 127]),
        ("u16", [0, 65535]),
        ("s16", [-32768, 32767]),
        ("u32", [0, 2**32 - 1]),
        ("s32", [-(2**31), 2**31 - 1]),
        ("u64", [0, 2**64 - 1]),
        ("s64", [-(2**63), 2**63 - 1]),
        ("f32", [0.0, -1.5, math.inf]),
        ("f64", [0.1, -math.inf]),
        ("char", ["a", "\N{GRINNING FACE}"]),
        ("string", ["", "grüße", "\N{GRINNING FACE}" * 1000]),
        ("list<u8>", [b"", b"abc" * 1000]),
        ("list<string>", [[], ["a", "bc"]]),
        ("list<tuple<u8, u64, string>>", [[(1, 2**64 - 1, "a"), (2, 0, "b")]]),
        ("tuple<u8, f64, u16>", [(1, 2.5, 3)]),
        ("option<u64>", [None, 5]),
        ("option<string>", [None, "text"]),
        ("result<f32, u64>", [1.5, 2**63]),
        ("result<f64, f32>", [component.Variant("ok", 1.5), component.Variant("err", -2.5)]),
        ("result<u8>", [5, None]),
        ("result<_, string>", [None, "wrong"]),
        ("result", [component.Variant("ok"), component.Variant("err")]),
        ("option<result<list<option<char>>, tuple<u8, s64>>>", [None, ["a", None], (1, -1)]),
    ],
)
def test_a_value_comes_back_from_the_import(type: str, values: list[Any]) -> None:
    guest, seen = echo(type)
    returned = [guest.call("call-f", value) for value in values]
    assert seen == values
    assert returned == values


@pytest.mark.parametrize(
    ("declaration", "values"),
    [
        ("enum t { a, b }", ["a", "b"]),
        ("flags t { a, b }", [{"a"}, {"a", "b"}, set()]),
        (f"flags t {{ {', '.join(f'f{i}' for i in range(9))} }}", [{"f0", "f8"}]),
        (f"flags t {{ {', '.join(f'f{i}' for i in range(32))} }}", [{"f0", "f31"}]),
        ("record t { a: u8, b: string }", [SimpleNamespace(a=1, b="x")]),
        ("variant t { a(u8), b(f64), c(string), d }", [1, 2.5, "x", None]),
        ("variant t { a(f32), b(tuple<u32, f64>), c(list<u32>) }", [1.5, (7, 2.5), [1, 2]]),
        (f"enum t {{ {', '.join(f'c{i}' for i in range(300))} }}", ["c0", "c299"]),
    ],
)
def test_a_named_type_comes_back_from_the_import(declaration: str, values: list[Any]) -> None:
    guest, seen = echo("t", declaration)
    returned = [guest.call("call-f", _made(value)) for value in values]
    assert [_plain(value) for value in seen] == [_plain(value) for value in values]
    assert [_plain(value) for value in returned] == [_plain(value) for value in values]


def _made(value: Any) -> Any:
    if not isinstance(value, SimpleNamespace):
        return value
    record = component.Record()
    vars(record).update(vars(value))
    return record


def _plain(value: Any) -> Any:
    return vars(value) if hasattr(value, "__dict__") else value


def test_parameters_beyond_sixteen_core_values_travel_in_memory() -> None:
    parameters = ", ".join(f"p{i}: {'string' if i % 2 else 'u8'}" for i in range(12))
    wit = f"""package a:b; world w {{
      import f: func({parameters}) -> tuple<u8, string>;
      export f: func({parameters}) -> tuple<u8, string>;
    }}"""
    guest = Stock(forwarding_guest(wit), {"f": lambda *values: (values[10], "".join(values[1::2]))})
    values = [str(i) if i % 2 else i for i in range(12)]
    assert guest.call("f", *values) == (10, "1357911")


@pytest.mark.parametrize("type", ["list<u8, 4>", "list<string, 20>", "map<string, list<u8, 3>>", "list<list<f64, 2>>"])
def test_types_that_the_engine_has_to_be_asked_for_make_valid_components(type: str) -> None:
    wit = f"package a:b; world w {{ import f: func(v: {type}) -> {type}; export f: func(v: {type}) -> {type}; }}"
    assert forwarding_guest(wit)  # `wasm-tools component new` validates


@pytest.mark.parametrize("encoding", ["utf8", "utf16", "compact-utf16"])
def test_strings_cross_in_every_encoding(encoding: str) -> None:
    wit = "package a:b; world w { import f: func(v: string) -> string; export f: func(v: string) -> string; }"
    guest = Stock(forwarding_guest(wit, encoding=encoding), {"f": lambda text: text + "!"})
    assert [guest.call("f", text) for text in ("latin é", "\N{GRINNING FACE} 1")] == [
        "latin é!",
        "\N{GRINNING FACE} 1!",
    ]


def test_memory_is_used_again_after_each_call() -> None:
    guest, _ = echo("string")
    part = "x" * (1 << 20)
    for _ in range(BUMP // len(part)):
        guest.call("call-f", part)


def test_an_interface_forwards_to_the_import_of_the_same_name() -> None:
    wit = "package a:b@1.2.3; interface api { f: func(v: string) -> string; } world w { import api; export api; }"
    guest = Stock(forwarding_guest(wit), {"f": str.upper}, scope="a:b/api@1.2.3")
    assert guest.call("f", "text", scope="a:b/api@1.2.3") == "TEXT"


def test_an_interface_forwards_to_the_import_named_after_the_host() -> None:
    wit = """package a:b; interface api { f: func() -> u8; } interface host-api { f: func() -> u8; }
      world w { import host-api; export api; }"""
    guest = Stock(forwarding_guest(wit), {"f": lambda: 5}, scope="a:b/host-api")
    assert guest.call("f", scope="a:b/api") == 5


def test_an_export_without_an_import_traps() -> None:
    guest = Stock(forwarding_guest("package a:b; world w { export f: func(); }"), {})
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        guest.instance.get_func(guest.store, "f")(guest.store)  # type: ignore[misc]


def test_an_export_and_an_import_with_different_core_values_are_refused() -> None:
    with pytest.raises(ValueError, match="`f` and the import `f` of `\\$root` differ in core values"):
        forwarding_guest("package a:b; world w { import f: func(v: u8); export f: func(v: string); }")


def test_async_functions_are_refused() -> None:
    with pytest.raises(Unsupported, match="`f` is async"):
        forwarding_guest("package a:b; world w { export f: async func(); }")


def test_a_guest_is_built_once(tmp_path: Path) -> None:
    text = "package a:b; world w { export once: func(); }"
    first = forwarding_guest(text)
    assert forwarding_guest(text) is first
    (tmp_path / "guest.wit").write_text(text)
    assert forwarding_guest(tmp_path / "guest.wit") is first


def test_a_directory_with_dependencies_can_be_built(tmp_path: Path) -> None:
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps" / "types.wit").write_text("package c:types; interface t { type number = u16; }")
    (tmp_path / "main.wit").write_text(
        "package a:b; world w { use c:types/t.{number}; import f: func() -> number; export f: func() -> number; }"
    )
    guest = Stock(forwarding_guest(tmp_path, "w"), {"f": lambda: 9})
    assert guest.call("f") == 9


HANDLES = """package a:b; world w {
  resource r { constructor(v: u32); }
  import swap: func(v: r) -> r;
  import many: func(v: list<option<r>>) -> list<option<r>>;
  import lent: func(v: borrow<r>);
  import lent-deep: func(v: list<tuple<u8, result<borrow<r>, f64>>>, w: option<borrow<r>>);
  export swap: func(v: r) -> r;
  export many: func(v: list<option<r>>) -> list<option<r>>;
  export lent: func(v: borrow<r>);
  export lent-deep: func(v: list<tuple<u8, result<borrow<r>, f64>>>, w: option<borrow<r>>);
}"""


def own(rep: int) -> component.ResourceHost:
    return component.ResourceHost.own(rep, 7)


def lend(rep: int) -> component.ResourceHost:
    return component.ResourceHost.borrow(rep, 7)


class Handles:
    """Imports that keep the numbers of the resources they get."""

    def __init__(self) -> None:
        self.guest: Stock
        self.seen: list[Any] = []

    def rep(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self.rep(each) for each in value]
        if not isinstance(value, component.ResourceAny):
            return value
        host = value.to_host(self.guest.store)
        return host.rep

    def keep(self, *values: Any) -> None:
        self.seen.append([self.rep(value) for value in values])

    def exchange(self, value: Any) -> Any:
        """Give back other resources, numbered one higher."""
        self.keep(value)
        return _raised(self.seen[-1][0])


def _raised(value: Any) -> Any:
    if isinstance(value, list):
        return [_raised(each) for each in value]
    return None if value is None else own(value + 1)


@pytest.fixture
def handles() -> Handles:
    handles = Handles()
    imports: dict[str, Callable[..., Any]] = {
        "r": RESOURCE,
        "[constructor]r": own,
        "swap": handles.exchange,
        "many": handles.exchange,
        "lent": handles.keep,
        "lent-deep": handles.keep,
    }
    handles.guest = Stock(forwarding_guest(HANDLES), imports)
    return handles


def test_an_owned_handle_of_the_host_goes_to_the_import_and_another_comes_back(handles: Handles) -> None:
    returned = handles.guest.call("swap", own(5))
    assert handles.seen == [[5]]
    assert handles.rep(returned) == 6
    assert handles.guest.dropped == []


def test_owned_handles_inside_other_types_are_forwarded(handles: Handles) -> None:
    returned = handles.guest.call("many", [own(5), None, own(8)])
    assert handles.seen == [[[5, None, 8]]]
    assert handles.rep(returned) == [6, None, 9]


def test_a_borrowed_handle_is_dropped_by_the_guest_before_it_returns(handles: Handles) -> None:
    handles.guest.call("lent", lend(5))
    assert handles.seen == [[5]]
    assert handles.guest.dropped == []


def test_borrowed_handles_inside_other_types_are_dropped_too(handles: Handles) -> None:
    handles.guest.call("lent-deep", [(1, lend(5)), (2, 2.5), (3, lend(6))], lend(7))
    handles.guest.call("lent-deep", [], None)
    assert handles.seen == [[[[1, 5], [2, 2.5], [3, 6]], 7], [[], None]]


PROXY = """package a:b;
interface api {
  resource blob {
    constructor(v: u32);
    number: func() -> u32;
    same: func(other: borrow<blob>) -> bool;
    merge: static func(v: list<blob>) -> result<blob, string>;
  }
  take: func(v: blob);
  swap: func(v: option<tuple<blob, u64>>) -> list<variant-of-blob>;
  variant variant-of-blob { wide(f64), blob(blob) }
  look: func(v: list<borrow<blob>>) -> u32;
  wide: func(a: variant-of-blob, b: variant-of-blob, c: list<blob>) -> variant-of-blob;
}
world w { import api; export api; }"""


class Proxies(Handles):
    """The host's resource that a guest's resource represents; the resources that it returns are numbered."""

    def __init__(self) -> None:
        super().__init__()
        self.guest = Stock(
            forwarding_guest(PROXY),
            {
                "blob": RESOURCE,
                "[constructor]blob": own,
                "[method]blob.number": self.rep,
                "[method]blob.same": lambda one, other: self.rep(one) == self.rep(other),
                "[static]blob.merge": lambda values: own(sum(self.rep(values))),
                "take": self.keep,
                "swap": lambda value: [own(self.rep(value)[0] + 1), 2.5],
                "look": lambda values: sum(self.rep(values)),
                "wide": self.wide,
            },
            scope="a:b/api",
        )

    def wide(self, *values: Any) -> Any:
        self.keep(*values)
        return own(100)

    def call(self, name: str, *values: Any) -> Any:
        return self.guest.call(name, *values, scope="a:b/api")

    def new(self, number: int) -> component.ResourceAny:
        blob = self.call("[constructor]blob", number)
        assert isinstance(blob, component.ResourceAny)
        return blob

    def number(self, blob: component.ResourceAny) -> Any:
        return self.call("[method]blob.number", blob)


@pytest.fixture
def proxies() -> Proxies:
    return Proxies()


def test_a_resource_of_the_guest_represents_one_of_the_host(proxies: Proxies) -> None:
    blob = proxies.new(5)
    assert proxies.number(blob) == 5
    with pytest.raises(wasmtime.WasmtimeError):
        blob.to_host(proxies.guest.store)


def test_dropping_a_resource_of_the_guest_drops_that_of_the_host(proxies: Proxies) -> None:
    proxies.new(5).drop(proxies.guest.store)
    assert proxies.guest.dropped == [5]


def test_borrowed_handles_of_the_guest_reach_the_host_as_its_own(proxies: Proxies) -> None:
    one, other = proxies.new(5), proxies.new(6)
    assert proxies.call("[method]blob.same", one, one) is True
    assert proxies.call("[method]blob.same", one, other) is False
    assert proxies.call("look", [one, other, one]) == 16
    assert proxies.guest.dropped == []


def test_passing_ownership_to_the_guest_passes_it_to_the_host(proxies: Proxies) -> None:
    proxies.call("take", proxies.new(5))
    assert proxies.seen == [[5]]
    assert proxies.guest.dropped == []


def test_owned_handles_of_the_guest_inside_other_types_are_forwarded(proxies: Proxies) -> None:
    assert proxies.number(proxies.call("[static]blob.merge", [proxies.new(5), proxies.new(6)])) == 11
    blob, number = proxies.call("swap", (proxies.new(7), 2))
    assert (proxies.number(blob), number) == (8, 2.5)
    assert proxies.number(proxies.call("wide", proxies.new(1), 2.5, [proxies.new(3)])) == 100
    assert proxies.seen == [[1, 2.5, [3]]]
    assert proxies.guest.dropped == []


FIXED = """package a:b;
interface api {
  resource blob { constructor(v: u32); number: func() -> u32; }
  turn: func(v: list<blob, 2>) -> list<blob, 2>;
  sum: func(v: list<borrow<blob>, 20>, w: list<list<borrow<blob>, 2>>) -> u32;
}
world w { import api; export api; }"""


def test_handles_in_lists_of_fixed_length_are_forwarded() -> None:
    proxies = Handles()
    imports: dict[str, Callable[..., Any]] = {
        "blob": RESOURCE,
        "[constructor]blob": own,
        "[method]blob.number": proxies.rep,
        "turn": lambda values: tuple(own(rep) for rep in reversed(proxies.rep(values))),
        "sum": lambda values, lists: sum(proxies.rep(values)) + sum(map(sum, proxies.rep(lists))),
    }
    guest = proxies.guest = Stock(replace_fixed_length_lists(forwarding_guest(FIXED)), imports, scope="a:b/api")
    one, other = (guest.call("[constructor]blob", number, scope="a:b/api") for number in (1, 2))
    assert guest.call("sum", (one,) * 20, [(one, other)] * 2, scope="a:b/api") == 26
    turned = guest.call("turn", (one, other), scope="a:b/api")
    assert [guest.call("[method]blob.number", blob, scope="a:b/api") for blob in turned] == [2, 1]
    assert guest.dropped == []


NUMBERS = """package a:b;
interface api {
  resource blob { constructor(v: u32); number: func() -> u32; length: func(v: string) -> u32; touch: func(); }
  take: func(v: blob) -> u32;
  make: func(v: u32) -> blob;
  add: func(a: borrow<blob>, b: borrow<blob>, c: list<borrow<blob>>) -> u32;
  all: func() -> list<blob>;
}
world w {
  import dropped: func(number: u32);
  import blob-length: func(self: u32, v: string) -> u32;
  import add: func(a: u32, b: u32, c: list<u32>) -> u32;
  import all: func() -> list<u32>;
  export api;
}"""


class Numbers:
    """A guest that owns its resources, each of which is a number."""

    def __init__(self) -> None:
        self.dropped: list[int] = []
        imports: dict[str, Callable[..., Any]] = {
            "dropped": self.dropped.append,
            "blob-length": lambda number, text: number + len(text),
            "add": lambda a, b, c: a + b + sum(c),
            "all": lambda: [1, 2],
        }
        self.guest = Stock(forwarding_guest(NUMBERS), imports)

    def call(self, name: str, *values: Any) -> Any:
        return self.guest.call(name, *values, scope="a:b/api")


def test_a_resource_without_an_import_is_the_number_that_its_constructor_got() -> None:
    numbers = Numbers()
    blob = numbers.call("[constructor]blob", 5)
    numbers.call("[method]blob.touch", blob)
    assert numbers.call("[method]blob.number", blob) == 5
    assert numbers.call("[method]blob.length", blob, "text") == 9
    assert numbers.call("add", blob, blob, [blob]) == 15
    assert numbers.dropped == []
    blob.drop(numbers.guest.store)
    assert numbers.dropped == [5]


def test_passing_ownership_of_a_number_drops_it() -> None:
    numbers = Numbers()
    assert numbers.call("take", numbers.call("make", 7)) == 7
    assert numbers.dropped == [7]


def test_numbers_from_the_host_become_resources() -> None:
    numbers = Numbers()
    assert [numbers.call("[method]blob.number", blob) for blob in numbers.call("all")] == [1, 2]
