"""Types and functions of an instance → an interface.

In: the exports of instances, as `evaluate` has them. Out: `drafts.Interface`s. A type that was given a name before, in
this interface or another, is an alias or a `use`; any other is defined here. The same interface may come up many times:
what is known of it stays, and the rest is added.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from witgen import syntax
from witgen.decode import drafts
from witgen.decode.definitions import Code
from witgen.decode.drafts import Body, Used
from witgen.decode.evaluate import Evaluation, Extern, Function, Type
from witgen.decode.names import FullName, function_name, label
from witgen.diagnostics import WitError
from witgen.syntax import Attributes, Name, Span, at_offset
from witgen.syntax.comparing import same

DEEPEST_TYPE = 100
_LABELLED = {Code.RECORD, Code.VARIANT, Code.FLAGS, Code.ENUM}


class Interfaces:
    """All interfaces of a binary, and the names that its types got in them."""

    def __init__(self, file: str, evaluation: Evaluation) -> None:
        self.packages: dict[tuple[str, str, str | None], drafts.Package] = {}
        self._file = file
        self._evaluation = evaluation
        self._named: dict[Type, tuple[Body, str]] = {}
        self._owners: dict[Body, drafts.Interface] = {}

    def place(self, offset: int) -> Span:
        """The place of an offset."""
        return at_offset(self._file, offset)

    def interface(self, name: FullName, place: Span) -> drafts.Interface:
        """The interface of a package, which is empty when it first comes up."""
        package = self.packages.setdefault(name.of_package, drafts.Package())
        if name.name not in package.interfaces:
            self._register(package.interfaces.setdefault(name.name, drafts.Interface(Name(name.name, place), name)))
        return package.interfaces[name.name]

    def inline(self, name: Name) -> drafts.Interface:
        """A new interface inside a world."""
        interface = drafts.Interface(name, None)
        self._register(interface)
        return interface

    def _register(self, interface: drafts.Interface) -> None:
        self._owners[interface.body] = interface

    def fill(self, body: Body, externs: Iterable[Extern]) -> None:
        """Add the exports of an instance to an interface."""
        for extern in externs:
            self._evaluation.step(extern.name.offset)
            match extern.entity:
                case Type():
                    self.add_type(body, extern, extern.entity)
                case Function():
                    self.add_function(body, extern, extern.entity)
                case _:
                    place = self.place(extern.name.offset)
                    raise WitError(f"`{extern.name.text}` is neither a type nor a function", place)

    # --- types ---

    def add_type(self, body: Body, extern: Extern, type: Type) -> None:
        """Add a type under a name."""
        place = self.place(extern.name.offset)
        name = label(extern.name.text, place)
        before = body.types.get(name.text)
        if before is None:
            body.types[name.text] = self._definition(body, extern, name, type)
        elif self._known(type, body) != (body, name.text):
            self._check(before, self._definition(body, extern, name, type), place, f"type `{name.text}`")
        self._named[type] = (body, name.text)

    def _check(self, before: object, now: object, place: Span, what: str) -> None:
        """Refuse what comes up again as something else. A `use` may lead to the same type by another interface."""
        if not isinstance(before, Used) and not isinstance(now, Used) and not same(before, now):
            hint = "an interface has to be the same wherever the file mentions it"
            raise WitError(f"{what} has another type in one place of the file than in another", place, hint)

    def _definition(self, body: Body, extern: Extern, name: Name, type: Type) -> Used | syntax.TypeDefinition:
        known = self._known(type, body)
        external_id = extern.name.external_id
        attributes, span = Attributes(external_id=external_id), name.span
        if known is not None and known[0] in self._owners and known[0] is not body:
            return Used(self._owners[known[0]], known[1], name, external_id)
        if known is not None:
            return syntax.TypeAlias(name, self._named_type(body, known, span), None, attributes, span)
        return self._new(body, type, name, attributes)

    def _new(self, body: Body, type: Type, name: Name, attributes: Attributes) -> syntax.TypeDefinition:
        span = name.span
        match type.code:
            case Code.RESOURCE | Code.ASYNC_RESOURCE:
                return syntax.Resource(name, (), None, attributes, span)
            case Code.RECORD:
                fields = zip(self._labels(type), type.parts, strict=True)
                return syntax.Record(
                    name,
                    tuple(syntax.Field(each, self._type(body, part, span), None, span) for each, part in fields),
                    None,
                    attributes,
                    span,
                )
            case Code.VARIANT:
                cases = zip(self._labels(type), type.parts, strict=True)
                return syntax.Variant(
                    name,
                    tuple(syntax.Case(each, self._optional(body, part, span), None, span) for each, part in cases),
                    None,
                    attributes,
                    span,
                )
            case Code.FLAGS:
                labels = tuple(syntax.Label(each, None, span) for each in self._labels(type))
                return syntax.Flags(name, labels, None, attributes, span)
            case Code.ENUM:
                labels = tuple(syntax.Label(each, None, span) for each in self._labels(type))
                return syntax.Enumeration(name, labels, None, attributes, span)
            case Code.FUNCTION | Code.ASYNC_FUNCTION:
                raise WitError(f"`{name.text}` is the type of a function, which has no name in WIT", span)
            case _:
                return syntax.TypeAlias(name, self._written(body, type, span, 0), None, attributes, span)

    def _labels(self, type: Type) -> list[Name]:
        place = self.place(type.offset)
        return [label(each, place) for each in type.labels]

    def _known(self, type: Type, body: Body) -> tuple[Body, str] | None:
        """The name that the type has already, or that the type has which it renames, as `body` can see it."""
        current: Type | None = type
        while current is not None:
            self._evaluation.step(type.offset)
            if current in self._named:
                owner, name = self._named[current]
                used = owner.types[name]
                if isinstance(used, Used) and owner is not body and owner not in self._owners:
                    return used.interface.body, used.name  # a world has it from there, and nothing can use a world
                return owner, name
            current = current.target
        return None

    def _optional(self, body: Body, part: Type | str | None, place: Span, depth: int = 0) -> syntax.Type | None:
        return None if part is None else self._type(body, part, place, depth)

    def _type(self, body: Body, part: Type | str | None, place: Span, depth: int = 0) -> syntax.Type:
        """A type inside another: by its name if it has one. A handle that is owned is written as its resource."""
        self._evaluation.step(place.column)
        if isinstance(part, str):
            return syntax.Primitive(part, place)
        assert part is not None  # only where `_optional` is called
        known = self._known(part, body)
        if known is not None:
            return self._named_type(body, known, place)
        if depth == DEEPEST_TYPE:
            raise WitError(f"types may be nested {DEEPEST_TYPE} levels deep at most", self.place(part.offset))
        if part.code is Code.OWN:
            resource = self._resource(body, part, place)
            return syntax.Named(resource, place)
        return self._written(body, part, place, depth)

    def _named_type(self, body: Body, known: tuple[Body, str], place: Span) -> syntax.Named:
        return syntax.Named(self._local(body, known, place), place)

    def _local(self, body: Body, known: tuple[Body, str], place: Span) -> Name:
        """The name that a type has here. One that is only named elsewhere is used from there, as WIT needs a `use`."""
        owner, name = known
        if owner is body:
            return Name(name, place)
        if owner not in self._owners:
            raise WitError(f"type `{name}` of a world cannot be used in an interface", place)
        interface = self._owners[owner]
        for local, entry in body.types.items():
            if isinstance(entry, Used) and entry.interface is interface and entry.name == name:
                return Name(local, place)
        if name in body.types:
            self._refuse_nameless(f"type `{name}` of another interface", place)
        body.types[name] = Used(interface, name, Name(name, place), None)
        return Name(name, place)

    def _resource(self, body: Body, handle: Type, place: Span) -> Name:
        """The resource of a handle."""
        resource = handle.parts[0]
        known = self._known(resource, body) if isinstance(resource, Type) else None
        if known is None:
            self._refuse_nameless("a resource", self.place(handle.offset))
        return self._local(body, known, place)

    def _written(self, body: Body, type: Type, place: Span, depth: int) -> syntax.Type:
        """A type that has no name, written out."""
        parts = type.parts
        if type.code in (Code.RESULT, Code.FUTURE, Code.STREAM):
            sides = [self._optional(body, part, place, depth + 1) for part in parts]
            if type.code is Code.RESULT:
                return syntax.Result(sides[0], sides[1], place)
            return (syntax.Future if type.code is Code.FUTURE else syntax.Stream)(sides[0], place)
        if type.code is Code.OWN:
            return syntax.Own(self._resource(body, type, place), place)
        if type.code is Code.BORROW:
            return syntax.Borrow(self._resource(body, type, place), place)
        if isinstance(type.code, str):
            return syntax.Primitive(type.code, place)
        if type.code in _LABELLED or type.code not in _PLAIN:
            kind = type.code.name.lower().replace("_", " ")
            self._refuse_nameless(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}", self.place(type.offset))
        inner = [self._type(body, part, place, depth + 1) for part in parts]
        match type.code:
            case Code.TUPLE:
                return syntax.Tuple(tuple(inner), place)
            case Code.OPTION:
                return syntax.Option(inner[0], place)
            case Code.MAP:
                return syntax.Map(inner[0], inner[1], place)
            case _:
                return syntax.List(inner[0], type.length, place)

    def _refuse_nameless(self, what: str, place: Span) -> NoReturn:
        raise WitError(f"{what} is used here that has no name in this interface", place)

    # --- functions ---

    def add_function(self, body: Body, extern: Extern, function: Function) -> None:
        """Add a function, or a member to its resource."""
        written, resource = self.function(body, extern, function)
        before = body.seen.setdefault(extern.name.text, written)
        if before is not written:
            self._check(before, written, written.span, f"function `{extern.name.text}`")
        elif resource is None:
            body.functions[written.name.text] = written
        else:
            body.members.setdefault(resource, []).append(written)

    def function(self, body: Body, extern: Extern, function: Function) -> tuple[syntax.Function, str | None]:
        """A function whose types are named as they are in `body`; for a member the name of its resource, too."""
        place = self.place(extern.name.offset)
        name = function_name(extern.name.text, place)
        *types, returned = function.type.parts
        parameters = [
            syntax.Parameter(label(each, place), self._type(body, part, place), place)
            for each, part in zip(function.type.labels, types, strict=True)
        ]
        result = self._optional(body, returned, place)
        if name.resource is not None:
            self._check_member(body, name.resource, extern.name.text, place)
        if name.sort == "method":
            self._check_self(parameters, name.resource, extern.name.text, place)
            del parameters[0]
        if name.sort == "constructor" and isinstance(result, syntax.Named) and result.name.text == name.resource:
            result = None  # as WIT leaves it out
        is_async = function.type.code is Code.ASYNC_FUNCTION
        type = syntax.FunctionType(is_async, tuple(parameters), result, place)
        attributes = Attributes(external_id=extern.name.external_id)
        return syntax.Function(name.name, name.sort, type, None, attributes, place), name.resource

    def _check_member(self, body: Body, resource: str, function: str, place: Span) -> None:
        if not isinstance(body.types.get(resource), syntax.Resource):
            raise WitError(f"`{function}` is a function of something that is not a resource", place)

    def _check_self(self, parameters: list[syntax.Parameter], resource: str | None, function: str, place: Span) -> None:
        first = parameters[0] if parameters else None
        borrowed = first.type.resource.text if first and isinstance(first.type, syntax.Borrow) else None
        if first is None or first.name.text != "self" or borrowed != resource:
            raise WitError(f"the first parameter of `{function}` has to be `self: borrow<{resource}>`", place)


_PLAIN = {Code.TUPLE, Code.OPTION, Code.MAP, Code.LIST, Code.FIXED_LENGTH_LIST}
