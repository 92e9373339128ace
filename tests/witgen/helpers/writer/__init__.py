"""Writes random WIT packages that are valid by construction, as rich as the language.

In: a `random.Random`. Out: a `Project`: texts by file name, and the features to turn on. One module for each step:

    dice        choices, names and gates
    types       type expressions and definitions
    interfaces  interface bodies, functions, resources, `use`
    worlds      imports, exports, includes with renames
    packages    files, `deps/`, nested packages
    layout      tokens → text: white space, and comments, which are documentation in some places

The pieces are strings of tokens with one space between two of them; only `layout` makes text of that. One project in
ten or so is refused for what this writer does not keep track of, such as exports that need an interface both ways.
"""

from tests.witgen.helpers.writer.packages import Project, write_project

__all__ = ["Project", "write_project"]
