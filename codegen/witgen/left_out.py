"""What a generated package lacks, in words.

In: a `Layout`. Out: a line for each type that is left out, and for each function that is a stub or a trap.
"""

from __future__ import annotations

from collections.abc import Iterator

from witgen.layout import Layout, Module


def left_out(layout: Layout) -> Iterator[str]:
    """The lines, module by module."""
    for module in layout.modules:
        for type_id in module.names.left_out:
            refusal, name = layout.traits[type_id].refusal, layout.resolved.types[type_id].name
            why = refusal.what if refusal else "it is not supported"
            yield f"type `{name}` of {_place(module)} is left out: {why}, and no function that is bound needs it"
        for each in module.traps:
            yield f"imported function `{each.function.name}` of {_place(module)} is a trap: {each.refusal.what}"
        for each in module.stubs:
            yield f"exported function `{each.function.name}` of {_place(module)} is a stub: {each.refusal.what}"


def _place(module: Module) -> str:
    return f"the world `{module.name}`" if module.interface is None else f"`{module.link_name}`"
