"""Documentation and gates, which tools put into a custom section beside the types.

In: the sections called `package-docs`: the number of a format, followed by JSON. Out: `Notes` for a package, its
interfaces and worlds, and everything in them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from witgen.decode.binary import Reader
from witgen.diagnostics import WitError
from witgen.lex import forbidden, shown
from witgen.parse import spelling
from witgen.syntax import Attributes, Docs, Span

SECTION = "package-docs"
LARGEST = 16 << 20
_FORMATS = (0, 1)


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes on one item, and by name those on the items in it; most have none."""

    place: Span
    data: Mapping[str, object]

    def inside(self, table: str, name: str) -> Notes:
        """The notes on an item in this one; `table` is the name of its kind in the format."""
        found = self._table(table).get(name)
        if isinstance(found, str | None):  # documentation alone
            return Notes(self.place, {} if found is None else {"docs": found})
        return Notes(self.place, self._object(found))

    @property
    def docs(self) -> Docs | None:
        """The documentation of this item."""
        text = self._text(self.data.get("docs"))
        return None if text is None else Docs(text, self.place)

    def attributes(self, external_id: str | None = None) -> Attributes:
        """The gate of this item, with its external id, which is not among the notes."""
        gate = self._table("stability")
        stable, unstable = (self._object(gate.get(key) or {}) for key in ("stable", "unstable"))
        since, feature = self._version(stable.get("since")), self._text(unstable.get("feature"))
        if feature is not None and not spelling().is_identifier(feature):
            raise self._refused(f"`{feature}` is not the name of a feature")
        deprecated = self._version(stable.get("deprecated") or unstable.get("deprecated"))
        return Attributes(since, feature, deprecated if since or feature else None, external_id, self.place)

    def of_reference(self, direction: str, name: str) -> Notes:
        """The notes on an import or export of an interface that is named by its path or has a label."""
        docs, gate = (self._table(f"interface_{direction}_{kind}").get(name) for kind in ("docs", "stability"))
        return Notes(self.place, {"docs": docs, "stability": gate})

    def _version(self, value: object) -> str | None:
        text = self._text(value)
        if text is not None and not spelling().is_version(text):
            raise self._refused(f"`{text}` is not a version")
        return text

    def _text(self, value: object) -> str | None:
        if not isinstance(value, str | None):
            raise self._refused("a text is needed")
        if value is not None and (bad := forbidden(value)):
            raise self._refused(f"the character {shown(bad.group())} is not allowed")
        return value

    def _table(self, name: str) -> Mapping[str, object]:
        return self._object(self.data.get(name) or {})

    def _object(self, value: object) -> Mapping[str, object]:
        if not isinstance(value, dict):
            raise self._refused("an object is needed")
        return value

    def _refused(self, message: str) -> WitError:
        hint = "the file may be newer than this version of witgen, or damaged"
        return WitError(f"the section `{SECTION}`: {message}", self.place, hint)


def read_notes(section: Reader) -> tuple[str | None, Notes]:
    """The notes in a section, and the package that they are on if it is not the main one. Raises `WitError`."""
    place = section.place()
    notes = Notes(place, {})
    if section.end - section.at > LARGEST:
        raise notes._refused(f"it is larger than {LARGEST >> 20} MiB")
    if section.byte() not in _FORMATS:
        raise notes._refused("its format is unfamiliar")
    try:
        data = json.loads(section.data[section.at : section.end])
    except (ValueError, RecursionError):
        raise notes._refused("it is not JSON") from None
    found = Notes(place, notes._object(data))
    return found._text(found.data.get("package")), found
