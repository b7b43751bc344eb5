"""The lease that an attempt at a job works under: each write of it asks whether the job is still its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.db import connection

from core.changes.rows import to_json
from core.kernel.transactions import needs_transaction, unit_of_work


class LeaseLost(Exception):
    """Another worker has the job now; nothing may be written for it here any more."""


class JobCanceled(Exception):
    """Somebody canceled the job while it ran."""


class Attempt(Protocol):
    """What tells one attempt at a job from others: see `core.jobs.registry.JobRun`."""

    @property
    def id(self) -> UUID: ...

    @property
    def token(self) -> int: ...

    @property
    def lease(self) -> timedelta: ...


def hold(attempt: Attempt) -> None:
    """Lock the job row for the rest of the transaction: nobody else can start it meanwhile.

    Raises: LeaseLost, JobCanceled.
    """
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute("SELECT state, lease_token FROM core_job WHERE id = %s FOR UPDATE", [attempt.id])
        _judge(attempt, cursor.fetchone())


def extend_lease(attempt: Attempt, *, now: datetime, progress: Mapping[str, Any] | None = None) -> None:
    """Keep the job for another lease; note the progress if given. Locks the job row in an open transaction.

    Raises: LeaseLost, JobCanceled.
    """
    with unit_of_work():
        if progress is None:
            write_held(attempt, "lease_until = %s", [now + attempt.lease])
        else:
            document = to_json(dict(progress))
            write_held(
                attempt,
                "lease_until = %s, progress = %s::jsonb, attempts = CASE WHEN "
                "(%s::jsonb)->'done' IS DISTINCT FROM progress->'done' THEN 1 ELSE attempts END",
                [now + attempt.lease, document, document],
            )


def _judge(attempt: Attempt, found: tuple[str, int] | None) -> None:
    if found is None or found[1] != attempt.token or found[0] in ("done", "failed"):
        raise LeaseLost(str(attempt.id))
    if found[0] == "canceled":
        raise JobCanceled(str(attempt.id))


def write_held(attempt: Attempt, change: str, values: list[Any]) -> None:
    """Change the job row if this attempt still has it.

    Raises: LeaseLost, JobCanceled.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE core_job SET {change} WHERE id = %s AND lease_token = %s AND state = 'open'",
            [*values, attempt.id, attempt.token],
        )
        if cursor.rowcount:
            return
        cursor.execute("SELECT state, lease_token FROM core_job WHERE id = %s", [attempt.id])
        _judge(attempt, cursor.fetchone())
    raise LeaseLost(str(attempt.id))
