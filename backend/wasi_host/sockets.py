"""`wasi:sockets`: there is no network. Every attempt to make a socket or to look up a name is refused.

A guest therefore never has a socket; the resources are only declared.
"""

from __future__ import annotations

from wasi_bindings import instance_network, ip_name_lookup, network, tcp, tcp_create_socket, udp, udp_create_socket
from wasi_bindings.network import ErrorCode, ErrorCodeException, IpAddressFamily

from .limits import Count


class Network(network.Network):
    """The resource `network`, which nothing can be done with."""

    def __init__(self, handles: Count) -> None:
        handles.add()
        self._handles = handles

    def drop(self) -> None:
        """Count one handle less."""
        self._handles.remove()


class NoSockets(instance_network.Host, tcp_create_socket.Host, udp_create_socket.Host, ip_name_lookup.Host):
    """The functions of `wasi:sockets`."""

    def __init__(self, handles: Count) -> None:
        self._handles = handles

    def instance_network(self) -> Network:
        """Return the network."""
        return Network(self._handles)

    def create_tcp_socket(self, address_family: IpAddressFamily) -> tcp.TcpSocket:
        """Refuse."""
        raise _refused()

    def create_udp_socket(self, address_family: IpAddressFamily) -> udp.UdpSocket:
        """Refuse."""
        raise _refused()

    def resolve_addresses(self, network: network.Network, name: str) -> ip_name_lookup.ResolveAddressStream:
        """Refuse."""
        raise _refused()


def _refused() -> ErrorCodeException:
    return ErrorCodeException(ErrorCode.ACCESS_DENIED)
