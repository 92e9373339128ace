"""Every rule that refuses a file: where the refusal points, and the gist of what it says.

The rules have the order of the language's own list of errors: words, syntax, names, references, structure, gates, and
then what takes several files. A `^` stands in front of the place that has to be named.
"""

import pytest

from witgen.diagnostics import WitError
from witgen.resolver import resolve, resolve_texts

# Each text stands after `package a:b@1.0.0;` and a line end.
RULES = {
    # --- words ---
    "control characters": [
        ("// ^\0", "U\\+0000 is not allowed"),
        ("interface i {^\x0b}", "U\\+000B"),
        ("/* ^\x85 */", "U\\+0085"),
        ("// ^\x7f", "U\\+007F"),
    ],
    "characters that turn the text around": [("// ^\u202e", "U\\+202E"), ("// ^\u2066", "U\\+2066")],
    "discouraged characters": [("// ^\u0149", "not allowed"), ("// ^\u17a3", "allowed"), ("// ^\u17b5", "allowed")],
    "a carriage return alone": [("interface i {^\r}", "unexpected character U\\+000D")],
    "characters that are no token": [
        ("interface i { ^# }", "unexpected character `#`"),
        ("interface i { ^\u20ac }", "unexpected character"),
        ("interface i { f: func(a: list<u8>^>) }", "expected"),
        ("interface i { f: ^*; }", "unexpected character `\\*`"),
        ("interface i { ^-a: func(); }", "unexpected character `-`"),
    ],
    "text that is not UTF-8": [("// ^\udcff", "not UTF-8"), ("interface i {} ^\udcc3", "not UTF-8")],
    "words that are no identifiers": [
        ("interface ^Apple {}", "`Apple` is not an identifier"),
        ("interface ^a_b {}", "not an identifier"),
        ("interface ^a--b {}", "not an identifier"),
        ("interface ^a- {}", "not an identifier"),
        ("interface ^% {}", "`%` is not an identifier"),
        ("interface ^%-a {}", "`%-a` is not an identifier"),
        ("interface i { type ^caf\u00e9 = u8; }", "`caf\u00e9` is not an identifier"),
        ("interface i { f: func(^_x: u8); }", "not an identifier"),
        ("use c:^Dd/e;", "not an identifier"),
    ],
    "numbers where names begin": [("interface ^0a {}", "expected a name, found `0`")],
    "comments that are never closed": [("^/* /* */", "never closed"), ("interface i {} ^/*/", "never closed")],
    "strings that are never closed": [('interface i { @external-id(^"x) f: func(); }', "not complete")],
    "strings with a raw control character": [('interface i { @external-id(^"\t") f: func(); }', "not complete")],
    "strings with a bad escape": [
        (r'interface i { @external-id("^\q") f: func(); }', "unknown escape"),
        (r'interface i { @external-id("^\u{110000}") f: func(); }', "is not a character"),
        (r'interface i { @external-id("^\u{d800}") f: func(); }', "is not a character"),
        (r'interface i { @external-id("^\u{1__0}") f: func(); }', "unknown escape"),
    ],
    "strings whose bytes are not UTF-8": [(r'interface i { @external-id(^"\ff") f: func(); }', "not UTF-8")],
    "keywords as identifiers": [
        ("interface ^list {}", "expected a name, found `list`"),
        ("interface i { record ^from { a: u8 } }", "found `from`"),
        ("interface i { record r { ^type: u8 } }", "found `type`"),
        ("interface i { f: func(a: u8, ^own: u8); }", "found `own`"),
        ("interface i { enum e { ^static } }", "found `static`"),
        ("package x:^async {}", "found `async`"),
    ],
    # --- syntax ---
    "versions that are not semantic": [
        ("use x:y/z@^1.0;", "expected a version"),
        ("use x:y/z@^01.0.0;", "not a version"),
        ("use x:y/z@^1.0.0-01;", "not a version"),
        ("use x:y/z@^1.0.18446744073709551616;", "not a version"),
    ],
    "a semicolon that is missing": [
        ("interface i { a: func() ^b: func(); }", "expected .*`;`"),
        ("interface i { type t = u8 ^}", "expected `;`"),
        ("interface i { resource r ^}", "expected `{` or `;`"),
        ("use i^", "expected .*`;`"),
    ],
    "a semicolon too many": [
        ("interface i {}^;", "found `;`"),
        ("world w { include v with { a as b }^; }", "found `;`"),
        ("interface i { record r {}^; }", "found `;`"),
    ],
    "a type that is missing": [
        ("interface i { type t = ^; }", "expected a type"),
        ("interface i { f: func(a: ^); }", "expected a type"),
        ("interface i { record r { a: ^, } }", "expected a type"),
        ("interface i { f: func() -> ^; }", "expected a type"),
    ],
    "a comma after the type of a list, option, result or map": [
        ("interface i { type t = list<u8,^>; }", "expected a number"),
        ("interface i { type t = option<u8^,>; }", "expected `>`"),
        ("interface i { type t = result<u8,^>; }", "expected a type"),
        ("interface i { type t = map<u8, u8^,>; }", "expected `>`"),
    ],
    "a list whose length is no number": [("interface i { type t = list<u8, ^u32>; }", "expected a number")],
    "a list whose length has more than 32 bits": [
        ("interface i { type t = list<u8, ^4294967296>; }", "at most 4294967295"),
        ("interface i { type t = list<u8, ^99999999999999999999999999>; }", "at most 4294967295"),
    ],
    "a result with nothing on either side": [("interface i { type t = result<_^>; }", "expected `,`")],
    "async without func, before static, or before constructor": [
        ("interface i { a: async^(); }", "expected `func`"),
        ("interface i { resource r { a: async ^static func(); } }", "expected `func`"),
        ("interface i { resource r { ^async constructor(); } }", "or a constructor, method"),
    ],
    "an interface inside a resource": [("interface i { resource r { ^interface j {} } }", "found `interface`")],
    "results that are named or in parentheses": [
        ("interface i { f: func() -> ^(); }", "expected a type"),
        ("interface i { f: func() -> ^(a: u8); }", "expected a type"),
    ],
    "a second package line": [("package c:d^;", "expected `{`"), ("interface i {}\npackage c:d^;", "expected `{`")],
    "a brace that is not closed": [
        ("interface i {\n^", "found the end of the file"),
        ("interface i { resource r {^", "found the end of the file"),
        ("world w { import a: interface {}\n\n^", "found the end of the file"),
    ],
    "a path or a colon on the left of a with": [
        ("world w { include v with { a^:b as c } }", "expected `as`"),
        ("world w { include v with { a^/b as c } }", "expected `as`"),
        ("world w { include v with { a^:b/c as d } }", "expected `as`"),
    ],
    "a path without its package": [("use x^/y;", "found `/`"), ("use x:y^;", "expected `/`")],
    "a path that is nested deeper": [("use a:b/c^/d;", "found `/`")],
    "a handle of a type expression": [("interface i { type t = own<^u32>; }", "expected a name")],
    "types that are nested too deep": [
        ("interface i { type t = " + "list<" * 100 + "list^<u8" + ">" * 101 + "; }", "100 levels"),
    ],
    "statements that stand in the wrong place": [
        ("world w { ^f: func(); }", "or an import, export"),
        ("interface i { ^import f: func(); }", "found `import`"),
        ("^f: func();", "or an interface, world"),
        ("^record r {}", "or an interface, world"),
        ("interface i { resource r { a: ^interface {} } }", "found `interface`"),
    ],
    "attributes that are malformed": [
        ("@since ^interface i {}", "expected `\\(`"),
        ("@since(^) interface i {}", "expected a name"),
        ("@since(^feature = x) interface i {}", "`@since` is malformed"),
        ("@since(version = ^x) interface i {}", "malformed"),
        ("@since(version = ^1) interface i {}", "expected a name or a version"),
        ("@unstable(feature = ^1.0.0) interface i {}", "malformed"),
        ("@since(^\"1.0.0\") interface i {}", "malformed"),
        ("@external-id(^x) interface i {}", "malformed"),
        ("@since(version = 1.0.0^, feature = x) interface i {}", "expected `\\)`"),
    ],
    "attributes that are unknown": [("@^stable(feature = x) interface i {}", "`@stable` is not an attribute")],
    "attributes that are there twice": [
        ("@since(version = 1.0.0) @^since(version = 1.0.0) interface i {}", "given twice"),
        ('@external-id("a") @^external-id("a") interface i {}', "given twice"),
    ],
    "attributes that exclude each other": [
        ("@since(version = 1.0.0) @^unstable(feature = x) interface i {}", "either"),
    ],
    "deprecated without since or unstable": [("@^deprecated(version = 1.0.0) interface i {}", "needs `@since`")],
    "attributes in front of a use or package at the top": [
        ("@unstable(feature = x) ^use i as j; interface i {}", "found `use`"),
        ("@unstable(feature = x) ^package c:d {}", "found `package`"),
    ],
    "attributes on fields, cases, flags and parameters": [
        ("interface i { record r { ^@since(version = 1.0.0) a: u8 } }", "found `@`"),
        ("interface i { enum e { ^@since(version = 1.0.0) a } }", "found `@`"),
        ("interface i { flags f { ^@since(version = 1.0.0) a } }", "found `@`"),
        ("interface i { f: func(^@since(version = 1.0.0) a: u8); }", "found `@`"),
    ],
    # --- names ---
    "two interfaces or worlds of one name": [
        ("interface i {} interface ^i {}", "`i` is declared twice"),
        ("interface i {} world ^i {}", "declared twice"),
        ("interface i {} interface ^%i {}", "declared twice"),
        ("package c:d { world w {} world ^w {} }", "declared twice"),
    ],
    "two equal names in a file": [
        ("use j as i; interface ^i {} interface j {}", "declared twice in this file"),
        ("use j as x; use k as ^x; interface j {} interface k {}", "declared twice in this file"),
    ],
    "two equal names in an interface": [
        ("interface i { type a = u8; record ^a {} }", "`a` is defined twice"),
        ("interface i { type a = u8; ^a: func(); }", "defined twice"),
        ("interface i { f: func(); ^f: func(); }", "defined twice"),
        ("interface i { use j.{b}; type ^b = u8; } interface j { type b = u8; }", "defined twice"),
        ("interface i { use j.{b, b as ^b}; } interface j { type b = u8; }", "defined twice"),
        ("world w { import x: interface { f: func(); ^f: func(); } }", "defined twice"),
    ],
    "two equal names in a world": [
        ("world w { type a = u8; resource ^a; }", "defined twice"),
        ("world w { use i.{t}; type ^t = u8; } interface i { type t = u8; }", "defined twice"),
    ],
    "names in an interface that differ only in case": [
        ("interface i { foo: func(); ^FOO: func(); }", "`FOO` and `foo` differ only in case"),
        ("interface i { type t = u8; enum ^T { a } }", "differ only in case"),
        ("interface i { type t = u8; ^T: func(); }", "differ only in case"),
        ("interface i { resource r-b; ^R-b: func(); }", "differ only in case"),
        ("interface i { use j.{t, t as ^T}; } interface j { type t = u8; }", "differ only in case"),
        ("interface i { use j.{t}; ^T: func(); } interface j { type t = u8; }", "differ only in case"),
        ("interface i { f: func(); @unstable(feature = off) ^F: func(); }", "differ only in case"),
        ("world w { export x: interface { f: func(); ^F: func(); } }", "differ only in case"),
        ("package c:d { interface i { f: func(); ^F: func(); } }", "differ only in case"),
    ],
    "parameters that differ only in case": [
        ("interface i { f: func(a: u8, ^A: u8); }", "`A` and `a` differ only in case"),
        ("interface i { resource r { m: func(^SELF: u8); } }", "parameter `SELF` is declared twice"),
        ("interface i { resource r { constructor(a: u8, ^A: u8); } }", "differ only in case"),
        ("interface i { resource r { m: static func(a: u8, ^A: u8); } }", "differ only in case"),
        ("interface i { @unstable(feature = off) f: func(a: u8, ^A: u8); }", "differ only in case"),
        ("world w { import f: func(a: u8, ^A: u8); }", "differ only in case"),
    ],
    "members of a resource that differ only in case": [
        ("interface i { resource r { m: func(); ^M: func(); } }", "`M` and `m` differ only in case"),
        ("interface i { resource r { m: func(); ^M: static func(); } }", "differ only in case"),
        ("world w { resource r { m: static func(); ^M: static func(); } }", "differ only in case"),
        ("world w { export x: interface { resource r { m: func(); ^M: func(); } } }", "differ only in case"),
    ],
    "a member that is called like its resource": [
        ("interface i { resource r { ^r: func(); } }", "`\\[method\\]r.r` and `r` are the same name to a component"),
        ("interface i { resource r { ^R: static func(); } }", "`\\[static\\]r.R` and `r` are the same name"),
        ("world w { resource r { ^r: func(); } }", "the same name to a component"),
        ("world w { include ^v with { r as m } } world v { resource r { m: func(); } }", "the same name to"),
        ("world w { include ^v with { r as M } } world v { resource r { m: func(); } }", "the same name to"),
    ],
    "two equal parameters": [
        ("interface i { f: func(a: u8, ^a: u8); }", "parameter `a` is declared twice"),
        ("interface i { resource r { m: func(^self: u8); } }", "parameter `self` is declared twice"),
        ("interface i { resource r { constructor(a: u8, ^a: u8); } }", "parameter `a`"),
        ("world w { export f: func(a: u8, ^a: u8); }", "parameter `a`"),
    ],
    "two equal members of a resource": [
        ("interface i { resource r { m: func(); ^m: func(); } }", "has a function `m` twice"),
        ("interface i { resource r { m: func(); ^m: static func(); } }", "has a function `m` twice"),
        ("world w { resource r { m: static func(); ^m: static func(); } }", "has a function `m` twice"),
    ],
    "two constructors": [
        ("interface i { resource r { constructor(); ^constructor(); } }", "has a constructor twice"),
    ],
    "two equal fields, cases or flags": [
        ("interface i { record r { a: u8, ^a: u8 } }", "a field `a` twice"),
        ("interface i { flags f { a, ^a } }", "a flag `a` twice"),
        ("interface i { variant v { a, ^a(u8) } }", "a case `a` twice"),
        ("interface i { enum e { a, ^A } }", "differ only in case"),
    ],
    "two plain imports or exports of one name": [
        ("world w { import f: func(); import ^f: func(); }", "defined twice"),
        ("world w { import f: func(); import ^f: interface {} }", "defined twice"),
        ("world w { import f: i; import ^f: i; } interface i {}", "defined twice"),
        ("world w { type f = u8; import ^f: func(); }", "defined twice"),
        ("world w { use i.{t}; import ^t: func(); } interface i { type t = u8; }", "defined twice"),
        ("world w { export f: func(); export ^f: i; } interface i {}", "defined twice"),
        ("world w { export f: interface {} export ^f: func(); }", "defined twice"),
    ],
    "plain names that differ only in case": [
        ("world w { import f: func(); import ^F: func(); }", "differ only in case"),
        ("world w { export f: func(); export ^F: interface {} }", "differ only in case"),
        ("world w { import f: func(); include ^v; } world v { import F: func(); }", "differ only in case"),
        ("world w { import f: func(); import ^F: func(); export F: func(); }", "differ only in case"),
        ("world w { import f: func(); @unstable(feature = off) import ^F: func(); }", "differ only in case"),
        ("world w { type t = u8; import ^T: func(); }", "differ only in case"),
        ("world w { use i.{t}; resource ^T; } interface i { type t = u8; }", "differ only in case"),
        ("world w { export f: func(); include ^v; } world v { import f: func(); export F: func(); }", "only in case"),
    ],
    "an interface that is imported or exported twice": [
        ("world w { import i; import ^i; } interface i {}", "imported twice"),
        ("world w { export i; export ^i; } interface i {}", "exported twice"),
        ("use i as j; world w { import i; import ^j; } interface i {}", "imported twice"),
        ("world w { import c:d/i; import c:d/^i; } package c:d { interface i {} }", "imported twice"),
    ],
    "an include that shadows": [
        ("world w { include ^v; import f: func(); } world v { import f: func(); }", "shadows"),
        ("world w { include v; include ^v; } world v { export f: func(); }", "shadows"),
        ("world w { include u; include ^v; } world u { resource r; } world v { type r = u8; }", "shadows"),
        ("world w { import g: func(); include ^v with { f as g } } world v { import f: func(); }", "shadows"),
    ],
    "a with that names nothing": [
        ("world w { include v with { ^g as h } } world v { import f: func(); }", "has no `g`"),
        ("world w { include v with { ^i as j } } world v { import i; } interface i {}", "has no `i`"),
    ],
    "a with that names one thing twice": [
    ],
    # --- references ---
    "unknown types": [
        ("interface i { f: func(a: list<^t>); }", "type `t` is not defined"),
        ("interface i { type t = u8; } interface j { f: func(a: ^t); }", "type `t` is not defined"),
        ("interface i { f: func(a: ^float32); }", "type `float32` is not defined"),
        ("interface i { f: func(a: own<^r>); }", "not defined"),
        ("world w { type t = u8; import x: interface { f: func(a: ^t); } }", "not defined"),
    ],
    "functions used as types": [
        ("interface i { f: func(a: ^f); }", "`f` is the name of a function"),
        ("world w { import f: func(); type t = ^f; }", "the name of a function"),
        ("world w { import x: i; type t = ^x; } interface i {}", "the name of an interface"),
    ],
    "unknown interfaces and worlds": [
        ("interface i { use ^j.{t}; }", "`j` is not defined"),
        ("interface i { use ^j.{}; }", "`j` is not defined"),
        ("world w { import ^x; }", "`x` is not defined"),
        ("world w { export a: ^x; }", "`x` is not defined"),
        ("world w { include ^x; }", "`x` is not defined"),
        ("use ^x as y;", "`x` is not defined"),
        ("world w { import a: interface { use ^x.{}; } }", "`x` is not defined"),
    ],
    "names at the top that go in circles": [("use ^x as x;", "itself"), ("use ^y as x; use x as y;", "itself")],
    "a world where an interface is meant": [
        ("interface i { use ^w.{t}; } world w {}", "`w` is a world"),
        ("world w { import ^w; }", "`w` is a world"),
        ("world w { export ^v; } world v {}", "`v` is a world"),
        ("world w { import x: ^v; } world v {}", "`v` is a world"),
        ("world w { import x:y/^v; } package x:y { world v {} }", "`v` is a world"),
        ("use x:y/^z; package x:y { world z {} }", "`z` is a world"),
        ("world w { use ^v.{t}; } world v {}", "`v` is a world"),
    ],
    "an interface where a world is meant": [
        ("world w { include ^i; } interface i {}", "`i` is an interface"),
        ("world w { include x:y/^i; } package x:y { interface i {} }", "`i` is an interface"),
        ("use x:y/i as j; world w { include ^j; } package x:y { interface i {} }", "is an interface"),
    ],
    "unknown packages": [
        ("interface i { use ^x:y/z.{t}; }", "package `x:y` is not known"),
        ("world w { include ^x:y/z; } package x:y@1.0.0 {}", "package `x:y` is not known"),
        ("use ^x:y/z@1.0.1; package x:y@1.0.0 {}", "package `x:y@1.0.1` is not known"),
    ],
    "unknown interfaces, worlds and types of a package": [
        ("interface i { use x:y/^z.{}; } package x:y {}", "package `x:y` has no interface `z`"),
        ("world w { include x:y/^z; } package x:y {}", "has no world `z`"),
        ("interface i { use x:y/z.{^t}; } package x:y { interface z {} }", "interface `z` has no type `t`"),
        ("world w { import x:y/^z; } package x:y {}", "has no interface `z`"),
    ],
    "a use of nothing or of a function": [
        ("interface i { use j.{^t}; } interface j {}", "has no type `t`"),
        ("interface i { use j.{^f}; } interface j { f: func(); }", "`f` is a function"),
        ("world w { use j.{^f as g}; } interface j { f: func(); }", "`f` is a function"),
    ],
    "a handle of what is no resource": [
        ("interface i { type t = u8; f: func(a: borrow<^t>); }", "`t` is not a resource"),
        ("interface i { resource r; type t = own<r>; f: func(a: own<^t>); }", "not a resource"),
        ("interface i { use x:y/z.{t}; f: func(a: borrow<^t>); } package x:y { interface z { type t = u8; } }", "not"),
    ],
    # --- structure ---
    "types that contain themselves": [
        ("interface i { type a = ^a; }", "type `a` depends on itself"),
        ("interface i { type a = ^b; type b = list<c>; record c { a: option<a> } }", "type `b` depends on itself"),
        ("interface i { record a { b: u8, a: ^a } }", "type `a`"),
        ("interface i { variant v { a(result<_, ^v>) } }", "type `v`"),
        ("world w { type a = tuple<^b>; type b = future<a>; }", "type `b`"),
        ("interface i { type a = own<^b>; type b = a; }", "type `b`"),
    ],
    "interfaces that use themselves": [
        ("interface ^i { use i.{t}; }", "`i` depends on itself"),
        ("interface i { use j.{t}; } interface ^j { use i.{t}; }", "`j` depends on itself"),
    ],
    "worlds that include themselves": [
        ("world ^w { include w; }", "`w` depends on itself"),
        ("world w { include v; } world ^v { include w; }", "`v` depends on itself"),
    ],
    "packages that need themselves": [
        ("interface i { use ^a:b/j@1.0.0.{t}; } interface j { type t = u8; }", "`a:b@1.0.0` depends on itself"),
        ("package c:d { use e:f/x; interface y {} } package e:f { use ^c:d/y; interface x {} }", "`c:d` depends"),
    ],
    "enums and variants without cases": [
        ("interface i { enum ^e {} }", "enum `e` has no cases"),
        ("interface i { variant ^v {} }", "variant `v` has no cases"),
    ],
    "map keys that cannot be compared": [
        ("interface i { type k = u8; type m = ^map<k, u8>; }", "cannot be the key"),
        ("interface i { f: func(a: ^map<f32, u8>); }", "cannot be the key"),
        ("interface i { f: func(a: list<^map<list<u8>, u8>>); }", "cannot be the key"),
        ("interface i { f: func(a: ^map<error-context, u8>); }", "cannot be the key"),
    ],
    "a borrow in a result": [
        ("interface i { resource r; ^f: func() -> option<borrow<r>>; }", "result of `f` has a borrowed handle"),
        ("interface i { resource r; record x { r: borrow<r> } resource s { ^f: static func() -> list<x>; } }", "has"),
        ("interface i { resource r { ^m: func() -> borrow<r>; } }", "borrowed handle"),
        ("interface i { resource r { ^constructor() -> result<r, borrow<r>>; } }", "borrowed handle"),
        ("world w { resource r; export ^f: func() -> result<_, borrow<r>>; }", "borrowed handle"),
        (
            "interface i { use c:d/j.{t}; ^f: func() -> t; }"
            "package c:d { interface j { resource r; type t = borrow<r>; } }",
            "borrowed handle",
        ),
    ],
    "a constructor that makes something else": [
        ("interface i { resource r { constructor() -> ^r; } }", "cannot have this result"),
        ("interface i { resource r { constructor() -> ^result<_, u8>; } }", "cannot have this result"),
        ("interface i { resource r { constructor() -> ^result; } }", "cannot have this result"),
        ("interface i { resource r { constructor() -> result<^u8>; } }", "cannot make another type"),
        ("interface i { resource s; resource r { constructor() -> result<^s>; } }", "cannot make another type"),
    ],
    "a package that is defined twice": [
        ("package c:d {} package ^c:d {}", "package `c:d` is defined twice"),
        ("package ^a:b@1.0.0 {}", "package `a:b@1.0.0` is defined twice"),
    ],
    "a package inside a nested package": [("package c:d { package ^e:f {} }", "may not contain another package")],
    "exports that reach an interface both ways": [
        (
            "interface a { type t = u8; } interface b { use a.{t}; } interface c { use b.{t}; }"
            "world ^w { export a; export c; }",
            "incompatible ways",
        ),
        (
            "interface a { type t = u8; } interface b { use a.{t}; } interface c { use b.{t}; }"
            "world ^w { export c; export a; }",
            "incompatible ways",
        ),
    ],
    # --- gates ---
    "since a version that the package has not": [
        ("@since(version = 1.0.1) interface ^i {}", "only since version 1.0.1"),
        ("interface i { @since(version = 2.0.0) ^f: func(); }", "only since"),
        ("interface i { resource r { @since(version = 2.0.0) ^constructor(); } }", "only since"),
        ("interface i { @since(version = 2.0.0) type ^t = u8; }", "only since"),
        ("world w { @since(version = 2.0.0) import ^i; } interface i {}", "only since"),
        ("world w { @since(version = 2.0.0) include ^v; } world v {}", "only since"),
        ("world w { import x: interface { @since(version = 2.0.0) ^f: func(); } }", "only since"),
    ],
    "since in a package without a version": [
        ("package c:d { @since(version = 1.0.0) interface ^i {} }", "needs a version of package `c:d`"),
    ],
    "a kept function that mentions what is hidden": [
        ("interface i { @unstable(feature = x) type t = u8; ^f: func(a: t); }", "needs feature `x`, which is off"),
        ("interface i { @unstable(feature = x) type t = u8; ^f: func() -> list<t>; }", "which is off"),
        ("interface i { @unstable(feature = x) resource r { ^m: func(); } }", "which is off"),
        ("interface i { @unstable(feature = x) resource r { ^constructor(); } }", "which is off"),
    ],
    "a kept type that mentions what is hidden": [
        ("interface i { @unstable(feature = x) type t = u8; type ^u = t; }", "which is off"),
        ("interface i { @unstable(feature = x) type t = u8; record r { a: u8, ^b: t } }", "which is off"),
        ("interface i { @unstable(feature = x) type t = u8; variant ^v { a(t) } }", "which is off"),
    ],
    "a kept type inside something hidden": [
        ("@unstable(feature = x) interface i { type ^t = u8; }", "kept inside something that is hidden"),
        ("@unstable(feature = x) world w { type ^t = u8; }", "kept inside something that is hidden"),
    ],
    "a kept include, import, export or use of what is hidden": [
        ("@unstable(feature = x) world v {} world w { include ^v; }", "world `v` is hidden"),
        ("@unstable(feature = x) interface i {} world w { import ^i; }", "interface `i` is hidden"),
        ("@unstable(feature = x) interface i {} world w { export a: ^i; }", "interface `i` is hidden"),
        ("interface i { use c:d/^j.{}; } package c:d { @unstable(feature = x) interface j {} }", "`j` is hidden"),
        ("world w { include c:d/^v; } package c:d { @unstable(feature = x) world v {} }", "`v` is hidden"),
    ],
    "an include that brings another gate": [
        (
            "world w { @since(version = 1.0.0) import i; include ^v; } interface i {}"
            "world v { @since(version = 0.1.0) import i; }",
            "another gate",
        ),
    ],
}  # fmt: skip


def place_of_mark(text):
    before = text[: text.index("^")]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def assert_refused(error, place, gist):
    assert (error.line, error.column) == place, f"the place is wrong:\n{error}"
    assert error.others == (), f"one fault has several errors:\n{error}"
    with pytest.raises(WitError, match=gist):
        raise error


@pytest.mark.parametrize(
    ("marked", "gist"),
    [pytest.param(*case, id=f"{rule}-{n}") for rule, cases in RULES.items() for n, case in enumerate(cases)],
)
def test_a_broken_rule_is_refused_at_the_place_to_fix(marked, gist):
    text = f"package a:b@1.0.0;\n{marked}"
    with pytest.raises(WitError) as caught:
        resolve_texts({"test.wit": text.replace("^", "").encode("utf-8", "surrogateescape")})
    assert_refused(caught.value, place_of_mark(text), gist)


# The first file with a mark is the one to be named; `deps/…` are packages beside the main one.
FILE_RULES = {
    "no package line": [
        ({"a.wit": "^interface i {}"}, "no `package` line"),
        ({"a.wit": "^"}, "no `package` line"),
        ({"a.wit": "^package c:d {}"}, "no `package` line"),
        ({"a.wit": "package a:b;", "deps/x.wit": "^interface i {}"}, "no `package` line"),
    ],
    "differing package lines": [
        ({"a.wit": "package a:b;", "b.wit": "package ^a:c;"}, "agree on its name"),
        ({"a.wit": "package a:b@1.0.0;", "b.wit": "package ^a:b;"}, "agree on its name"),
    ],
    "documentation on two package lines": [
        ({"a.wit": "/// one\npackage a:b;", "b.wit": "\n^// two\npackage a:b;"}, "documentation in two files"),
    ],
    "two interfaces of one name in two files": [
        ({"a.wit": "package a:b;\ninterface i {}", "b.wit": "interface ^i {}"}, "declared twice"),
    ],
    "a name that a sibling file gave": [
        ({"a.wit": "package a:b;\nuse i as j;\ninterface i {}", "b.wit": "world w { import ^j; }"}, "not defined"),
    ],
    "a package that two dependencies define": [
        ({"a.wit": "package a:b;", "deps/x.wit": "package c:d;", "deps/y.wit": "package ^c:d;"}, "defined twice"),
        ({"a.wit": "package a:b;", "deps/x.wit": "package ^a:b;"}, "defined twice"),
    ],
    "packages that need each other": [
        (
            {
                "a.wit": "package a:b;\ninterface i { use c:d/j.{}; }",
                "deps/x.wit": "package c:d;\ninterface j { use ^a:b/i.{}; }",
            },
            "`a:b` depends on itself",
        ),
    ],
    "an error in a dependency": [
        ({"a.wit": "package a:b;", "deps/x.wit": "package c:d;\ninterface i { f: func(a: ^t); }"}, "not defined"),
    ],
    "a dependency that is called a binary": [
        ({"a.wit": "package a:b;", "deps/x.wasm": "^package c:d;"}, "not a WebAssembly binary"),
        ({"a.wit": "package a:b;", "deps/x.wasm": "^"}, "the file is empty"),
        ({"a.wit": "package a:b;", "deps/x.wat": "^ \n"}, "the file is empty"),
        ({"a.wit": "package a:b;", "deps/x.wat": "(component\n  ^package)"}, "not WebAssembly text"),
    ],
    "a dependency that is a component": [({"a.wit": "package a:b;", "deps/x.wat": "^(component)"}, "is a component")],
    "a directory without WIT": [({"notes.txt": "", ".": "^"}, "no `.wit` file")],
    "a dependency without WIT": [({"a.wit": "package a:b;", "deps/x/notes.txt": "", "deps/x": "^"}, "no `.wit` file")],
}


@pytest.mark.parametrize(
    ("files", "gist"),
    [pytest.param(*case, id=f"{rule}-{n}") for rule, cases in FILE_RULES.items() for n, case in enumerate(cases)],
)
def test_a_rule_about_files_is_enforced_at_the_place_to_fix(tmp_path, files, gist):
    for name, marked in files.items():
        if not (tmp_path / name).is_dir():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(marked.replace("^", ""))
    with pytest.raises(WitError) as caught:
        resolve(tmp_path)
    (name,) = (name for name, marked in files.items() if "^" in marked)
    assert caught.value.file == str(tmp_path / name)
    assert_refused(caught.value, place_of_mark(files[name]), gist)
