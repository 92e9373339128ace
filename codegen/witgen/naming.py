"""Python names for WIT names. Nothing else makes names.

| WIT | used as | Python |
| --- | --- | --- |
| `init-execution-context` | function, parameter, field, module | `init_execution_context` |
| `graph-encoding` | type | `GraphEncoding` |
| case `circle` of variant `shape` | its class | `ShapeCircle` |
| `invalid-argument` | enum case, flag, constant | `INVALID_ARGUMENT` |
| type `failure` of interface `store`, if functions fail with it | its exception | `StoreFailureError` |
| type `error-code` of any interface, if functions fail with it | its exception | `ErrorCodeException` |
| interface `types` of package `wasi:io` | module | `types`, or `io_types` if another interface is called `types` too |

One rule for taken names: a name that is a keyword or a builtin of Python, that the generated code needs for itself, or
that was given out before, gets an underscore at its end, and more of them until it is free. In a class, a name hides a
builtin only from the annotations of that class, so only the builtins in these are taken.
"""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from witgen.model import FunctionSort, PackageName

#: The builtins of every Python that generated code is for; a list, so that each of them generates the same.
BUILTINS = frozenset(
    """
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError BrokenPipeError
    BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError ConnectionRefusedError
    ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning EnvironmentError Exception
    ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError FutureWarning GeneratorExit IOError
    ImportError ImportWarning IndentationError IndexError InterruptedError IsADirectoryError KeyError
    KeyboardInterrupt LookupError MemoryError ModuleNotFoundError NameError None NotADirectoryError NotImplemented
    NotImplementedError OSError OverflowError PendingDeprecationWarning PermissionError ProcessLookupError
    PythonFinalizationError RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning
    StopAsyncIteration StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError True
    TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError
    UnicodeWarning UserWarning ValueError Warning WindowsError ZeroDivisionError abs aiter all anext any ascii bin
    bool breakpoint bytearray bytes callable chr classmethod compile complex delattr dict dir divmod enumerate eval
    exec filter float format frozenset getattr globals hasattr hash hex id input int isinstance issubclass iter len
    list locals map max memoryview min next object oct open ord pow print property range repr reversed round set
    setattr slice sorted staticmethod str sum super tuple type vars zip
    """.split()
)
_KEYWORDS = frozenset(keyword.kwlist)

#: The names that a generated module can import from the standard library.
STANDARD = {
    "abc": ["abstractmethod"],
    "collections.abc": ["Mapping", "Sequence"],
    "dataclasses": ["dataclass"],
    "enum": ["Enum", "Flag", "auto"],
    "typing": ["Any", "Generic", "Protocol", "TypeAlias"],
}
#: The names that it can import from the runtime; the codecs in `values` are `wit` in generated code.
RUNTIME = """
    AsyncGuestFunction Bytes Err FloatArray GuestFunction GuestInterface GuestResource GuestResourceType Instance
    IntArray Linker Ok Resource ResultError Some TypeVar
    """.split()

#: The names that it can import from NumPy, if lists of numbers are arrays of it.
NUMPY = {
    "numpy": ["float32", "float64", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))],
    "numpy.typing": ["NDArray"],
}

#: The fixed names of a generated module: those that it can import, and those that it defines.
_MODULE = [*(name for names in STANDARD.values() for name in names), *RUNTIME]
_MODULE += [name for names in NUMPY.values() for name in names]
_MODULE += ["BUFFERS", "Guest", "Host", "add_to_linker", "annotations", "exports", "wit"]


class Scope:
    """Names that have to differ from each other: `claim` gives out each of them once."""

    def __init__(self, taken: Iterable[str] = (), builtins: Iterable[str] = BUILTINS) -> None:
        self._taken = {*_KEYWORDS, *taken, *builtins}

    def claim(self, name: str) -> str:
        """`name`, with as many underscores at its end as are needed to make it free."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def package() -> Scope:
    """The modules of a package, whose names are in lower case."""
    return Scope(name for name in _MODULE if name.islower())


def module(taken: Iterable[str] = ()) -> Scope:
    """The classes and constants of a module; `taken` are the modules below it."""
    return Scope([*_MODULE, *taken])


def attributes(annotations: Iterable[str], taken: Iterable[str] = ()) -> Scope:
    """The attributes of a class that has these annotations."""
    return Scope(taken, BUILTINS.intersection(re.findall(r"\w+", " ".join(annotations))))


def resource(annotations: Iterable[str]) -> Scope:
    """The methods of a resource."""
    return attributes(annotations, ["drop", "abstractmethod"])


def functions(annotations: Iterable[str]) -> Scope:
    """The functions of an interface or world that are not methods."""
    return attributes(annotations, ["self", "abstractmethod"])


def snake(name: str) -> str:
    """Functions, parameters, fields and modules."""
    return name.replace("-", "_").lower()


def pascal(name: str) -> str:
    """Classes and type aliases."""
    return "".join(part[0].upper() + part[1:] for part in name.split("-"))


def constant(name: str) -> str:
    """Enum cases, flags and constants."""
    return snake(name).upper()


def case(variant: str, name: str) -> str:
    """The class of one case of a variant."""
    return pascal(f"{variant}-{name}")


def error(owner: str, name: str) -> str:
    """The exception that carries the type `name` of the interface `owner`.

    If the type calls itself an error, its class has the name that the exception would have.
    """
    if "error" in name.lower().split("-"):
        return f"{pascal(name)}Exception"
    return f"{pascal(f'{owner}-{name}')}Error"


def function(resource: str, name: str, sort: FunctionSort) -> str:
    """The method that stands for the function with this full WIT name; `resource` is empty if it belongs to none."""
    match sort:
        case FunctionSort.CONSTRUCTOR:
            return snake(f"new-{resource}")
        case FunctionSort.STATIC:
            return snake(f"{resource}-{plain(name)}")
        case FunctionSort.METHOD | FunctionSort.FREESTANDING:
            return snake(plain(name))


def call(resource: str, method: str) -> str:
    """The constant for an exported function whose Python name is `method`."""
    return constant(f"_{resource}_{method}" if resource else f"_{method}")


def awaited(function: str) -> str:
    """The coroutine that calls an async function of a guest whose Python name is `function`."""
    return f"{function}_async"


def variable(resource: str, variance: str) -> str:
    """The type variable for the class of a resource; the name ends with its variance, as is usual."""
    return f"{pascal(resource)}T{variance}"


def dtype(number: str) -> str:
    """NumPy's word for a type of numbers."""
    kinds = {"f": "float", "s": "int", "u": "uint"}
    return kinds[number[0]] + number[1:]


def host(module: str) -> str:
    """The parameter for the host that serves a module."""
    return f"{module}_host"


def spellings(package: PackageName, interface: str) -> list[str]:
    """The possible names of an interface's module: `types`, `io-types`, `wasi-io-types`, and these with the version."""
    last = f"{package.name}-{interface}"
    names = [interface, last, f"{package.namespace}-{last}"]
    if package.version is not None:
        version = re.sub(r"[^0-9A-Za-z]+", "-", package.version).strip("-")
        names += [f"{name}-v{version}" for name in names]
    return names


def modules(scope: Scope, spellings: Iterable[Sequence[str]]) -> list[str]:
    """For each module the first of its spellings that no other module has, or else the last; all free in `scope`."""
    wanted = [[snake(name) for name in names] for names in spellings]
    count = Counter(name for names in wanted for name in set(names))
    return [scope.claim(next((name for name in names if count[name] == 1), names[-1])) for names in wanted]


def parameters(names: Iterable[str]) -> list[str]:
    """The parameters of one method, after `self`."""
    scope = Scope(["self"])
    return [scope.claim(snake(name)) for name in names]


def members(names: Iterable[str], annotations: Iterable[str]) -> list[str]:
    """The fields of one dataclass."""
    scope = attributes(annotations)
    return [scope.claim(snake(name)) for name in names]


def cases(names: Iterable[str]) -> list[str]:
    """The members of one enum or flag class."""
    scope = Scope()
    return [scope.claim(constant(name)) for name in names]


def plain(function: str) -> str:
    """The name after `[method]resource.`; a plain name as it is."""
    return function.rsplit("]", 1)[-1].rsplit(".", 1)[-1]


def package_fault(package: str, what: str = "the name of a Python package") -> str | None:
    """Why a dotted name is not the name of a package, and a better one; nothing if it is."""
    parts = package.split(".")
    if all(map(is_importable, parts)):
        return None
    written = ".".join(importable(part) for part in parts if part)
    return f"`{package}` is not {what}; write `{written or importable('')}`"


def is_importable(name: str) -> bool:
    """Whether Python can import a module of this name."""
    return name.isidentifier() and not keyword.iskeyword(name)


def importable(name: str) -> str:
    """The name that Python can import and that is nearest to `name`."""
    name = re.sub(r"\W", "_", name) or "bindings"
    if keyword.iskeyword(name):
        return f"{name}_"
    return name if name.isidentifier() else f"_{name}"
