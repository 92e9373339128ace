"""Python names for WIT names. Nothing else makes names.

| WIT | where | Python |
| --- | --- | --- |
| `init-execution-context` | function, parameter, field, module | `init_execution_context` |
| `graph-encoding` | type | `GraphEncoding` |
| case `circle` of variant `shape` | its class | `ShapeCircle` |
| `invalid-argument` | enum case, flag, constant | `INVALID_ARGUMENT` |
| type `error` of interface `errors`, where functions fail with it | exception | `ErrorsError` |

One rule for names that are taken: a name that is a keyword or a builtin of Python, that the generated code needs for
itself, or that something named before it has, gets an underscore at its end; another one until it is free. In a class,
where a builtin's name is hidden from nothing but the annotations of that class, only the builtins in these are taken.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

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

#: What a generated module imports or defines under fixed names.
_MODULE = """
    BUFFERS Bytes Enum Err Flag Guest GuestFunction GuestInterface GuestResource GuestResourceType Host Instance Linker
    Mapping Ok Protocol Resource ResultError Sequence Some TypeAlias abstractmethod add_to_linker
    annotations auto dataclass exports wit
    """.split()
#: What the generated package has below it, whatever the WIT says.
_PACKAGE = ["exports", "wit", "add_to_linker", "abstractmethod", "annotations", "auto", "dataclass"]


class Scope:
    """Names that have to differ from each other: `claim` gives out each of them once."""

    def __init__(self, taken: Iterable[str] = (), builtins: Iterable[str] = BUILTINS) -> None:
        self._taken = {*_KEYWORDS, *taken, *builtins}

    def claim(self, name: str) -> str:
        """`name`, with as many underscores at its end as it takes."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def package() -> Scope:
    """The modules of a package."""
    return Scope(_PACKAGE)


def module(taken: Iterable[str] = ()) -> Scope:
    """The classes and constants of a module; `taken` are the modules below it."""
    return Scope([*_MODULE, *taken])


def attributes(annotations: Iterable[str], taken: Iterable[str] = ()) -> Scope:
    """What is in one class, which has these annotations."""
    return Scope(taken, BUILTINS.intersection(re.findall(r"\w+", " ".join(annotations))))


def resource(annotations: Iterable[str]) -> Scope:
    """The methods of a resource."""
    return attributes(annotations, ["drop", "abstractmethod"])


def functions(annotations: Iterable[str]) -> Scope:
    """The functions of an interface or world that are no methods."""
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


def error(owner: str, name: str) -> str:
    """The exception that carries the error type `name` of the interface `owner`."""
    words = pascal(f"{owner}-{name}")
    return words if words.endswith("Error") else f"{words}Error"


def parameters(names: Iterable[str]) -> list[str]:
    """The parameters of one method, behind `self`."""
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
    """The name behind `[method]resource.`; a plain name as it is."""
    return function.rsplit("]", 1)[-1].rsplit(".", 1)[-1]
