"""Whose request it is: the address that throttles, logs and the change log know.

Behind a proxy every request comes from the proxy. With `TRUSTED_PROXIES` set, what the proxy says of the client is believed
(in `TRUSTED_PROXY_HEADER`); from anybody else the header means nothing.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# More proxies in a row than anybody has.
MAX_HOPS = 20
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("[^"]*"|[^;\s]+)', re.IGNORECASE)


def client_ip(request: HttpRequest) -> str | None:
    """The address the request came from; behind trusted proxies, the one that the outermost of them saw."""
    peer = _address(request.META.get("REMOTE_ADDR") or "")
    trusted = _networks(tuple(settings.TRUSTED_PROXIES))
    if peer is None or not trusted:
        return peer
    # Each proxy adds whom it saw at the end, so what a client made up stands before what can be believed.
    hops = _hops(request)
    while hops and _is_in(peer, trusted):
        told = _address(hops.pop())
        if told is None:
            break
        peer = told
    return peer


def _hops(request: HttpRequest) -> list[str]:
    header = settings.TRUSTED_PROXY_HEADER
    value = request.META.get("HTTP_" + header.upper().replace("-", "_"), "")
    parts = value.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    return list(_forwarded(parts)) if header == "Forwarded" else parts


def _forwarded(parts: list[str]) -> Iterator[str]:
    for part in parts:
        found = _FOR.search(part)
        yield found[1].strip('"') if found else ""


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(item) for item in trusted)


@lru_cache(maxsize=4096)
def _address(text: str) -> str | None:
    """A bare address, without port, brackets or zone; None for what is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _is_in(address: str, networks: tuple[_Network, ...]) -> bool:
    return any(ipaddress.ip_address(address) in network for network in networks)
