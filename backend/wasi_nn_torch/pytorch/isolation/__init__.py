"""Guest-supplied models in a process of their own, which is all that a model can crash, read or keep busy.

    messages     the fixed format of what the two processes say
    blocks       memory that the host writes and the worker reads
    reading      reading the worker's memory
    client       the host's end: asks, waits no longer than the guest's time, and ends the worker
    tensors      tensors in the memory of a worker
    graphs       graphs and contexts in a worker
    engines      other engines in a worker
    worker       the worker's end: loads and computes what the host asks for

The host parses everything that a worker says as hostile input.
"""

from __future__ import annotations
