"""Feed broken WIT to the front end, and report every outcome other than a diagnostic.

In: the number of inputs, and a seed. The corpus is every WIT file and every text in the tests of this checkout. Out: on
stdout the seed, the rate, and each finding (a traceback, or an input that takes longer than two seconds) with the seed
that reproduces it: `python benchmarks/fuzz_wit.py --seed S --count 1`. The status is 1 if there were findings. The
timer works on Unix only.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from witgen.diagnostics import WitError
from witgen.parse import parse
from witgen.resolver import resolve_texts

ROOT = Path(__file__).parent.parent
LONGEST_RUN = 2.0
TOKEN = re.compile(rb"\s+|//[^\n]*|->|[%\w.-]+|.", re.DOTALL)
WORDS = b"""interface world package use import export include with as type record flags variant enum resource func async
static constructor tuple list option result map future stream own borrow u8 string _ a b r t i w self a:b c:d/i
@since(version=1.0.0) @unstable(feature=f) @deprecated(version=1.0.0) @external-id("x") { } ( ) < > , ; : / . = -> * %
1.0.0 4294967296 // /* */ /** \r \0 \xff \xc3\xa9 \xe2\x80\xae""".split()


TYPES = b"u8 f32 string r t own<r> borrow<r> list<t> list<t,3> map<t,t> map<string,r> result<_,r> result".split()
KEYWORDS = set(re.findall(rb'"([a-z][a-z0-9-]*)"', files("witgen").joinpath("grammar.lark").read_bytes()))


class TooSlow(BaseException):
    """Raised while an input takes too long; not an `Exception`, so that the front end cannot catch it."""


def corpus() -> list[bytes]:
    """All WIT files, and the strings in the tests that look like WIT."""
    texts = {
        path.read_bytes() for directory in ("wit", "tests", "examples") for path in (ROOT / directory).rglob("*.wit")
    }
    for path in (ROOT / "tests" / "witgen").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search("[{;]", node.value):
                text = node.value if "package" in node.value else f"package a:b;\n{node.value}"
                texts.add(text.replace("^", "").encode("utf-8", "surrogatepass"))
    return sorted(texts)


def parses(text: bytes) -> bool:
    """Whether a text is syntactically valid."""
    try:
        parse(text, "")
    except WitError:
        return False
    return True


# --- mutations: each takes a text and gives another ---


def cut(pick: random.Random, text: bytes) -> bytes:
    """Without a stretch of tokens."""
    tokens, at = TOKEN.findall(text), pick.randrange(len(text) + 1)
    at = min(at, len(tokens))
    return b"".join(tokens[:at] + tokens[at + pick.randint(1, 4) :])


def insert(pick: random.Random, text: bytes) -> bytes:
    """With a word of the language somewhere."""
    tokens = TOKEN.findall(text)
    tokens.insert(pick.randrange(len(tokens) + 1), b" " + pick.choice(WORDS) + b" ")
    return b"".join(tokens)


def replace(pick: random.Random, text: bytes) -> bytes:
    """With one token replaced by another one of the same text, which keeps names meaningful."""
    tokens = TOKEN.findall(text) or [b""]
    tokens[pick.randrange(len(tokens))] = pick.choice(tokens)
    return b"".join(tokens)


def rename(pick: random.Random, text: bytes) -> bytes:
    """With one name replaced by another, so that a valid text mostly stays valid but has another meaning."""
    tokens = TOKEN.findall(text)
    is_name = re.compile(rb"%?[A-Za-z][\w-]*").fullmatch
    names = [at for at, token in enumerate(tokens) if is_name(token) and token not in KEYWORDS] or [len(tokens)]
    tokens.append(b"")
    tokens[pick.choice(names)] = tokens[pick.choice(names)]
    return b"".join(tokens)


def retype(pick: random.Random, text: bytes) -> bytes:
    """With one type replaced by another."""
    types = list(re.finditer(rb"\b(u8|u32|string|bool|list<u8>|option<\w+>|borrow<\w+>|\bt\b|\br\b)", text))
    if not types:
        return rename(pick, text)
    old, new = pick.choice(types), pick.choice(TYPES)
    return text[: old.start()] + new + text[old.end() :]


def move(pick: random.Random, text: bytes) -> bytes:
    """With one statement, up to its `;` or `}`, in another place."""
    statements = re.findall(rb"[^;{}]*(?:;|\{[^{}]*\}|[{}])|[^;{}]+$", text) or [b""]
    statement = statements.pop(pick.randrange(len(statements)))
    statements.insert(pick.randrange(len(statements) + 1), statement)
    return b"".join(statements)


def swap(pick: random.Random, text: bytes) -> bytes:
    """With two tokens swapped."""
    tokens = TOKEN.findall(text) or [b""]
    one, two = pick.randrange(len(tokens)), pick.randrange(len(tokens))
    tokens[one], tokens[two] = tokens[two], tokens[one]
    return b"".join(tokens)


def repeat(pick: random.Random, text: bytes) -> bytes:
    """With a stretch of tokens repeated many times."""
    tokens = TOKEN.findall(text)
    at = pick.randrange(len(tokens) + 1)
    end = at + pick.randint(1, 20)
    return b"".join(tokens[:at] + tokens[at:end] * pick.choice((2, 3, 150)) + tokens[end:])


def flip(pick: random.Random, text: bytes) -> bytes:
    """With some bytes changed."""
    changed = bytearray(text or b"\0")
    for _ in range(pick.randint(1, 4)):
        changed[pick.randrange(len(changed))] = pick.choice((pick.randrange(256), 0, 13, 255, 0xC3, *b"<>{}(),;:%-"))
    return bytes(changed)


def insert_bytes(pick: random.Random, text: bytes) -> bytes:
    """With some bytes added."""
    at = pick.randrange(len(text) + 1)
    return text[:at] + pick.randbytes(pick.randint(1, 3)) + text[at:]


Mutation = Callable[[random.Random, bytes], bytes]
ON_MEANING: tuple[Mutation, ...] = (rename, rename, rename, retype, move)
MUTATIONS: tuple[Mutation, ...] = (
    cut,
    insert,
    replace,
    *ON_MEANING,
    swap,
    repeat,
    flip,
    insert_bytes,
)


def mutated(pick: random.Random, texts: list[bytes], good: list[bytes]) -> bytes:
    """One input: half of the inputs change the meaning of a valid text, the others change any text in any way."""
    times, on_meaning = pick.choice((1, 1, 2, 3, 5)), pick.random() < 0.5
    text, mutations = pick.choice(good if on_meaning else texts), ON_MEANING if on_meaning else MUTATIONS
    if pick.random() < 0.1:
        other = pick.choice(good)
        text += b"\n" + other[other.find(b";") + 1 :]
    for _ in range(times):
        text = pick.choice(mutations)(pick, text)
    return text


# --- running ---


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in a `with` block that takes longer."""

    def stop(signal_number: int, frame: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def finding(text: bytes) -> str | None:
    """The finding for an input, or `None` if the front end handles it correctly."""
    try:
        with no_longer_than(LONGEST_RUN):
            resolve_texts({"fuzz.wit": text}, all_features=text[-1:] < b"0")
    except WitError as error:
        return None if error.line > 0 and error.column > 0 and str(error) else f"a diagnostic without a place: {error}"
    except TooSlow:
        return "\n".join([f"more than {LONGEST_RUN} s", *traceback.format_exc().splitlines()[-12:]])
    except Exception:  # noqa: BLE001  # any of them is a finding
        return traceback.format_exc()
    return None


def main() -> int:
    """Run the inputs of the seeds `seed`, `seed + 1`, …"""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000, help="how many inputs (10000)")
    options.add_argument("--seed", type=int, default=time.time_ns() // 1000, help="the seed of the first input")
    chosen = options.parse_args()
    texts, started, findings = corpus(), time.perf_counter(), 0
    good = list(filter(parses, texts))
    print(
        f"seed {chosen.seed}, {chosen.count} inputs from a corpus of {len(texts)} texts, {len(good)} good ones",
        flush=True,
    )
    for seed in range(chosen.seed, chosen.seed + chosen.count):
        text = mutated(random.Random(seed), texts, good)
        if found := finding(text):
            findings += 1
            print(f"--- seed {seed}\n{text[:2000]!r}\n{found}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{chosen.count} inputs in {seconds:.0f} s, {chosen.count / seconds:.0f} a second; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
