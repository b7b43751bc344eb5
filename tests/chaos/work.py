"""The kinds of work of a chaos run. Each effect is a row of `chaos_effect`, which has no key: what is done twice is seen.

Leases and the time after which a lost message is sent again are shortened, so that recovery takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from celery import shared_task
from django.db import connection
from django.utils import timezone

from core.changes.purging import purge_deleted
from core.changes.stream import Batch, ConsumerEntry, consumers
from core.changes.waking import listening
from core.jobs import JobRun, operations
from core.jobs.operations import NewJob, enqueue_many
from core.jobs.registry import JobKind, job_kinds
from core.jobs.schedules import CatchUp, due_times, last_slots, take_slots
from core.jobs.task import Task
from core.kernel.transactions import unit_of_work
from data_import.operations import staging

TABLE = """
CREATE TABLE chaos_effect (kind text NOT NULL, key text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE chaos_setting (name text PRIMARY KEY, value text NOT NULL);
GRANT SELECT, INSERT ON chaos_effect, chaos_setting TO crm_app, crm_platform;
"""
SLOTS_TASK = "chaos.ring_slots"
SLOT_SECONDS = 1
# Schedule and what becomes of its slots that nobody took in time.
SCHEDULES: dict[str, CatchUp] = {"chaos.all": "all", "chaos.once": "once", "chaos.skip": "skip"}
SLOT_GRACE = timedelta(seconds=2)
CHUNKS = 10


def note(kind: str, keys: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chaos_effect (kind, key) SELECT %s, unnest(%s::text[])", [kind, list(keys)]
        )


def once(run: JobRun) -> None:
    """One effect; a slow one outlasts its lease."""
    note("job", [str(run.id)])
    time.sleep(float(run.payload.get("pause", 0)))


def chunks(run: JobRun) -> None:
    """Ten effects, each in its transaction, going on where the progress stands."""
    for done in range(int(run.progress_so_far.get("done", 0)) + 1, CHUNKS + 1):
        with run.transaction():
            note("chunk", [f"{run.id} {done}"])
            run.progress(done, CHUNKS)
        time.sleep(0.05)


def slot(run: JobRun) -> None:
    note("slot", [run.payload["slot"]])


def purge(run: JobRun) -> None:
    """Empty the recycle bin."""
    assert run.company_id is not None
    purge_deleted(run.company_id, deleted_before=timezone.now(), batch=10)


def heard(batch: Batch) -> None:
    """One effect for each account that came into being."""
    note("event", [str(change.entity_id) for change in batch.changes if change.action == "create"])


@shared_task(name=SLOTS_TASK, base=Task, tenancy="platform")
def ring_slots() -> None:
    """Take the due slots of every schedule and make their jobs, as one commit."""
    now = timezone.now()
    with unit_of_work():
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM chaos_setting WHERE name = 'company'")
            found = cursor.fetchone()
        if found is None:
            return
        for schedule, catch_up in SCHEDULES.items():
            take(schedule, catch_up, UUID(found[0]), now)


def take(schedule: str, catch_up: CatchUp, company_id: UUID, now: datetime) -> None:
    last = last_slots([schedule]).get(schedule)
    due = due_times(last, every=timedelta(seconds=SLOT_SECONDS), offset=timedelta(0), now=now)
    taken = take_slots(schedule, due, now=now, catch_up=catch_up, grace=SLOT_GRACE)
    names = [f"{schedule} {time.timestamp():.0f}" for time in taken]
    enqueue_many(
        kind="chaos.slot",
        jobs=[NewJob({"slot": name}, name, company_id=company_id) for name in names],
        now=now,
    )


KINDS = {
    "chaos.once": (once, True),
    "chaos.chunks": (chunks, False),
    "chaos.slot": (slot, True),
    "chaos.purge": (purge, False),
}


def install() -> None:
    """Put the run's kinds and its reader of the change stream beside the real ones, here."""
    for name, (function, transactional) in KINDS.items():
        job_kinds._entries[name] = JobKind(
            name,
            function,
            "company",
            transactional,
            max_attempts=20,
            # Shorter than a slow job takes.
            lease=timedelta(seconds=1),
        )
    name = "chaos.accounts"
    consumers._entries[name] = ConsumerEntry(name, heard, frozenset({"account"}), frozenset(), False)
    listening.add(name)


def be_quick() -> None:
    """Shorten what a run would have to wait for; what holds for any length must hold for these."""
    operations.RING_AGAIN_AFTER = timedelta(seconds=1)
    operations.RING_AGAIN_UP_TO = 20
    operations.FIRST_BACKOFF = timedelta(seconds=1)
    staging.BATCH_ROWS = 250
    job_kinds._entries["import.run"] = replace(
        job_kinds["import.run"], lease=timedelta(seconds=2), max_attempts=20
    )
