"""Text → syntax tree.

In: the text of one file. Out: `syntax.File`, or `WitError`. The grammar is in `grammar.lark`; the class below has one
method for each rule, whose parameters are the parts of the rule in order.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import cast

from lark import Lark, Token, UnexpectedToken
from lark.exceptions import VisitError
from lark.tree import Meta
from lark.visitors import Transformer_NonRecursive, v_args
from platformdirs import user_cache_path

from witgen import attributes, syntax, tables
from witgen.attributes import Attribute
from witgen.diagnostics import WitError, whole_file
from witgen.docs import documentation
from witgen.expected import unexpected
from witgen.lex import Source, Spelling, decode
from witgen.syntax import Attributes, Docs, FunctionType, Name, PackageName, Path, Span

LONGEST_LIST = 2**32 - 1


def parse(text: str | bytes, file: str) -> syntax.File:
    """Parse the text of one file; `file` is what messages call it. Raises `WitError`."""
    try:
        source = decode(text, file)
        return _parse(source)
    except WitError as error:
        raise error.in_text(text) from None


def _parse(source: Source) -> syntax.File:
    grammar = _grammar()
    try:
        tree = grammar.parse(source)
    except UnexpectedToken as error:
        source.errors.check()  # the meaning of a bad word is unknown, so this may be its consequence
        written = {terminal.name: terminal.pattern.value for terminal in grammar.terminals}
        raise unexpected(error, source, written) from None
    except WitError as error:
        source.errors.add(error)
        raise source.errors.together() from None
    try:
        file = _ToSyntax(source).transform(tree)
    except VisitError as error:
        raise error.orig_exc from None
    source.errors.check()
    return file


@cache
def spelling() -> Spelling:
    """The form of names and versions, for those that are not in a text."""
    return Spelling(_grammar().terminals)


@cache
def _grammar() -> Lark:
    text = files("witgen").joinpath("grammar.lark").read_text(encoding="utf-8")
    return tables.parser(text, user_cache_path("witgen"))


@v_args(inline=True, meta=True)
class _ToSyntax(Transformer_NonRecursive[Token, syntax.File]):
    """Turns the tree of one file into syntax, rule by rule."""

    def __init__(self, source: Source) -> None:
        super().__init__(visit_tokens=True)
        self._source = source
        self._errors = source.errors

    # --- what every rule needs ---

    def _span(self, meta: Meta | Token) -> Span:
        lines = meta.line, meta.column, meta.end_line, meta.end_column
        return Span(self._source.file, *cast(tuple[int, int, int, int], lines))

    def _docs(self, meta: Meta) -> Docs | None:
        """The comments between the token before the rule and the rule."""
        comments = self._source.comments.get(meta.start_pos)
        if comments is None:
            return None
        text = documentation([self._source.text[start:end] for start, end in comments])
        return Docs(text, self._source.span(comments[0][0], comments[-1][1]))

    # --- files and packages ---

    def file(self, meta: Meta, *parts: syntax.Header | syntax.Item) -> syntax.File:
        header = parts[0] if parts and isinstance(parts[0], syntax.Header) else None
        items = tuple(part for part in parts if not isinstance(part, syntax.Header))
        return syntax.File(self._source.file, header, items, whole_file(self._source.file))

    def header(self, meta: Meta, name: PackageName) -> syntax.Header:
        return syntax.Header(name, self._docs(meta), self._span(meta))

    def package_name(self, meta: Meta, namespace: Name, name: Name, version: Token | None) -> PackageName:
        return PackageName(namespace, name, str(version) if version else None, self._span(meta))

    def nested_package(self, meta: Meta, name: PackageName, *items: syntax.Item) -> syntax.NestedPackage:
        for item in items:
            if isinstance(item, syntax.NestedPackage):
                hint = "move it to the top of the file"
                self._errors.add(WitError("a nested package may not contain another package", item.name.span, hint))
        inside = cast(tuple[syntax.PackageItem, ...], items)
        return syntax.NestedPackage(name, inside, self._docs(meta), self._span(meta))

    def top_use(self, meta: Meta, path: Path, alias: Name | None) -> syntax.TopUse:
        return syntax.TopUse(path, alias, self._span(meta))

    def local_path(self, meta: Meta, name: Name) -> Path:
        return Path(None, name, self._span(meta))

    def full_path(self, meta: Meta, namespace: Name, package: Name, name: Name, version: Token | None) -> Path:
        span = self._span(meta)
        return Path(PackageName(namespace, package, str(version) if version else None, span), name, span)

    # --- attributes ---

    def attributes(self, meta: Meta, *parts: Attribute) -> Attributes:
        return attributes.together(parts, self._span(meta) if parts else None, self._errors)

    def version_attribute(self, meta: Meta, name: Name, field: Name, version: Token) -> Attribute:
        return Attribute(name, field, "version", str(version), self._span(version))

    def feature_attribute(self, meta: Meta, name: Name, field: Name, feature: Name) -> Attribute:
        return Attribute(name, field, "feature", feature.text, feature.span)

    def text_attribute(self, meta: Meta, name: Name, text: Token) -> Attribute:
        return Attribute(name, None, "text", str(text), self._span(text))

    def name_attribute(self, meta: Meta, name: Name, value: Name) -> Attribute:
        return Attribute(name, None, "name", value.text, value.span)

    # --- interfaces and worlds ---

    def interface(
        self, meta: Meta, attributes: Attributes, name: Name, *items: syntax.InterfaceItem
    ) -> syntax.Interface:
        return syntax.Interface(name, items, self._docs(meta), attributes, self._span(meta))

    def use(self, meta: Meta, attributes: Attributes, path: Path, *names: syntax.UseName) -> syntax.Use:
        return syntax.Use(path, names, attributes, self._span(meta))

    def use_name(self, meta: Meta, name: Name, alias: Name | None) -> syntax.UseName:
        return syntax.UseName(name, alias, self._span(meta))

    def world(self, meta: Meta, attributes: Attributes, name: Name, *items: syntax.WorldItem) -> syntax.World:
        return syntax.World(name, items, self._docs(meta), attributes, self._span(meta))

    def world_import(self, meta: Meta, attributes: Attributes, item: syntax.Extern) -> syntax.Import:
        return syntax.Import(self._in_world(meta, attributes, item), self._span(meta))

    def world_export(self, meta: Meta, attributes: Attributes, item: syntax.Extern) -> syntax.Export:
        return syntax.Export(self._in_world(meta, attributes, item), self._span(meta))

    def _in_world(self, meta: Meta, attributes: Attributes, item: syntax.Extern) -> syntax.Extern:
        """The item with the docs and attributes in front of its `import` or `export`."""
        return replace(item, docs=self._docs(meta), attributes=attributes)

    def extern_function(self, meta: Meta, name: Name, type: FunctionType) -> syntax.Function:
        return syntax.Function(name, "freestanding", type, None, Attributes(), self._span(meta))

    def extern_interface(self, meta: Meta, name: Name, *items: syntax.InterfaceItem) -> syntax.Interface:
        return syntax.Interface(name, items, None, Attributes(), self._span(meta))

    def extern_labelled(self, meta: Meta, label: Name, path: Path) -> syntax.InterfaceReference:
        return syntax.InterfaceReference(label, path, None, Attributes(), self._span(meta))

    def extern_path(self, meta: Meta, path: Path) -> syntax.InterfaceReference:
        return syntax.InterfaceReference(None, path, None, Attributes(), self._span(meta))

    def include(self, meta: Meta, attributes: Attributes, path: Path, *renames: syntax.Rename) -> syntax.Include:
        return syntax.Include(path, renames, attributes, self._span(meta))

    def rename(self, meta: Meta, old: Name, new: Name) -> syntax.Rename:
        return syntax.Rename(old, new, self._span(meta))

    # --- type definitions ---

    def type_alias(self, meta: Meta, attributes: Attributes, name: Name, type: syntax.Type) -> syntax.TypeAlias:
        return syntax.TypeAlias(name, type, self._docs(meta), attributes, self._span(meta))

    def record(self, meta: Meta, attributes: Attributes, name: Name, *fields: syntax.Field) -> syntax.Record:
        return syntax.Record(name, fields, self._docs(meta), attributes, self._span(meta))

    def field(self, meta: Meta, name: Name, type: syntax.Type) -> syntax.Field:
        return syntax.Field(name, type, self._docs(meta), self._span(meta))

    def flags(self, meta: Meta, attributes: Attributes, name: Name, *flags: syntax.Label) -> syntax.Flags:
        return syntax.Flags(name, flags, self._docs(meta), attributes, self._span(meta))

    def label(self, meta: Meta, name: Name) -> syntax.Label:
        return syntax.Label(name, self._docs(meta), self._span(meta))

    def variant(self, meta: Meta, attributes: Attributes, name: Name, *cases: syntax.Case) -> syntax.Variant:
        return syntax.Variant(name, cases, self._docs(meta), attributes, self._span(meta))

    def case(self, meta: Meta, name: Name, type: syntax.Type | None) -> syntax.Case:
        return syntax.Case(name, type, self._docs(meta), self._span(meta))

    def enumeration(self, meta: Meta, attributes: Attributes, name: Name, *cases: syntax.Label) -> syntax.Enumeration:
        return syntax.Enumeration(name, cases, self._docs(meta), attributes, self._span(meta))

    def resource(self, meta: Meta, attributes: Attributes, name: Name, *members: syntax.Function) -> syntax.Resource:
        members = tuple(replace(m, sort="method") if m.sort == "freestanding" else m for m in members)
        return syntax.Resource(name, members, self._docs(meta), attributes, self._span(meta))

    # --- functions ---

    def function(self, meta: Meta, attributes: Attributes, name: Name, type: FunctionType) -> syntax.Function:
        return syntax.Function(name, "freestanding", type, self._docs(meta), attributes, self._span(meta))

    def static(self, meta: Meta, attributes: Attributes, name: Name, type: FunctionType) -> syntax.Function:
        return syntax.Function(name, "static", type, self._docs(meta), attributes, self._span(meta))

    def constructor(
        self,
        meta: Meta,
        attributes: Attributes,
        keyword: Token,
        parameters: tuple[syntax.Parameter, ...],
        result: syntax.Type | None,
    ) -> syntax.Function:
        name, type = Name(str(keyword), self._span(keyword)), FunctionType(False, parameters, result, self._span(meta))
        return syntax.Function(name, "constructor", type, self._docs(meta), attributes, self._span(meta))

    def function_type(
        self,
        meta: Meta,
        is_async: Token | None,
        parameters: tuple[syntax.Parameter, ...],
        result: syntax.Type | None,
    ) -> FunctionType:
        return FunctionType(is_async is not None, parameters, result, self._span(meta))

    def parameters(self, meta: Meta, *parameters: syntax.Parameter) -> tuple[syntax.Parameter, ...]:
        return parameters

    def parameter(self, meta: Meta, name: Name, type: syntax.Type) -> syntax.Parameter:
        return syntax.Parameter(name, type, self._span(meta))

    # --- types ---

    def primitive_type(self, meta: Meta, keyword: Token) -> syntax.Primitive:
        return syntax.Primitive(str(keyword), self._span(meta))

    def named_type(self, meta: Meta, name: Name) -> syntax.Named:
        return syntax.Named(name, name.span)

    def own_type(self, meta: Meta, resource: Name) -> syntax.Own:
        return syntax.Own(resource, self._span(meta))

    def borrow_type(self, meta: Meta, resource: Name) -> syntax.Borrow:
        return syntax.Borrow(resource, self._span(meta))

    def tuple_type(self, meta: Meta, *items: syntax.Type) -> syntax.Tuple:
        return syntax.Tuple(items, self._span(meta))

    def list_type(self, meta: Meta, item: syntax.Type, length: Token | None) -> syntax.List:
        if length is None:
            return syntax.List(item, None, self._span(meta))
        digits = length.lstrip("0") or "0"
        if len(digits) > 10 or int(digits) > LONGEST_LIST:
            self._errors.add(WitError("the length of a list is at most 4294967295", self._span(length)))
            digits = "1"
        return syntax.List(item, int(digits), self._span(meta))

    def map_type(self, meta: Meta, key: syntax.Type, value: syntax.Type) -> syntax.Map:
        return syntax.Map(key, value, self._span(meta))

    def option_type(self, meta: Meta, item: syntax.Type) -> syntax.Option:
        return syntax.Option(item, self._span(meta))

    def result_type(self, meta: Meta, ok: syntax.Type | None = None, err: syntax.Type | None = None) -> syntax.Result:
        return syntax.Result(ok, err, self._span(meta))

    def result_without_ok(self, meta: Meta, err: syntax.Type) -> syntax.Result:
        return syntax.Result(None, err, self._span(meta))

    def future_type(self, meta: Meta, item: syntax.Type | None) -> syntax.Future:
        return syntax.Future(item, self._span(meta))

    def stream_type(self, meta: Meta, item: syntax.Type | None) -> syntax.Stream:
        return syntax.Stream(item, self._span(meta))

    # --- tokens ---

    def IDENTIFIER(self, token: Token) -> Name:
        return Name(str(token), self._span(token))
