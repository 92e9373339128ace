"""Processes for work on behalf of strangers: forked from a server that has loaded its modules, confined, and killed.

forkserver      the host's part: starts the server, and workers by it
server          the server's part: forks workers
channel         messages and descriptors between two processes
confinement     taking away from a process every right that it does not need
landlock        … files, network, signals
seccomp, bpf    … system calls
rlimits         … memory, processor time, threads
kernel          the calls of Linux that these need
"""

from __future__ import annotations
