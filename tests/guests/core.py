"""The core module of a guest that forwards; `tests.guests.forward` specifies its behaviour.

In: a resolved world. Out: WebAssembly text with the core imports and exports that `wasm-tools component new` expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.guests.flat import Handle, Leaf, Shape, Shapes, Signature
from tests.guests.handles import Local, Visit
from tests.guests.pairs import ROOT, Import, Scope, matching_function, matching_scope, scopes
from witgen.model import Function, Resolved, TypeId, World

_FIRST = 16  # no value is at address zero

_MEMORY = f"""
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const {_FIRST}))
  (global $moving (mut i32) (i32.const 0))
  (func $forget (global.set $next (i32.const {_FIRST})))
  (func $realloc (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32)
    (result i32) (local $at i32) (local $end i32)
    (if (i32.and (i32.ne (local.get $old) (i32.const 0)) (i32.le_u (local.get $size) (local.get $had)))
      (then (return (local.get $old))))
    (local.set $at (i32.and
      (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (local.set $end (i32.add (local.get $at) (local.get $size)))
    (if (i32.lt_u (local.get $end) (global.get $next)) (then (unreachable)))
    (if (i64.gt_u (i64.extend_i32_u (local.get $end)) (i64.shl (i64.extend_i32_u (memory.size)) (i64.const 16)))
      (then (if (i32.eq (i32.const -1) (memory.grow
          (i32.sub (i32.add (i32.shr_u (local.get $end) (i32.const 16)) (i32.const 1)) (memory.size))))
        (then (unreachable)))))
    (global.set $next (local.get $end))
    (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old) (local.get $had))))
    (local.get $at))"""


def core_module(resolved: Resolved, world: World) -> str:
    """The text of the module for a world of `resolved`. Raises `Unsupported` and `ValueError`."""
    return _Module(resolved, world).text()


class _Module:
    """The core module for one world, as it is being generated."""

    def __init__(self, resolved: Resolved, world: World) -> None:
        self._types = resolved.types
        self._shapes = Shapes(resolved)
        self._imports, self._exports = scopes(resolved, world)
        self._core_imports: dict[tuple[str, str], str] = {}
        self._guests = {id: scope for scope in self._exports for id in scope.resources.values()}
        # An interface may be imported several times; exports correspond to the import with its own name, the first.
        self._hosts = {id: scope for scope in reversed(self._imports) for id in scope.resources.values()}
        # Bare functions know only the imported resources, the functions of an interface only the exported ones.
        bare: set[TypeId] = set()
        self._visits = {True: _visits("bare-", bare), False: _visits("", set(self._guests))}

    def text(self) -> str:
        """The whole module."""
        for scope in self._imports:
            for function in scope.functions.values():
                self._imported(Import(scope, function))
        functions = [self._export(scope, each) for scope in self._exports for each in scope.functions.values()]
        for id, scope in self._hosts.items():
            functions.append(self._release(id, scope))
        for id, scope in self._guests.items():
            functions.extend(self._resource(id, scope))
        for visits in self._visits.values():
            functions.extend(text for visit in visits for text in visit.functions)
        return "\n".join(["(module", *self._core_imports.values(), _MEMORY, *functions, ")"])

    def _export(self, scope: Scope, function: Function) -> str:
        signature = self._shapes.signature(function)
        params, results = signature.lifted
        values = [Local(f"$p{index}", core) for index, core in enumerate(params)]
        found = matching_function(scope, function, self._imports, lambda other: self._fits(signature, other))
        body = (
            self._alone(scope, signature, values)
            if found is None
            else self._forward(scope, signature, values, self._imported(found))
        )
        name = function.name if scope.core == ROOT else f"{scope.core}#{function.name}"
        return "\n  ".join(
            [
                f'(func (export "{name}") {_params(values)} {_results(results)} {_locals(results)}',
                *body,
                *(() if signature.returned else ("(call $forget)",)),
                *(("(local.get $result)",) if results else ()),
                ")",
                *((f'(func (export "cabi_post_{name}") (param i32) (call $forget))',) if signature.returned else ()),
            ]
        )

    def _forward(self, scope: Scope, signature: Signature, values: Sequence[Local], called: str) -> Iterator[str]:
        """Code that calls the import: it unwraps handles first, then drops borrowed ones and wraps those of results."""
        unwrap, release, wrap = self._visits[scope.core == ROOT]
        arguments = " ".join(f"(local.get {value.name})" for value in values)
        yield from _visit(unwrap, signature, values)
        if signature.returned and signature.result is not None:
            layout = signature.result.layout
            sizes = f"(i32.const {layout.align}) (i32.const {layout.size})"
            yield f"(local.set $result (call $realloc (i32.const 0) (i32.const 0) {sizes}))"
            yield f"(call {called} {arguments} (local.get $result))"
            yield from _visit(release, signature, values)
            yield from wrap.memory(signature.result, "(local.get $result)")
        elif signature.result is None:
            yield f"(call {called} {arguments})"
            yield from _visit(release, signature, values)
        else:
            yield f"(local.set $result (call {called} {arguments}))"
            yield from _visit(release, signature, values)
            yield from wrap.flat(signature.result, [Local("$result", signature.result.layout.flat[0])])

    def _alone(self, scope: Scope, signature: Signature, values: Sequence[Local]) -> Iterator[str]:
        """Code for an export without an import."""
        unwrap, _, wrap = self._visits[scope.core == ROOT]
        shapes = [*signature.arguments.fields[:1], *(() if signature.result is None else (signature.result,))]
        numbers = [self._number(scope, shape) for shape in shapes]
        if scope.core == ROOT or signature.spilled or None in numbers or not any(numbers):
            yield "(unreachable)"
            return
        yield from _visit(unwrap, signature, values)
        if signature.result is not None:
            if values:
                yield "(local.set $result (local.get $p0))"
            yield from wrap.flat(signature.result, [Local("$result", "i32")])

    def _number(self, scope: Scope, shape: Shape) -> bool | None:
        """True for a handle whose resource is a number, False for a plain number, None for anything else."""
        if isinstance(shape, Handle):
            known = shape.resource in self._guests and self._proxied(shape.resource) is None
            return True if known else None
        return False if isinstance(shape, Leaf) and shape.layout.flat == ("i32",) else None

    def _fits(self, exported: Signature, function: Function) -> bool:
        return _layouts(self._shapes.signature(function)) == _layouts(exported)

    def _imported(self, found: Import) -> str:
        params, results = self._shapes.signature(found.function).lowered
        return self._core_import(found.scope.core, found.function.name, params, results)

    def _core_import(self, module: str, name: str, params: Sequence[str], results: Sequence[str]) -> str:
        """Import a core function, once, and return its name in this module."""
        key = module, name
        index = list(self._core_imports).index(key) if key in self._core_imports else len(self._core_imports)
        signature = f"(param {' '.join(params)}) {_results(results)}"
        self._core_imports.setdefault(key, f'(import "{module}" "{name}" (func $import-{index} {signature}))')
        return f"$import-{index}"

    def _release(self, id: TypeId, scope: Scope) -> str:
        drop = self._core_import(scope.core, f"[resource-drop]{self._types[id].name}", ["i32"], [])
        return f"(func $release-{id} (param $handle i32) (result i32) (call {drop} (local.get $handle)) (i32.const 0))"

    def _resource(self, id: TypeId, scope: Scope) -> Iterator[str]:
        """Code that wraps, unwraps and destroys an exported resource."""
        module, name = f"[export]{scope.core}", self._types[id].name
        new = self._core_import(module, f"[resource-new]{name}", ["i32"], ["i32"])
        rep = self._core_import(module, f"[resource-rep]{name}", ["i32"], ["i32"])
        drop = self._core_import(module, f"[resource-drop]{name}", ["i32"], [])
        host = self._proxied(id)
        yield f"(func $wrap-{id} (param $rep i32) (result i32) (call {new} (local.get $rep)))"
        yield f"""(func $unwrap-{id} (param $handle i32) (result i32) (local $rep i32)
    (local.set $rep (call {rep} (local.get $handle)))
    (global.set $moving (i32.const {int(host is not None)}))
    (call {drop} (local.get $handle))
    (global.set $moving (i32.const 0))
    (local.get $rep))"""
        called = self._dropped(scope) if host is None else f"$release-{host}"
        destroy = f"(call {called} (local.get $rep)){'' if host is None else ' (drop)'}" if called else ""
        yield f"""(func (export "{scope.core}#[dtor]{name}") (param $rep i32)
    (if (i32.eqz (global.get $moving)) (then {destroy})))"""

    def _dropped(self, scope: Scope) -> str | None:
        host = matching_scope(scope, self._imports)
        for each in (host, *self._imports):
            if each is not None and "dropped" in each.functions and (each is host or each.core == ROOT):
                return self._imported(Import(each, each.functions["dropped"]))
        return None

    def _proxied(self, id: TypeId) -> TypeId | None:
        """The imported resource that an exported one represents."""
        host = matching_scope(self._guests[id], self._imports)
        return None if host is None else host.resources.get(str(self._types[id].name))


def _visits(prefix: str, guests: set[TypeId]) -> tuple[Visit, Visit, Visit]:
    """The visits that unwrap, release and wrap handles."""

    def owned(action: str, handle: Handle) -> str | None:
        return f"${action}-{handle.resource}" if handle.owned and handle.resource in guests else None

    def borrowed(handle: Handle) -> str | None:
        return None if handle.owned or handle.resource in guests else f"$release-{handle.resource}"

    return (
        Visit(f"{prefix}unwrap", lambda handle: owned("unwrap", handle)),
        Visit(f"{prefix}release", borrowed),
        Visit(f"{prefix}wrap", lambda handle: owned("wrap", handle)),
    )


def _visit(visit: Visit, signature: Signature, values: Sequence[Local]) -> Iterator[str]:
    """Code that visits the arguments, in core parameters or in memory."""
    if signature.spilled:
        return visit.memory(signature.arguments, f"(local.get {values[0].name})")
    return visit.flat(signature.arguments, values)


def _layouts(signature: Signature) -> object:
    return signature.arguments.layout, None if signature.result is None else signature.result.layout


def _params(values: Sequence[Local]) -> str:
    return " ".join(f"(param {value.name} {value.core})" for value in values)


def _results(results: Sequence[str]) -> str:
    return f"(result {' '.join(results)})" if results else ""


def _locals(results: Sequence[str]) -> str:
    return f"(local $result {results[0]})" if results else ""
