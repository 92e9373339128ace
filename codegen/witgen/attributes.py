"""Attributes: the known ones, and their valid combinations.

In: the parts of the attributes in front of one item, as the grammar reads them. Out: `syntax.Attributes`; faults go to
`Errors`, and the item is then treated as one without attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from witgen.diagnostics import Errors, WitError, did_you_mean
from witgen.syntax import Attributes, Name, Span


@dataclass(frozen=True, slots=True)
class Attribute:
    """`@name(field = value)`, or `@name(value)` without a field; `sort` is the sort of value."""

    name: Name
    field: Name | None
    sort: str
    value: str
    value_span: Span


# The sort of value that each one has, and the field of `Attributes` that it sets.
_KNOWN = {
    "since": ("version", "since"),
    "unstable": ("feature", "feature"),
    "deprecated": ("version", "deprecated"),
    "external-id": ("text", "external_id"),
}


def together(attributes: Sequence[Attribute], span: Span | None, errors: Errors) -> Attributes:
    """The attributes of one item."""
    faults = [fault for fault in map(_fault, attributes) if fault]
    for fault in faults:
        errors.add(fault)
    if attributes and not faults:
        with errors.caught():
            return _combined(attributes, span)
    return Attributes()


def _fault(attribute: Attribute) -> WitError | None:
    """The fault of a single attribute, if it has one."""
    name, field = attribute.name, attribute.field
    if name.text not in _KNOWN:
        hint = did_you_mean(name.text, _KNOWN) or "the attributes are since, unstable, deprecated and external-id"
        return WitError(f"`@{name.text}` is not an attribute", name.span, hint)
    sort, _ = _KNOWN[name.text]
    how = '"…"' if sort == "text" else f"{sort} = …"
    place = field.span if field and field.text != sort else attribute.value_span if attribute.sort != sort else None
    return WitError(f"`@{name.text}` is malformed", place, f"write `@{name.text}({how})`") if place else None


def _combined(attributes: Sequence[Attribute], span: Span | None) -> Attributes:
    values: dict[str, str] = {}
    for attribute in attributes:
        _, field = _KNOWN[attribute.name.text]
        if field in values:
            raise WitError(f"`@{attribute.name.text}` is given twice", attribute.name.span, "keep one")
        if {field, *values} >= {"since", "feature"}:
            raise WitError("an item is either `@since` or `@unstable`", attribute.name.span, "keep one of them")
        values[field] = attribute.value
    if "deprecated" in values and not values.keys() & {"since", "feature"}:
        name = next(attribute.name for attribute in attributes if attribute.name.text == "deprecated")
        raise WitError("`@deprecated` needs `@since` or `@unstable` beside it", name.span, "add one of them")
    return Attributes(**values, span=span)
