"""Due times as rows. Whoever ticks first takes a slot together with the work it causes; a second beat finds it taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from django.db import connection

from core.identity.models import Company
from core.jobs.operations import NewJob, enqueue_many
from core.jobs.registry import JobKind, job_kinds
from core.kernel.transactions import needs_transaction, unit_of_work
from core.tenancy.context import system_context

# What becomes of slots that nobody took in time: none is made up for, the newest one is, all are.
CatchUp = Literal["skip", "once", "all"]

# A slot taken this late is still in time.
GRACE = timedelta(minutes=2)
# Of a long silence only so many missed slots are noted.
MOST_MISSED = 100
# Keeps a periodic job from piling up: at most one is open for each company.
PERIODIC_KEY = "periodic"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def take_slots(
    schedule: str,
    due: Sequence[datetime],
    *,
    now: datetime,
    catch_up: CatchUp = "once",
    grace: timedelta = GRACE,
) -> list[datetime]:
    """Take the due times of a schedule; returns those the caller is to act on, in the same transaction.

    Each slot is given out once in all, however many ask. Slots that are too late for the policy are noted as missed.
    Times after `now` are left for later.
    """
    needs_transaction()
    times = sorted(time for time in set(due) if time <= now)
    if not times:
        return []
    in_time = {time for time in times if now - time <= grace}
    wanted = {"skip": in_time, "once": in_time | {times[-1]}, "all": set(times)}[catch_up]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_slot (schedule, due_at, taken_at, is_missed) "
            "SELECT %s, x.due_at, %s, x.is_missed FROM unnest(%s::timestamptz[], %s::boolean[]) AS x(due_at, is_missed) "
            "ORDER BY x.due_at ON CONFLICT (schedule, due_at) DO NOTHING RETURNING due_at, is_missed",
            [schedule, now, times, [time not in wanted for time in times]],
        )
        return sorted(due_at for due_at, is_missed in cursor.fetchall() if not is_missed)


def last_slots(schedules: Sequence[str]) -> dict[str, datetime]:
    """The newest slot of each schedule that has any."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, (SELECT max(due_at) FROM core_slot WHERE schedule = name) FROM unnest(%s::text[]) AS name",
            [list(schedules)],
        )
        return {name: due_at for name, due_at in cursor.fetchall() if due_at is not None}


def due_times(
    after: datetime | None, *, every: timedelta, offset: timedelta, now: datetime
) -> list[datetime]:
    """The multiples of `every` (plus `offset`) later than `after` and not later than `now`; at most the last hundred."""
    newest = now - (now - _EPOCH - offset) % every
    times: list[datetime] = []
    while len(times) < (MOST_MISSED if after else 1) and (after is None or newest > after):
        times.append(newest)
        newest -= every
    return times[::-1]


def tick(*, now: datetime) -> int:
    """Make the jobs of every periodic kind whose time has come. Returns how many. Two ticks at once make them once."""
    periodic = [kind for kind in job_kinds if kind.every is not None]
    with system_context("periodic jobs"), unit_of_work():
        seen = last_slots([_schedule_of(kind) for kind in periodic])
        return sum(_make_due(kind, seen.get(_schedule_of(kind)), now) for kind in periodic)


def _schedule_of(kind: JobKind) -> str:
    return f"job:{kind.name}"


def _make_due(kind: JobKind, last: datetime | None, now: datetime) -> int:
    assert kind.every is not None  # noqa: S101 - for the type checker: `tick` chose these
    times = due_times(last, every=kind.every, offset=kind.offset, now=now)
    if not times or not take_slots(_schedule_of(kind), times, now=now, grace=timedelta(0)):
        return 0
    if kind.tenancy == "platform":
        jobs = [NewJob({}, PERIODIC_KEY)]
    else:
        companies = Company.objects.filter(is_active=True).values_list("id", flat=True)
        jobs = [NewJob({}, PERIODIC_KEY, company_id=company_id) for company_id in companies]
    return len(enqueue_many(kind=kind.name, jobs=jobs, now=now))
