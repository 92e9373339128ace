"""Running a guest, whether a component or a core module: one call at a time, within its time.

    ticker          the clock of an engine
    stack           how much stack a thread has
    failures        the engine's reports as errors
    runner          the way into a guest
    wasi            the standard streams of a guest
    guest_store     what the stores of components and of core modules share

Nothing here knows what the guest imports.
"""

from __future__ import annotations
