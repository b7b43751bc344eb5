"""Every write to the queue. Raw SQL, since each is one conditional statement that two workers may try at once."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.utils import timezone

from core.changes.rows import to_json
from core.jobs import leases
from core.jobs.models import Job
from core.jobs.registry import JobKind, JobRun, job_kinds
from core.kernel.doorbell import count_unread, ring_after_commit
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction, unit_of_work
from core.observability.correlation import current_id
from core.tenancy.context import current, current_company_id, system_context

RUN_TASK = "core.run_job"
SWEEP_TASK = "core.sweep_jobs"

# Beyond this many new jobs one message for the sweep does, instead of one for each.
RING_EACH_UP_TO = 100
SWEEP_LIMIT = 500
# A job rung this long ago and not started since is rung again: its message may be lost.
RING_AGAIN_AFTER = timedelta(seconds=20)
# While so many messages are unread, none is known to be lost, and more would only make new jobs wait behind them.
RING_AGAIN_UP_TO = 200
FIRST_BACKOFF = timedelta(seconds=5)
LONGEST_BACKOFF = timedelta(hours=1)
# How long a job waits whose kind this version of the program does not know (a newer one may).
UNKNOWN_KIND_WAIT = timedelta(minutes=5)
MAX_ERROR_LENGTH = 2_000
MAX_SUBJECT_LENGTH = 200
# An outcome says what came of the work; the result itself is a record or a file.
MAX_OUTCOME_LENGTH = 64 * 1024

_log = structlog.get_logger("atrium.jobs")


@dataclass(frozen=True)
class NewJob:
    """One job to be made."""

    payload: Mapping[str, Any]
    key: str = ""
    due_at: datetime | None = None
    company_id: UUID | None = None
    # What it is about, for people.
    subject: str = ""


def enqueue(
    *,
    kind: str,
    payload: Mapping[str, Any],
    company_id: UUID | None = None,
    key: str | None = None,
    due_at: datetime | None = None,
    now: datetime | None = None,
    subject: str = "",
) -> UUID:
    """Write one job in the open transaction and wake a worker after its commit. Needs a transaction.

    While a job of this company, kind and key is open, its id is returned and nothing is written. The company is the one
    in context unless given (system work).

    Raises: KeyError for an unknown kind.
    """
    job = NewJob(payload, key or "", due_at, company_id, subject)
    while True:
        made = enqueue_many(kind=kind, jobs=[job], now=now)
        if made:
            return made[0]
        # Not made, so one was open a moment ago. If it has ended since, the next round makes a new one.
        found = _open_job(kind, job.key, company_id)
        if found is not None:
            return found


def enqueue_many(*, kind: str, jobs: Sequence[NewJob], now: datetime | None = None) -> list[UUID]:
    """Write jobs of one kind with one statement; see `enqueue`. Returns the ids of those that are new."""
    needs_transaction()
    now = now or timezone.now()
    entry = job_kinds[kind]
    ring_each = len(jobs) <= RING_EACH_UP_TO
    actor = current().actor
    documents = [
        {
            "id": uuid7(),
            "company_id": _company_of(entry, job.company_id),
            "key": job.key,
            "payload": dict(job.payload),
            "due_at": job.due_at or now,
            "subject": job.subject[:MAX_SUBJECT_LENGTH],
        }
        for job in jobs
    ]
    with _reach_of(entry), connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO core_job (id, company_id, kind, key, payload, state, due_at, rung_at, attempts, max_attempts,
              lease_token, progress, error, correlation_id, cause, depth, created_at, created_by_id, subject, is_listed)
            SELECT x.id, x.company_id, %(kind)s, x.key, x.payload, 'open', x.due_at,
              CASE WHEN %(ring_each)s AND x.due_at <= %(now)s THEN %(now)s END, 0, %(max_attempts)s, 0, '{}', '', %(correlation)s,
              %(cause)s, %(depth)s, %(now)s, %(user)s, x.subject, %(is_listed)s
            FROM jsonb_to_recordset(%(jobs)s::jsonb)
              AS x(id uuid, company_id uuid, key text, payload jsonb, due_at timestamptz, subject text)
            ON CONFLICT (company_id, kind, key) WHERE state = 'open' AND NOT (key = '') DO NOTHING
            RETURNING id, due_at""",
            {
                "kind": kind,
                "now": now,
                "ring_each": ring_each,
                "max_attempts": entry.max_attempts,
                "correlation": current_id(),
                "cause": actor.cause if actor else None,
                "depth": actor.depth if actor else 0,
                "user": actor.user_id if actor and entry.tenancy == "company" else None,
                "is_listed": entry.is_listed,
                "jobs": to_json(documents),
            },
        )
        made = cursor.fetchall()
    if ring_each:
        _ring(job_id for job_id, due_at in made if due_at <= now)
    else:
        ring_after_commit(SWEEP_TASK)
    return [job_id for job_id, _ in made]


def claim(job_id: UUID, *, now: datetime) -> JobRun | None:
    """Take a due job for one lease; None when it is not due, not open, or in other hands. Needs a transaction.

    Commit before the work starts, so that attempts that kill their worker are counted too. Expects a system context.
    The run's `attempt` is beyond the kind's limit when the job's last attempt died without a word.
    """
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind FROM core_job WHERE id = %s AND state = 'open' AND due_at <= %s "
            "AND (lease_until IS NULL OR lease_until <= %s) FOR UPDATE SKIP LOCKED",
            [job_id, now, now],
        )
        found = cursor.fetchone()
        if found is None:
            return None
        kind = job_kinds.find(found[0])
        if kind is None:
            _log.error("no handler for this kind of job", job_id=str(job_id), kind=found[0])
            cursor.execute(
                "UPDATE core_job SET due_at = %s, error = 'There is no handler for this kind.' WHERE id = %s",
                [now + UNKNOWN_KIND_WAIT, job_id],
            )
            return None
        cursor.execute(
            "UPDATE core_job SET lease_until = %s, lease_token = lease_token + 1, attempts = attempts + 1, "
            "started_at = coalesce(started_at, %s) WHERE id = %s "
            "RETURNING company_id, payload, attempts, max_attempts, lease_token, created_by_id, correlation_id, progress, "
            "cause, depth",
            [now + kind.lease, now, job_id],
        )
        (
            company_id,
            payload,
            attempt,
            limit,
            token,
            created_by_id,
            correlation_id,
            progress,
            cause,
            depth,
        ) = cursor.fetchone()
    return JobRun(
        id=job_id,
        kind=kind.name,
        company_id=company_id,
        payload=json.loads(payload),
        attempt=attempt,
        max_attempts=limit,
        token=token,
        lease=kind.lease,
        created_by_id=created_by_id,
        correlation_id=correlation_id,
        cause=cause,
        depth=depth,
        progress_so_far=json.loads(progress),
    )


def finish(
    run: JobRun,
    *,
    now: datetime,
    again_at: datetime | None = None,
    outcome: Mapping[str, Any] | None = None,
) -> None:
    """Close the job with its outcome, or have it called again later. Belongs into the transaction of the effect.

    Raises: LeaseLost, JobCanceled; ValueError for an outcome beyond `MAX_OUTCOME_LENGTH`.
    """
    needs_transaction()
    if again_at is None:
        document = None if outcome is None else to_json(dict(outcome))
        if document is not None and len(document) > MAX_OUTCOME_LENGTH:
            raise ValueError(f"the outcome of {run.kind} has {len(document)} characters")
        leases.write_held(
            run,
            "state = 'done', closed_at = %s, lease_until = NULL, error = '', problem = NULL, outcome = %s::jsonb",
            [now, document],
        )
        return
    leases.write_held(
        run,
        "due_at = %s, rung_at = %s, attempts = 0, lease_until = NULL, error = '', problem = NULL",
        [again_at, now if again_at <= now else None],
    )
    if again_at <= now:
        _ring([run.id])


def fail(
    run: JobRun,
    *,
    error: str,
    now: datetime,
    for_good: bool = False,
    problem: Mapping[str, str] | None = None,
) -> bool:
    """Note the failed attempt: `error` for operators, `problem` (code, detail) for people. Needs a transaction.

    True when the job will be tried again, each time after a longer wait; False when this was the last attempt and the
    job now stands as failed, to be seen and retried by hand. Raises: LeaseLost, JobCanceled.
    """
    leases.hold(run)
    error = error[:MAX_ERROR_LENGTH]
    document = None if problem is None else to_json(dict(problem))
    with connection.cursor() as cursor:
        cursor.execute("SELECT attempts, max_attempts FROM core_job WHERE id = %s", [run.id])
        attempts, limit = cursor.fetchone()
    if for_good or attempts >= limit:
        leases.write_held(
            run,
            "state = 'failed', closed_at = %s, lease_until = NULL, error = %s, problem = %s::jsonb",
            [now, error, document],
        )
        return False
    leases.write_held(
        run,
        "due_at = %s, rung_at = NULL, lease_until = NULL, error = %s, problem = %s::jsonb",
        [now + backoff(attempts), error, document],
    )
    return True


def cancel(job_id: UUID, *, now: datetime) -> bool:
    """Close an open job. A running one stops at its next heartbeat; a transaction it is in is waited for.

    False when the job has ended already or is none of this company's.
    """
    with unit_of_work():
        return bool(
            Job.objects.filter(id=job_id, state=Job.State.OPEN).update(
                state=Job.State.CANCELED, closed_at=now, lease_until=None
            )
        )


def retry(job_id: UUID, *, now: datetime) -> bool:
    """Open a failed job again, with all its attempts. False when it is none of this company's failed ones."""
    with unit_of_work():
        opened = Job.objects.filter(id=job_id, state=Job.State.FAILED).update(
            state=Job.State.OPEN, closed_at=None, attempts=0, due_at=now, rung_at=now, problem=None
        )
        if opened:
            _ring([job_id])
    return bool(opened)


def sweep(*, now: datetime) -> int:
    """Ring again for due jobs that nobody has taken. Needs a transaction and a system context.

    Two sweeps at once share the work: neither rings for what the other has locked. While workers have enough messages to
    read, nothing is rung a second time but what was taken since and not done.
    """
    needs_transaction()
    may_be_lost = count_unread(RUN_TASK) < RING_AGAIN_UP_TO
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE core_job SET rung_at = %(now)s WHERE id IN (
              SELECT id FROM core_job
              WHERE state = 'open' AND due_at <= %(now)s AND (lease_until IS NULL OR lease_until <= %(now)s)
                AND (rung_at IS NULL OR rung_at <= lease_until OR %(may_be_lost)s AND rung_at <= %(before)s)
              ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
            RETURNING id""",
            {
                "now": now,
                "before": now - RING_AGAIN_AFTER,
                "may_be_lost": may_be_lost,
                "limit": SWEEP_LIMIT,
            },
        )
        ids = [job_id for (job_id,) in cursor.fetchall()]
    _ring(ids)
    return len(ids)


def beat(name: str, *, now: datetime, details: Mapping[str, Any] | None = None) -> None:
    """Note that a part of the system works."""
    with unit_of_work(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_heartbeat (name, at, details) VALUES (%s, %s, %s::jsonb) "
            "ON CONFLICT (name) DO UPDATE SET at = excluded.at, details = excluded.details",
            [name, now, to_json(dict(details or {}))],
        )


def backoff(attempt: int) -> timedelta:
    """The wait after the given failed attempt: doubling, up to an hour, spread by a fifth."""
    wait = min(FIRST_BACKOFF * 2 ** min(attempt - 1, 20), LONGEST_BACKOFF)
    # Keeps jobs that failed together from coming back together; this is jitter, not cryptography.
    return wait * (1 + random.random() / 5)  # noqa: S311


def _company_of(kind: JobKind, given: UUID | None) -> UUID | None:
    if kind.tenancy == "platform":
        if given is not None:
            raise ValueError(f"{kind.name} is the installation's own work, not a company's")
        return None
    return given or current_company_id()


def _reach_of(kind: JobKind) -> Any:
    """Rows without a company are written under the platform role, whoever asks."""
    if kind.tenancy == "platform" and not current().system:
        return system_context(f"enqueue {kind.name}", source=current().source)
    return nullcontext()


def _open_job(kind: str, key: str, company_id: UUID | None) -> UUID | None:
    entry = job_kinds[kind]
    with _reach_of(entry), connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM core_job WHERE company_id IS NOT DISTINCT FROM %s AND kind = %s AND key = %s "
            "AND state = 'open'",
            [_company_of(entry, company_id), kind, key],
        )
        found = cursor.fetchone()
    return found[0] if found else None


def _ring(ids: Iterable[UUID]) -> None:
    for job_id in ids:
        ring_after_commit(RUN_TASK, str(job_id))
