"""Processes for work on behalf of strangers: forked from a server that has loaded its modules, confined, and killed.

channel         messages and descriptors between two processes
confinement     taking every right away from a process that it does not need
forkserver      the host's part: starts the server, and workers by it
server          the server's part: forks workers
"""

from __future__ import annotations
