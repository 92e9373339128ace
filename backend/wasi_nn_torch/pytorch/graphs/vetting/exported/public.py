"""The replacement of internal operators, which decomposed programs call, by public ones that validate their arguments.

`ExportedProgram.run_decompositions` writes operators that PyTorch itself calls only after checking sizes. With other
sizes, such an operator may read beyond the end of a tensor. So each call is replaced by a call of the public operator
that it came from, which computes the same. Uninitialized memory becomes zeros. A view by raw offsets passes only if it
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from wasi_nn_torch.pytorch.graphs.vetting.exported.shape import Misfit

_ATEN = "torch.ops.aten."
_AS_STRIDED = "as_strided.default"
_POSITIONAL, _KEYWORD = 1, 2

#: The arguments of a call by name; each is a JSON object with one field, whose name is its kind.
Arguments = dict[str, dict[str, Any]]

_NONE: dict[str, Any] = {"as_none": True}
_Rewriting = Callable[[Arguments], tuple[str, Arguments]]


def _same(target: str, drop: Collection[str] = (), rename: Mapping[str, str] | None = None, **more: Any) -> _Rewriting:  # noqa: ANN401  # values of JSON
    """A rewriting to a call of `target` with the same arguments, some of them dropped, renamed or added."""
    names = rename or {}

    def rewriting(arguments: Arguments) -> tuple[str, Arguments]:
        kept = {names.get(name, name): value for name, value in arguments.items() if name not in drop}
        return target, {**kept, **more}

    return rewriting


def _norm(arguments: Arguments, norms: tuple[str, str, str]) -> dict[str, Any]:
    match arguments.get("normalization"):
        case {"as_int": 0 | 1 | 2 as number}:
            return {"as_string": norms[number]}
    raise Misfit("the normalization of a Fourier transform is unknown")


def _flag(arguments: Arguments, name: str) -> bool:
    match arguments.get(name):
        case {"as_bool": bool(value)}:
            return value
    raise Misfit(f"`{name}` is not a constant")


#: How transforms are scaled, by PyTorch's numbers: not at all, by the root of the size, by the size.
_FORWARD, _INVERSE = ("backward", "ortho", "forward"), ("forward", "ortho", "backward")


def _kept(arguments: Arguments) -> Arguments:
    """The arguments that all transforms share: the tensor and its dimensions."""
    return {name: arguments[name] for name in ("self", "dim") if name in arguments}


def _fft_of_reals(arguments: Arguments) -> tuple[str, Arguments]:
    target = "fft_rfftn.default" if _flag(arguments, "onesided") else "fft_fftn.default"
    return target, {**_kept(arguments), "norm": _norm(arguments, _FORWARD)}


def _fft_of_complex(arguments: Arguments) -> tuple[str, Arguments]:
    forward = _flag(arguments, "forward")
    target, norms = ("fft_fftn.default", _FORWARD) if forward else ("fft_ifftn.default", _INVERSE)
    return target, {**_kept(arguments), "norm": _norm(arguments, norms)}


def _fft_to_reals(arguments: Arguments) -> tuple[str, Arguments]:
    match arguments.get("dim"), arguments.get("last_dim_size"):
        case {"as_ints": [*dims]}, {"as_int": size} if dims:
            last = {"as_int": size}
        case {"as_ints": [*dims]}, {"as_sym_int": last} if dims:
            pass
        case _:
            raise Misfit("the dimensions of a Fourier transform are unknown")
    sizes = {"as_sym_ints": [*({"as_int": -1} for _ in dims[1:]), last]}  # -1: the size of the tensor
    return "fft_irfftn.default", {**_kept(arguments), "s": sizes, "norm": _norm(arguments, _INVERSE)}


def _zeroed(arguments: Arguments) -> tuple[str, Arguments]:
    match arguments.get("physical_layout"):
        case {"as_ints": [*order]} if order == sorted(order):
            return _same("zeros.default", drop=("physical_layout",))(arguments)
    raise Misfit("it makes an uninitialized tensor with another layout")


_ENABLED = {"as_bool": True}
_PUBLIC: dict[str, _Rewriting] = {
    "_native_batch_norm_legit_no_training.default": _same(
        "batch_norm.default", training={"as_bool": False}, cudnn_enabled=_ENABLED
    ),
    "_native_batch_norm_legit.default": _same("batch_norm.default", cudnn_enabled=_ENABLED),
    "_native_batch_norm_legit.no_stats": _same(
        "batch_norm.default", running_mean=_NONE, running_var=_NONE, cudnn_enabled=_ENABLED
    ),
    "_fused_rms_norm.default": _same("rms_norm.default"),
    "_weight_norm_interface.default": _same("_weight_norm.default"),
    "_scaled_dot_product_flash_attention_for_cpu.default": _same("scaled_dot_product_attention.default"),
    "_scaled_dot_product_flash_attention.default": _same(
        "scaled_dot_product_attention.default", drop=("return_debug_mask",)
    ),
    "_scaled_dot_product_efficient_attention.default": _same(
        "scaled_dot_product_attention.default", drop=("compute_log_sumexp",), rename={"attn_bias": "attn_mask"}
    ),
    "_adaptive_avg_pool2d.default": _same("adaptive_avg_pool2d.default"),
    "_adaptive_avg_pool3d.default": _same("adaptive_avg_pool3d.default"),
    "_cdist_forward.default": _same("cdist.default"),
    "_pdist_forward.default": _same("pdist.default"),
    "_fft_r2c.default": _fft_of_reals,
    "_fft_c2c.default": _fft_of_complex,
    "_fft_c2r.default": _fft_to_reals,
    "empty.memory_format": _same("zeros.default", drop=("memory_format",)),
    "empty_like.default": _same("zeros_like.default"),
    "new_empty.default": _same("new_zeros.default"),
    "empty_permuted.default": _zeroed,
}

#: The operators, with the overload, whose calls are replaced by calls of others.
REPLACED = frozenset({*_PUBLIC, _AS_STRIDED})


def with_public_names(graph: dict[str, Any]) -> dict[str, Any]:
    """A graph, whose shape has passed, without calls of the operators in `REPLACED`. Raises Misfit."""
    used = _Names(graph)
    return {**graph, "nodes": [_located(used, node, index) for index, node in enumerate(graph["nodes"])]}


def _located(used: _Names, node: dict[str, Any], index: int) -> dict[str, Any]:
    try:
        return _replaced(used, node)
    except Misfit as misfit:
        misfit.where += [str(index), "nodes"]
        raise


def _replaced(used: _Names, node: dict[str, Any]) -> dict[str, Any]:
    operator = node["target"].removeprefix(_ATEN)
    if operator not in REPLACED:
        return node
    arguments = {item["name"]: item["arg"] for item in node["inputs"]}
    if operator == _AS_STRIDED:
        if not used.describe_one_tensor(arguments):
            raise Misfit(f"it calls `{_ATEN}{operator}`, which accesses a tensor's memory by raw offsets")
        target, arguments = "alias.default", {"self": arguments["self"]}
    else:
        target, arguments = _PUBLIC[operator](arguments)
    first, *others = node["outputs"] or [_NONE]
    if any(used.is_used(output) for output in others):
        raise Misfit(f"it uses more than the first result of `{_ATEN}{operator}`")
    return {**node, "target": _ATEN + target, "inputs": list(_inputs(target, arguments)), "outputs": [first]}


def _inputs(target: str, arguments: Arguments) -> Iterator[dict[str, Any]]:
    """The arguments in the order of the operator's declaration, by position until one is omitted."""
    name, _, overload = target.partition(".")
    kind = _POSITIONAL
    for argument in getattr(getattr(torch.ops.aten, name), overload)._schema.arguments:
        if argument.kwarg_only or argument.name not in arguments:
            kind = _KEYWORD
        if argument.name in arguments:
            yield {"name": argument.name, "arg": arguments[argument.name], "kind": kind}


@dataclass(frozen=True)
class _Sizes:
    """The sizes and strides of a tensor, as far as a program gives them."""

    sizes: list[object]
    strides: list[object]


class _Names:
    """The values of a graph by name: whether they are used, and their descriptions."""

    def __init__(self, graph: dict[str, Any]) -> None:
        self._graph = graph
        self._used: frozenset[str] | None = None

    def is_used(self, output: object) -> bool:
        """Whether any node uses a result."""
        if self._used is None:  # computed late, since most graphs do not need it
            takers = [self._graph["outputs"], *(node["inputs"] for node in self._graph["nodes"])]
            self._used = frozenset(_names(takers))
        return not self._used.isdisjoint(_names(output))

    def describe_one_tensor(self, arguments: Arguments) -> bool:
        """Whether a view has the sizes of the tensor that it is made from, and its strides where they matter."""
        match arguments:
            case {"self": {"as_tensor": {"name": name}}, "size": size, "stride": stride, **rest}:
                described = self._described(name)
                if described is None or rest.get("storage_offset", _NONE) not in (_NONE, {"as_int": 0}):
                    return False
                sizes, strides = ([self._number(item) for item in _items(each)] for each in (size, stride))
                return sizes == described.sizes and all(
                    length == 1 or step == described_step
                    for length, step, described_step in zip(sizes, strides, described.strides, strict=False)
                )
        return False

    def _described(self, name: str) -> _Sizes | None:
        meta = self._graph["tensor_values"].get(name)
        if meta is None:
            return None
        return _Sizes([_number(item) for item in meta["sizes"]], [_number(item) for item in meta["strides"]])

    def _number(self, item: dict[str, Any]) -> object:
        """A size that is a constant, or the expression of one that has a name."""
        return _number(self._graph["sym_int_values"].get(item["as_name"], {}) if "as_name" in item else item)


def _number(item: dict[str, Any]) -> object:
    return item["as_int"] if "as_int" in item else item.get("as_expr", {}).get("expr_str")


def _items(argument: dict[str, Any]) -> list[dict[str, Any]]:
    match argument:
        case {"as_ints": [*numbers]}:
            return [{"as_int": number} for number in numbers]
        case {"as_sym_ints": [*items]}:
            return items
    return []


def _names(value: object) -> Iterator[str]:
    """The names of all values that an argument refers to, including those in parts of the program."""
    match value:
        case {"name": str(name), **rest} if not rest:
            yield name
        case dict():
            for item in value.values():
                yield from _names(item)
        case list():
            for item in value:
                yield from _names(item)
