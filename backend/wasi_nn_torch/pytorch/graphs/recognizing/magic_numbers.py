"""The signatures of files that are not PyTorch models, with advice for each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

#: The number of bytes at the start of a file that are examined.
HEAD = 1 << 20

#: The advice if nothing more specific is known.
SAVE = (
    "export the whole model, with torch.export.save(torch.export.export(model, inputs), path), "
    "or save it as TorchScript, with torch.jit.save(torch.jit.script(model), path)"
)

#: The advice for models of other frameworks.
_FROM_PYTORCH = "take the PyTorch model that it was made from, and " + SAVE
CONVERT = "this host runs PyTorch models; " + _FROM_PYTORCH
_OTHER_ENGINE = "load it with the encoding onnx, if the host has `wasi-nn-torch[onnx]`; or " + _FROM_PYTORCH
_WEIGHTS = (
    "build the module, load these weights into it, and offer the module itself: Engine.register(name, module); or "
)
_AGAIN = "copy or download it again"
_UNPACK = "unpack it and name the model in it"

_LFS_SIZE = re.compile(rb"^size (\d{1,20})$", re.MULTILINE)
_FROM_THE_WEB = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\b")
#: The field `ir_version`, then the producer's name or version, the domain, … or the graph.
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
#: The version of the schema, then a message that starts with a message.
_SAVED_MODEL = re.compile(rb"\x08\x01\x12[\x80-\xff]*[\x00-\x7f]\x0a")


@dataclass(frozen=True)
class Finding:
    """The kind of a source that is not a model that can be loaded, and what to do about it."""

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
    _Signature(_is_zeros, "nothing but zeros", f"{_AGAIN}, as it was never written completely"),
    _Signature(_at(0, b"\0asm"), "WebAssembly: a guest, not a model", "run it: wasi-nn-torch run FILE"),
    _Signature(_at(0, b"GGUF"), "a GGUF model, for llama.cpp", CONVERT),
    _Signature(_at(4, b"TFL3"), "a TensorFlow Lite model", CONVERT),
    _Signature(_at(4, b"ET1"), "an ExecuTorch program (.pte)", CONVERT),
    _Signature(_at(0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file, such as Keras writes", CONVERT),
    _Signature(_at(0, b"\x93NUMPY"), "a NumPy array", f"it may be weights, without the code of a model; {SAVE}"),
    _Signature(_at(0, b"ftrt", b"ptrt"), "a TensorRT engine", CONVERT),
    _Signature(
        _at(0, b"\x7fELF", b"\xcf\xfa\xed\xfe", b"MZ"),
        "native code without a package",
        "make a package of it, with torch._inductor.aoti_compile_and_package(program, package_path=path)",
    ),
    _Signature(_like(_SAVED_MODEL), "a TensorFlow SavedModel", CONVERT),
    _Signature(_like(_ONNX), "an ONNX model", _OTHER_ENGINE),
    _Signature(_is_openvino, "an OpenVINO model", CONVERT),
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
    """The finding about a file of `size` bytes that starts with `head`; None if it is not recognized."""
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
    """The finding about a text file that Git LFS keeps in place of a large file."""
    if not head.startswith(b"version https://git-lfs.github.com/spec/"):
        return None
    found = _LFS_SIZE.search(head)
    file = "the file" if found is None else f"the file of {int(found[1])} bytes"
    return Finding(f"a Git LFS pointer to {file}, not the file itself", "fetch it: git lfs pull")


def _safetensors(head: bytes, size: int) -> Finding | None:
    """The finding about a safetensors file: eight bytes of length, a JSON object with offsets, then the tensors."""
    length = int.from_bytes(head[:8], "little")
    if head[8:10] not in (b'{"', b"{}", b"{ ") or not 2 <= length <= 100_000_000:
        return None
    advice = f"it has weights without the code of a model; {_WEIGHTS}{SAVE}"
    missing = _missing_of_safetensors(head[8 : 8 + length], length, size)
    if missing > 0:
        return Finding(f"a truncated safetensors file: at least {missing} bytes are missing", _AGAIN)
    return Finding("a safetensors file", advice)


def _missing_of_safetensors(header: bytes, length: int, size: int) -> int:
    """The least number of missing bytes, computed from the ends of the tensors that the visible header names."""
    ends = [int(end) for end in re.findall(rb'"data_offsets"\s*:\s*\[\s*\d{1,18}\s*,\s*(\d{1,18})\s*\]', header)]
    return 8 + length + max(ends, default=0) - size


def _json(head: bytes) -> Finding | None:
    """The finding about a JSON document, such as a configuration, or a server's answer in place of a file."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[", b"{\t")):
        return None
    try:
        json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        if len(head) < HEAD:  # this is the whole file
            return None
    return Finding("a JSON document", f"it may be a configuration, or the response to a failed download; {SAVE}")
