"""The runtime for components, whose calls pass values of WIT types.

    linker                  the functions and resources that a host offers
    compiled                a compiled component, and how its bytes cross
    signatures, resource_identities    a component's types compared with those of the bindings
    host_functions          calls of the host
    imports                 the imports of a component, given to it after the comparison
    exports                 calls of the guest
    store                   one component at work

The room for core modules is `core`.
"""

from __future__ import annotations
