"""The times of the front end and the generator, and whether that of the front end is linear in the size of the text.

In: nothing. Out: on stdout a table, one line for each size of a synthetic package of 30 files: the best of three times
to parse and to resolve it, per interface, and the cost of an interface compared with the smallest package. A factor
above 1 in the last line is due to Python's garbage collector, which visits all live objects again and again. Then a
table of the time to generate packages, including ruff's.

    python -m benchmarks.bench_witgen
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.table import Table

from witgen.generate import Target, generate
from witgen.parse import parse
from witgen.resolver import resolve_texts

SIZES = (10, 100, 1000)
FILES = 30
BASE = "package bench:mark;\ninterface base { enum code { bad, worse } }\n"
INTERFACE = """\
/// Things, and what can be done with them.
interface thing{n} {{
    use base.{{code}};
    /// Where it is.
    record place{n} {{ x: u32, y: list<u8>, name: option<string> }}
    enum colour{n} {{ red, green, blue }}
    variant shape{n} {{ circle(place{n}), square(tuple<u32, u32>), none }}
    resource store{n} {{
        constructor(name: string);
        get: func(key: list<u8>) -> result<list<place{n}>, code>;
        put: func(key: list<u8>, value: place{n}) -> result<_, code>;
        open: static func() -> store{n};
    }}
    /// Draws it.
    draw: func(shapes: list<shape{n}>, with-colour: colour{n}) -> result<store{n}, code>;
}}
"""


def package(interfaces: int) -> dict[str, str]:
    """The files of a package with a number of interfaces, and a world that exports them all."""
    texts = {f"{file:02}.wit": "" for file in range(FILES)}
    for n in range(interfaces):
        texts[f"{n % FILES:02}.wit"] += INTERFACE.format(n=n)
    world = "".join(f"    export thing{n};\n" for n in range(interfaces))
    texts["00.wit"] = BASE + texts["00.wit"] + f"world everything {{\n    export base;\n{world}}}\n"
    return texts


def best(work: Callable[[], object]) -> float:
    """The shortest of three times, in seconds."""

    def timed() -> float:
        start = perf_counter()
        work()
        return perf_counter() - start

    return min(timed() for _ in range(3))


def parse_all(texts: Mapping[str, str]) -> None:
    """Parse each file."""
    for file, text in texts.items():
        parse(text, file)


def main() -> None:
    """Print the table."""
    start = perf_counter()
    parse("package warm:up;", "warm-up.wit")
    console = Console()
    console.print(f"the parser is ready after {(perf_counter() - start) * 1000:.0f} ms")
    table = Table("interfaces", "kB", "parse ms", "resolve ms", "ms per interface", "compared", "kB per s")
    smallest = 0.0
    for interfaces in SIZES:
        texts = package(interfaces)
        kilobytes = sum(map(len, texts.values())) / 1000
        parsing, whole = best(partial(parse_all, texts)), best(partial(resolve_texts, texts))
        each = whole / interfaces
        smallest = smallest or each
        ratio, speed = f"{each / smallest:.2f}", f"{kilobytes / whole:.0f}"
        times = [f"{seconds * 1000:.2f}" for seconds in (parsing, whole, each)]
        table.add_row(str(interfaces), f"{kilobytes:.0f}", *times, ratio, speed)
    console.print(table)
    console.print(generating())


def generating() -> Table:
    """A table of the time to generate packages, and of their sizes."""
    table = Table("world", "modules", "lines", "seconds")
    with TemporaryDirectory() as name:
        hundred = Path(name)
        for file, text in package(100).items():
            (hundred / file).write_text(text)
        for title, wit in (("wasi-nn 2024-10-28", Path("wit/2024-10-28")), ("100 interfaces", hundred)):
            target = Target((wit,), hundred / "out")
            seconds, files = best(partial(generate, target)), generate(target)
            lines = sum(text.count("\n") for text in files.values())
            table.add_row(title, str(len(files) - 1), f"{lines:,}", f"{seconds:.2f}")
    return table


if __name__ == "__main__":
    main()
