"""What files that are not PyTorch models begin with: the one table of their signatures, and what to do with each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

#: As many bytes of a file are looked at.
HEAD = 1 << 20

#: The advice where nothing better is known.
SAVE = (
    "save the whole model as TorchScript, with torch.jit.save(torch.jit.script(model), path), "
    "or export it, with torch.export.save(torch.export.export(model, inputs), path)"
)

_CONVERT = "this host computes PyTorch models; take the PyTorch model that it was made from, and " + SAVE
_WEIGHTS = (
    "build the module, let it load these weights, and offer the module itself: Engine.register(name, module); or "
)
_AGAIN = "copy or download it again"
_UNPACK = "unpack it and name the model in it"

_LFS_SIZE = re.compile(rb"^size (\d{1,20})$", re.MULTILINE)
_FROM_THE_WEB = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\b")
#: ir_version, then the name of the producer, its version, the domain, … or the graph.
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
#: The version of the schema, then a message, which begins with a message.
_SAVED_MODEL = re.compile(rb"\x08\x01\x12[\x80-\xff]*[\x00-\x7f]\x0a")


@dataclass(frozen=True)
class Finding:
    """What something is instead of a model that can be loaded, and what to do about it."""

    what: str
    advice: str


@dataclass(frozen=True)
class _Signature:
    matches: Callable[[bytes], bool]
    what: str
    advice: str


def _at(offset: int, *magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head[offset:].startswith(magics)


def _like(pattern: re.Pattern[bytes]) -> Callable[[bytes], bool]:
    return lambda head: pattern.match(head) is not None


def _is_from_the_web(head: bytes) -> bool:
    text = head.lstrip()
    while text.startswith(b"<!--"):
        text = text.partition(b"-->")[2].lstrip()
    return _FROM_THE_WEB.match(text) is not None


def _is_openvino(head: bytes) -> bool:
    return b"<net " in head and (_XML.match(head) is not None or head.lstrip().startswith(b"<net "))


def _is_zeros(head: bytes) -> bool:
    return not head.strip(b"\0")


_TABLE = (
    _Signature(_is_zeros, "nothing but zeros", f"{_AGAIN}, as it was never completely written"),
    _Signature(_at(0, b"\0asm"), "WebAssembly, a guest and not a model", "run it: wasi-nn-torch run FILE"),
    _Signature(_at(0, b"GGUF"), "a GGUF model, for llama.cpp", _CONVERT),
    _Signature(_at(4, b"TFL3"), "a TensorFlow Lite model", _CONVERT),
    _Signature(_at(4, b"ET1"), "an ExecuTorch program (.pte)", _CONVERT),
    _Signature(_at(0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file, such as Keras writes", _CONVERT),
    _Signature(_at(0, b"\x93NUMPY"), "an array of NumPy", f"it may be weights, without the code of a model; {SAVE}"),
    _Signature(_at(0, b"ftrt", b"ptrt"), "a TensorRT engine", _CONVERT),
    _Signature(
        _at(0, b"\x7fELF", b"\xcf\xfa\xed\xfe", b"MZ"),
        "native code without a package",
        "make a package of it, with torch._inductor.aoti_compile_and_package(program, package_path=path)",
    ),
    _Signature(_like(_SAVED_MODEL), "a SavedModel of TensorFlow", _CONVERT),
    _Signature(_like(_ONNX), "an ONNX model", _CONVERT),
    _Signature(_is_openvino, "a model of OpenVINO", _CONVERT),
    _Signature(_is_from_the_web, "a web page", f"the download failed, or asked for a login; {_AGAIN}"),
    _Signature(_like(_XML), "an XML document", f"a download may have failed; {_AGAIN}, or name the model's file"),
    _Signature(_at(0, b"\x1f\x8b"), "compressed with gzip", "unpack it: gunzip FILE"),
    _Signature(_at(0, b"\x28\xb5\x2f\xfd"), "compressed with Zstandard", "unpack it: zstd -d FILE"),
    _Signature(_at(0, b"\xfd7zXZ\0"), "compressed with xz", "unpack it: unxz FILE"),
    _Signature(_at(0, b"BZh"), "compressed with bzip2", "unpack it: bunzip2 FILE"),
    _Signature(_at(0, b"\x04\x22\x4d\x18"), "compressed with LZ4", "unpack it: lz4 -d FILE"),
    _Signature(_at(0, b"7z\xbc\xaf\x27\x1c"), "a 7z archive", _UNPACK),
    _Signature(_at(0, b"Rar!\x1a\x07"), "a RAR archive", _UNPACK),
    _Signature(_at(257, b"ustar"), "a tar archive", _UNPACK),
)


def identify_head(head: bytes, size: int) -> Finding | None:
    """Return what bytes are that begin with `head`, of which there are `size`; None where nothing tells."""
    if size == 0:
        return Finding("an empty file", _AGAIN)
    pointer = _lfs_pointer(head) or _safetensors(head, size)
    if pointer is not None:
        return pointer
    for signature in _TABLE:
        if signature.matches(head):
            return Finding(signature.what, signature.advice)
    return _json(head)


def _lfs_pointer(head: bytes) -> Finding | None:
    """A text that Git keeps in place of a large file."""
    if not head.startswith(b"version https://git-lfs.github.com/spec/"):
        return None
    found = _LFS_SIZE.search(head)
    file = "the file" if found is None else f"the file of {int(found[1])} bytes"
    return Finding(f"a pointer of Git LFS to {file}, and not the file", "fetch it: git lfs pull")


def _safetensors(head: bytes, size: int) -> Finding | None:
    """The length of a JSON object in eight bytes, the object, which says where each tensor ends, and the tensors."""
    length = int.from_bytes(head[:8], "little")
    if head[8:10] not in (b'{"', b"{}", b"{ ") or not 2 <= length <= 100_000_000:
        return None
    advice = f"it has weights without the code of a model; {_WEIGHTS}{SAVE}"
    missing = _missing_of_safetensors(head[8 : 8 + length], length, size)
    if missing > 0:
        return Finding(f"a truncated file of safetensors: at least {missing} of its bytes are missing", _AGAIN)
    return Finding("a file of safetensors", advice)


def _missing_of_safetensors(header: bytes, length: int, size: int) -> int:
    """How many bytes are missing at least; the end of every tensor in sight is looked at."""
    ends = [int(end) for end in re.findall(rb'"data_offsets"\s*:\s*\[\s*\d{1,18}\s*,\s*(\d{1,18})\s*\]', header)]
    return 8 + length + max(ends, default=0) - size


def _json(head: bytes) -> Finding | None:
    """A configuration, or what a server says instead of a file."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[", b"{\t")):
        return None
    try:
        json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        if len(head) < HEAD:  # all of it was seen
            return None
    return Finding("a JSON document", f"it may be a configuration, or the answer of a failed download; {SAVE}")
