"""Ports for processes that cannot be told to take any free one."""

from __future__ import annotations

import random
import socket
from pathlib import Path

#: Ray's workers take ports up to here, and the system gives those from `SYSTEMS` on to whoever asks for any port.
RAYS = 20_000
SYSTEMS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that no other process gets by chance before it is used."""
    last = int(SYSTEMS.read_text().split()[0]) - 1 if SYSTEMS.exists() else 32_767
    for port in random.sample(range(RAYS, max(last, RAYS + 1_000)), 100):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:  # in use
            continue
    raise OSError(f"no port from {RAYS} to {last} is free")
