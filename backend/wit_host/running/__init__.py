"""Running a guest, whether a component or a core module: one call at a time, within its time.

    ticker          the clock of an engine
    stack           the stack that a guest needs and its thread has
    failures        the engine's reports as errors
    runner          the way into a guest
    pipes           writing to pipes whose reader may never read
    wasi            the standard streams of a guest
    guest_store     the common part of the stores of components and of core modules

No module here depends on the imports of a guest.
"""

from __future__ import annotations
