"""Ringing for the consumers of the change stream after a commit. The beat's tick comes by anyway, only later."""

from __future__ import annotations

from functools import lru_cache

import structlog
from django.conf import settings
from django.db import connection, transaction
from redis import Redis, RedisError

from core.kernel.doorbell import ring

TASK = "core.run_consumers"

_WAKE_KEY = "crm:stream:woken"
# A message that got lost stops no later one for longer than this.
_WAKE_SECONDS = 2
_log = structlog.get_logger("atrium.doorbell")


# The names of the registered consumers: without one, there is nobody to wake.
listening: set[str] = set()


def wake_stream() -> None:
    """Have the consumers run after this transaction's commit; at once when none is open. May be called often."""
    if not listening:
        return
    if not any(function is _wake for _, function, *_ in connection.run_on_commit):
        transaction.on_commit(_wake)


def _wake() -> None:
    # Until the consumers start to read, more messages would say nothing new.
    try:
        is_first = _redis().set(_WAKE_KEY, 1, nx=True, ex=_WAKE_SECONDS)
    except RedisError as error:
        _log.warning("doorbell silent", task=TASK, error=str(error))
        return
    if is_first:
        ring(TASK)


def forget_wake() -> None:
    """Let the next commit ring again. Called before reading, so that nothing falls between."""
    try:
        _redis().delete(_WAKE_KEY)
    except RedisError as error:
        _log.warning("doorbell silent", task=TASK, error=str(error))


@lru_cache(maxsize=1)
def _redis() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
