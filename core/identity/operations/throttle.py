"""Guessing is slow: tries are counted in PostgreSQL before they are judged, per account, per address and per known device.

A try is claimed first and given back when it was right, so that a hundred tries at once cannot all slip through. After
the free ones each further try waits twice as long as the one before, up to a quarter of an hour for an account and a
minute for an address, which many may share; nobody is locked out for good.

A device that has signed in to an account before (`core.identity.devices`) has a counter of its own, so that whoever
guesses from elsewhere, or from the same address, does not keep it out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from core.kernel.errors import TooManyRequests
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import database

FIRST_DELAY_SECONDS = 10
LONGEST_DELAY_SECONDS = 900
# Of an address, whose other people wait too.
LONGEST_ADDRESS_DELAY_SECONDS = 60
# Failures are forgotten when none came for so long.
MEMORY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Tries:
    """What is counted, and how many tries are free."""

    key: str
    free: int
    longest: int = LONGEST_DELAY_SECONDS


def of_account(email: str) -> Tries:
    return Tries(f"account:{email}", 5)


def of_address(ip: str | None) -> Tries:
    """Many people may share an address; one customer's IPv6 addresses share their first 64 bits."""
    return Tries(f"address:{_network(ip)}", 100, LONGEST_ADDRESS_DELAY_SECONDS)


def of_device(device_id: str) -> Tries:
    """A device that is known to the account."""
    return Tries(f"device:{device_id}", 5)


def of_own_password(user_id: UUID) -> Tries:
    """Somebody who is signed in and gives their present password."""
    return Tries(f"own-password:{user_id}", 5)


def of_registration(ip: str | None) -> Tries:
    return Tries(f"register:{_network(ip)}", 10, LONGEST_ADDRESS_DELAY_SECONDS)


def of_registering(email: str) -> Tries:
    return Tries(f"registering:{email}", 3)


def of_reset(email: str) -> Tries:
    return Tries(f"reset:{email}", 3)


def of_reset_address(ip: str | None) -> Tries:
    return Tries(f"reset-address:{_network(ip)}", 30, LONGEST_ADDRESS_DELAY_SECONDS)


def _network(ip: str | None) -> str:
    if not ip:
        return "unknown"
    address = ipaddress.ip_address(ip)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


# The row's lock makes rivals take turns, and each sees the count of the one before.
_CLAIM = """
INSERT INTO core_loginthrottle AS t (key, failures, blocked_until, updated_at)
VALUES (%(key)s, 1, NULL, %(now)s::timestamptz)
ON CONFLICT (key) DO UPDATE SET
  failures = CASE WHEN t.updated_at < %(forgotten)s::timestamptz THEN 1 ELSE t.failures + 1 END,
  blocked_until = CASE WHEN t.updated_at >= %(forgotten)s::timestamptz AND t.failures + 1 >= %(free)s::int
    THEN %(now)s::timestamptz + make_interval(secs => least(%(longest)s::float8,
      %(first)s::float8 * power(2, least(t.failures + 1 - %(free)s::int, 20)))) END,
  updated_at = %(now)s::timestamptz
WHERE t.blocked_until IS NULL OR t.blocked_until <= %(now)s::timestamptz
RETURNING failures"""
_WAIT = "SELECT blocked_until FROM core_loginthrottle WHERE key = %s"
_GIVE_BACK = """
UPDATE core_loginthrottle SET failures = greatest(failures - 1, 0), blocked_until = NULL WHERE key = %s"""
_FORGET = "DELETE FROM core_loginthrottle WHERE key = %s"


def claim(tries: Sequence[Tries], now: datetime) -> None:
    """Count one try of each kind, all or none of them, in a transaction of its own.

    Raises: TooManyRequests with `retry_after` in seconds.
    """
    blocked: Tries | None = None
    with system_context("sign-in throttle", source="api"), unit_of_work():
        for place, item in enumerate(tries):
            if not _claimed(item, now):
                for earlier in tries[:place]:
                    _execute(_GIVE_BACK, earlier.key)
                blocked = item
                break
        until = _execute(_WAIT, blocked.key)[0][0] if blocked else None
    if blocked:
        seconds = max(1, round((until - now).total_seconds())) if until else 1
        raise TooManyRequests(
            "Too many tries. Wait before the next one.", code="throttled", retry_after=seconds
        )


def _claimed(item: Tries, now: datetime) -> bool:
    params = {
        "key": item.key,
        "now": now,
        "forgotten": now - MEMORY,
        "free": item.free,
        "first": FIRST_DELAY_SECONDS,
        "longest": item.longest,
    }
    return bool(database().fetch_prepared(_CLAIM, params))


def _execute(sql: str, key: str) -> list[tuple[datetime | None, ...]]:
    return database().fetch_prepared(sql, [key])


def settle(tries: Sequence[Tries]) -> None:
    """The try was right: the first of its counters starts afresh, the others get it back. Needs a transaction."""
    _execute(_FORGET, tries[0].key)
    for item in tries[1:]:
        _execute(_GIVE_BACK, item.key)


def forget(item: Tries) -> None:
    """The tries no longer count. Needs a transaction."""
    _execute(_FORGET, item.key)
