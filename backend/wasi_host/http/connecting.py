"""Connecting to a destination: only ever to an address that was checked, after the name was looked up."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl

from wasi_http_bindings import types
from wasi_http_bindings.types import ErrorCode

from .flows import HttpFailure
from .policy import Address, Destination

#: The most bytes of one read.
READ = 1 << 16
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


async def connected(
    destination: Destination, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the first address that is allowed and answers; with `tls` for `https`, and none for `http`.

    Raises HttpFailure, and SSLError, of which `of_tls` knows the code.
    """
    origin = destination.origin
    failure: HttpFailure = HttpFailure(types.ErrorCodeDestinationIPProhibited())
    for family, address in await _addresses(destination):
        if not destination.allows(address):
            continue
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            await connect(made, str(address), origin.port)
        except OSError as error:
            made.close()
            failure = HttpFailure(_of_connecting(error))
            continue
        except BaseException:
            made.close()
            raise
        if tls is None:
            return await asyncio.open_connection(sock=made, limit=READ)
        return await asyncio.open_connection(sock=made, ssl=tls, server_hostname=origin.host, limit=READ)
    raise failure


async def connect(made: socket.socket, address: str, port: int) -> None:
    """Connect a socket; the address is numeric, so that nothing is looked up again."""
    await asyncio.get_running_loop().sock_connect(made, (address, port))


async def _addresses(destination: Destination) -> list[tuple[int, Address]]:
    """The addresses that the name of a destination has now."""
    origin = destination.origin
    own = origin.address
    if own is not None:
        return [(socket.AF_INET if own.version == 4 else socket.AF_INET6, own)]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HttpFailure(_of_lookup(error)) from None
    return [(family, ipaddress.ip_address(at[0])) for family, *_, at in found if family in _FAMILIES]


def _of_lookup(error: OSError | UnicodeError) -> ErrorCode:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return types.ErrorCodeDNSTimeout()
    return types.ErrorCodeDNSError(types.DNSErrorPayload(None, None))


def _of_connecting(error: OSError) -> ErrorCode:
    if isinstance(error, ConnectionRefusedError):
        return types.ErrorCodeConnectionRefused()
    if isinstance(error, TimeoutError):
        return types.ErrorCodeConnectionTimeout()
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return types.ErrorCodeDestinationIPUnroutable()
    return types.ErrorCodeDestinationUnavailable()


def of_tls(error: ssl.SSLError) -> ErrorCode:
    """The code for a failure of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return types.ErrorCodeTLSCertificateError()
    if "ALERT" in (error.reason or ""):
        return types.ErrorCodeTLSAlertReceived(types.TLSAlertReceivedPayload(None, error.reason))
    return types.ErrorCodeTLSProtocolError()
