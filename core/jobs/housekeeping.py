"""What keeps the tables from growing for ever, and the log's partitions ahead of the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection, models
from django.db.models import Max, OuterRef, Subquery

from core.changes import ddl
from core.identity.models import AuthSession, LoginThrottle, Registration
from core.jobs.models import Job, Slot
from core.kernel.transactions import unit_of_work

KEEP_DONE_JOBS = timedelta(days=14)
KEEP_FAILED_JOBS = timedelta(days=90)
KEEP_SLOTS = timedelta(days=30)
KEEP_ENDED_REGISTRATIONS = timedelta(days=7)
KEEP_ENDED_SESSIONS = timedelta(days=30)
KEEP_THROTTLES = timedelta(days=1)
BATCH = 5_000


def purge_old(*, now: datetime) -> dict[str, int]:
    """Remove ended machinery rows past their time, in batches of a transaction each. Expects a system context."""
    newest = (
        Slot.objects.filter(schedule=OuterRef("schedule")).values("schedule").annotate(last=Max("due_at"))
    )
    return {
        "jobs": _in_batches(
            Job.objects.filter(
                state__in=(Job.State.DONE, Job.State.CANCELED), closed_at__lt=now - KEEP_DONE_JOBS
            )
        )
        + _in_batches(Job.objects.filter(state=Job.State.FAILED, closed_at__lt=now - KEEP_FAILED_JOBS)),
        # A schedule's newest slot stays: from it the next due time is counted.
        "slots": _in_batches(
            Slot.objects.filter(taken_at__lt=now - KEEP_SLOTS, due_at__lt=Subquery(newest.values("last")))
        ),
        "registrations": _in_batches(
            Registration.objects.filter(expires_at__lt=now - KEEP_ENDED_REGISTRATIONS)
        ),
        "sessions": _in_batches(AuthSession.objects.filter(expires_at__lt=now - KEEP_ENDED_SESSIONS)),
        "throttles": _in_batches(
            LoginThrottle.objects.filter(updated_at__lt=now - KEEP_THROTTLES).exclude(blocked_until__gt=now)
        ),
    }


def _in_batches(queryset: models.QuerySet) -> int:
    removed = 0
    while True:
        with unit_of_work():
            keys = list(queryset.order_by("pk").values_list("pk", flat=True)[:BATCH])
            removed += queryset.model.objects.filter(pk__in=keys).delete()[0] if keys else 0
        if len(keys) < BATCH:
            return removed


def ensure_log_partitions(*, now: datetime) -> None:
    """Make the change log's partitions for the coming months. Expects a system context.

    Waits for readers of the log no longer than a few seconds, then fails and is tried again.
    """
    with unit_of_work(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        ddl.ensure_partitions(cursor, now.date())
