"""Which requests a guest may make: to which destinations, at which addresses, how long, how much.

In: what the operator allows, and what a guest asks for. Out: whether it may, decided by exact comparison. A name that
is allowed leads to no address of the host's own networks, whatever its name server says.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?", re.ASCII
)
_PORTS = {"http": 80, "https": 443}

#: What IANA's registries of special-purpose addresses do not call globally reachable, with multicast, and what wraps
#: IPv4 addresses. Of IPv6, everything is special but 2000::/3.
_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4".split(),
    )
)
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(map(ipaddress.IPv6Network, "2001::/23 2001:db8::/32 2002::/16 3fff::/20".split()))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and of nothing nearer."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address.scope_id is not None or address not in _PUBLIC_V6:
        return False
    return not any(address in network for network in _SPECIAL_V6)


@dataclass(frozen=True)
class Origin:
    """A scheme, a host in lower case and without brackets, and a port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The origin in `https://host` or `http://host:port`; raises ValueError for any other text."""
        found = _ORIGIN.fullmatch(text)
        port = 0 if found is None else int(found["port"] or _PORTS[found["scheme"]])
        if found is None or not 0 < port < 65536:
            raise ValueError(
                f"`{text}` is not an origin; give a scheme, a host and maybe a port: https://example.com:8443"
            )
        host = found["host"].lower()
        if host.startswith("["):
            host = str(ipaddress.IPv6Address(host[1:-1]))
        return cls(found["scheme"], host, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """The host, if it is an address."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> bytes:
        """The field `host` of requests: the port is there if it is not the one of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}").encode()


class Destination:
    """An origin that a guest may send requests to, such as `https://api.example.com` or `http://localhost:8080`.

    The name has to lead to an address of the public internet, or of one of `networks`, such as `10.0.0.0/8`. An origin
    whose host is an address allows that address. Raises ValueError for what is not an origin or a network.
    """

    def __init__(self, origin: str, networks: Sequence[str] = ()) -> None:
        self.origin = Origin.parse(origin)
        self.networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, networks))

    def __str__(self) -> str:
        return "@".join([str(self.origin), *map(str, self.networks)])

    @classmethod
    def parse(cls, text: str) -> Self:
        """A destination as a text: the origin, and `@` before each of its networks."""
        origin, *networks = text.split("@")
        return cls(origin, networks)

    def allows(self, address: Address) -> bool:
        """Whether a connection may be made to an address."""
        if address == self.origin.address or any(
            address in network for network in self.networks if network.version == address.version
        ):
            return True
        return is_public(address)


@dataclass(frozen=True)
class Outgoing:
    """The requests of HTTP that a guest may make.

    `allow` has the destinations, as `Destination` or as texts: `https://api.example.com`, or with its networks
    `http://search.internal:9200@10.0.0.0/8`; scheme, host and port have to be the same. Redirects are not followed.
    Times are in seconds; a guest may ask for less, not for more. `connections` are those that the guest has at a time,
    `request_body` and `response_body` are the most bytes of one body. `tls` is for servers whose certificates are not
    signed by an authority that the system trusts.

    Raises ValueError for a destination that is not valid, and for a number below 1.
    """

    allow: Sequence[str | Destination] = ()
    connect_timeout: float = 10.0
    first_byte_timeout: float = 60.0
    between_bytes_timeout: float = 60.0
    connections: int = 16
    request_body: int = 64 << 20
    response_body: int = 64 << 20
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "first_byte_timeout", "between_bytes_timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"`{name}` is {getattr(self, name)}; give a number of seconds above 0")
        if self.connections < 1:
            raise ValueError(f"`connections` is {self.connections}; give at least 1")
        destinations = [each if isinstance(each, Destination) else Destination.parse(each) for each in self.allow]
        object.__setattr__(self, "allow", tuple(destinations))
        if self.tls is None and any(each.origin.scheme == "https" for each in destinations):
            object.__setattr__(self, "tls", ssl.create_default_context())

    def destination(self, origin: Origin) -> Destination | None:
        """The destination for an origin; None if it is not allowed."""
        return next(
            (each for each in self.allow if isinstance(each, Destination) and each.origin == origin),
            None,
        )
