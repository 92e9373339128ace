"""Component binaries, rewritten before they are compiled.

In: the bytes of a component, which is untrusted. Out: bytes that the engine accepts, whose `list<u8>` cross faster.

Reading, from small to large:

    binary              numbers and names
    parts               the parts of types and definitions, with their places
    types               type sections
    function_types      parameters and results
    core_types          types of core modules inside types of components
    sections            the sections at every depth; edits within them → the component again
    definitions         the definitions of each section, and the indices that each refers to
    canonical_functions the definitions of a section of canonical functions
    index_spaces        the definitions of a component by index, and the uses of each

Understanding:

    shapes              types → their core values in the canonical ABI, and whether bytes are in them
    instance_types, root_types    the types of an instance, and of the component
    uses                whether the uses of an import allow its type to change
    outer_types         the types that components inside the component use
    exported_functions  the exported functions by name
    named_types         types with names
    core_sections, core_memories  the sections of core modules, and their memories
    obstacles           why something stays as it is

Changing:

    address_types       the type of an instance, with bytes as addresses
    bridge_code         instructions of functions between the guest and the host
    bridges             the core module with such functions
    bridge_insertion    such modules inside a component, and the indices after them
    served_imports      all imports that a host serves
    encoding            names, vectors and sections
    outer_component     a component around another one
    waiting_imports     the imports with functions that wait
    slicing_text, slicing_code, slicing_imports    the component that waits in slices, and what it imports

The six steps, each a component → a component; the first one takes core modules too:

    memory_images       the first content of the memory apart from the guest
    fixed_length_lists  lists of fixed length as tuples
    by_address          bytes as addresses
    as_strings          bytes as strings
    exported_lists      lists of numbers of exported functions as addresses
    sliced_waits        functions that wait as functions that can be interrupted

Reading takes time in proportion to the bytes read. Of core modules, only the heads of the sections are read, and the
segments of the memory. A component that cannot be read is an `InvalidComponent`, which has the place in the bytes.
"""

from __future__ import annotations

from .as_strings import pass_as_strings
from .binary import InvalidComponent
from .bridge_code import NO_PLACE, TOO_LONG, TOO_LONG_BITS
from .by_address import pass_by_address
from .exported_lists import ListExport, WithExports, export_by_address
from .fixed_length_lists import replace_fixed_length_lists
from .memory_images import Image, Imaged, take_image
from .obstacles import Obstacle
from .served_imports import Rewritten
from .sliced_waits import Sliced, slice_waits

__all__ = [
    "NO_PLACE",
    "TOO_LONG",
    "TOO_LONG_BITS",
    "Image",
    "Imaged",
    "InvalidComponent",
    "ListExport",
    "Obstacle",
    "Rewritten",
    "Sliced",
    "WithExports",
    "export_by_address",
    "pass_as_strings",
    "pass_by_address",
    "replace_fixed_length_lists",
    "slice_waits",
    "take_image",
]
