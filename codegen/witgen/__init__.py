"""Python host bindings from WIT: parse, resolve, generate.

In process: `witgen.generate.generate` makes the files of a package, `witgen.resolve.resolve` the model that they are
made from. Both raise `WitError` for whatever is wrong with the WIT.
"""

from witgen.diagnostics import WitError

__all__ = ["WitError"]
