"""Does the system answer? Each part is asked with a time limit, so that the answer comes even when a part does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import Error, connection
from redis import Redis, RedisError

from core.changes.stream import lag
from core.jobs.models import Heartbeat
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context

WORKER, BEAT = "worker", "beat"
# Beat shows itself and sends a canary to the workers every ten seconds.
SILENT_AFTER = timedelta(seconds=60)
BEHIND_AFTER = timedelta(minutes=5)
REDIS_SECONDS = 1
DATABASE_MS = 1_000


@dataclass(frozen=True)
class Part:
    """One part of the system. What is not `vital` may be slow without the whole being down."""

    ok: bool
    detail: str = ""
    vital: bool = True


@dataclass(frozen=True)
class Health:
    """`ok`, `degraded` (slow, but everything answers) or `down`."""

    status: Literal["ok", "degraded", "down"]
    parts: Mapping[str, Part]

    @property
    def ok(self) -> bool:
        return self.status != "down"


def health(now: datetime) -> Health:
    """Ask database, Redis, worker, beat and the change stream. Never raises for a part that does not answer."""
    parts = {"database": Part(True), "redis": _redis()}
    try:
        parts |= _from_database(now)
    except Error as error:
        parts["database"] = Part(False, f"The database does not answer ({type(error).__name__}).")
        unknown = Part(False, "Unknown without the database.")
        parts |= {WORKER: unknown, BEAT: unknown}
    if any(part.vital and not part.ok for part in parts.values()):
        return Health("down", parts)
    return Health("ok" if all(part.ok for part in parts.values()) else "degraded", parts)


def _redis() -> Part:
    client = Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS
    )
    try:
        client.ping()
    except RedisError as error:
        return Part(False, f"Redis does not answer ({type(error).__name__}).")
    finally:
        client.close()
    return Part(True)


def _from_database(now: datetime) -> dict[str, Part]:
    with system_context("health"), unit_of_work():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(DATABASE_MS)])
        beats = dict(Heartbeat.objects.filter(name__in=(WORKER, BEAT)).values_list("name", "at"))
        behind = [entry for entry in lag(now=now) if entry.seconds > BEHIND_AFTER.total_seconds()]
    return {
        WORKER: _heard("No worker has answered beat's canary", beats.get(WORKER), now),
        BEAT: _heard("Beat has not shown itself", beats.get(BEAT), now),
        "stream": Part(
            not behind,
            "; ".join(f"{entry.name} is {entry.seconds:.0f} s behind" for entry in behind),
            vital=False,
        ),
    }


def _heard(what: str, at: datetime | None, now: datetime) -> Part:
    if at is None:
        return Part(False, f"{what} yet.")
    age = now - at
    if age > SILENT_AFTER:
        return Part(False, f"{what} for {age.total_seconds():.0f} s.")
    return Part(True)
