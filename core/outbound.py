"""Requests to addresses that users gave: never to the installation's own network.

The name is resolved here and the connection goes to the very address that was looked at, so that a name cannot mean another
one a moment later. Redirects are not followed. Every address of a name must be public.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore

from core.kernel.errors import Unprocessable

# All of one request, seconds.
TIMEOUT = 10.0
MAX_ANSWER_BYTES = 64 * 1024
PORTS = frozenset({80, 443, 8080, 8443})

# Host and port -> addresses.
Resolver = Callable[[str, int], list[str]]


class AddressRefused(Unprocessable):
    """The address is none that a company may have called."""

    code = "address_refused"
    title = "This address cannot be called"


class CallFailed(Unprocessable):
    """The other side could not be reached, or did not answer in time."""

    code = "call_failed"
    title = "The call failed"


@dataclass(frozen=True, slots=True)
class Called:
    """What the other side answered; of the body the first `MAX_ANSWER_BYTES`."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system finds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in the clothes of IPv6 counts as itself.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def check_url(url: str) -> str:
    """The URL, if one may try to call it.

    Raises: AddressRefused, also for an address that is written as a number. A name is looked up only when it is called.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("This is no web address.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused("A web address that begins with https:// is expected.")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused("An address with a user or password in it is not called.")
    if port is not None and port not in PORTS:
        raise AddressRefused(f"Only these ports are called: {', '.join(map(str, sorted(PORTS)))}.")
    if not url.isascii() or any(letter <= " " or letter == "\\" for letter in url):
        raise AddressRefused("This is no web address.")
    try:
        ipaddress.ip_address(parts.hostname)
    except ValueError:
        return url
    if not is_public(parts.hostname):
        raise AddressRefused("This address is not a public one.")
    return url


class _Backend(httpcore.SyncBackend):
    """Connects to addresses that were looked at, and to no others."""

    def __init__(self, resolver: Resolver) -> None:
        super().__init__()
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = self._resolver(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("the name is unknown") from None
        if not addresses or not all(is_public(address) for address in addresses):
            raise AddressRefused("The name leads to an address that is not a public one.")
        return super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    def connect_unix_socket(self, path: str, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        raise AddressRefused()


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    content: bytes,
    timeout: float = TIMEOUT,
    resolver: Resolver | None = None,
) -> Called:
    """Send one request and read the answer. Do not call it inside a transaction.

    Raises: AddressRefused, CallFailed.
    """
    check_url(url)
    waits = {"connect": timeout, "read": timeout, "write": timeout, "pool": timeout}
    backend = _Backend(resolver or resolve)
    try:
        with (
            httpcore.ConnectionPool(
                network_backend=backend, ssl_context=ssl.create_default_context()
            ) as pool,
            pool.stream(
                method, url, headers=list(headers.items()), content=content, extensions={"timeout": waits}
            ) as answer,
        ):
            body = b""
            for part in answer.iter_stream():
                body += part
                if len(body) >= MAX_ANSWER_BYTES:
                    break
            named = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in answer.headers}
            return Called(answer.status, body[:MAX_ANSWER_BYTES], named)
    except httpcore.TimeoutException:
        raise CallFailed("The other side did not answer in time.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise CallFailed(f"The other side could not be reached ({type(error).__name__}).") from None
