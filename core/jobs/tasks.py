"""Celery's entries to core, and core's own periodic jobs. Beat rings the first kind; the second are rows like any job."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.changes import purging, stream
from core.jobs import housekeeping, operations, running, schedules
from core.jobs.health import WORKER
from core.jobs.registry import JobRun, job_handler
from core.jobs.task import task
from core.kernel.transactions import unit_of_work


@task(operations.RUN_TASK, tenancy="platform")
def run_job(job_id: str) -> None:
    running.run_job(UUID(job_id))


@task(operations.SWEEP_TASK, tenancy="platform")
def sweep_jobs() -> None:
    with unit_of_work():
        operations.sweep(now=timezone.now())


@task("core.tick", tenancy="platform")
def tick() -> None:
    schedules.tick(now=timezone.now())


@task(stream.TASK, tenancy="platform")
def run_consumers() -> None:
    stream.run_consumers()
    stream.retry_parked(now=timezone.now())


@task("core.worker_heartbeat", tenancy="platform", expires=30)
def worker_heartbeat() -> None:
    operations.beat(WORKER, now=timezone.now())


@job_handler("core.ensure_log_partitions", tenancy="platform", transactional=False, every=timedelta(days=1))
def ensure_log_partitions(run: JobRun) -> None:
    housekeeping.ensure_log_partitions(now=timezone.now())


@job_handler(
    "core.purge_recycle_bin",
    transactional=False,
    lease=timedelta(minutes=30),
    every=timedelta(days=1),
    offset=timedelta(hours=2),
)
def purge_recycle_bin(run: JobRun) -> None:
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    purging.purge_deleted(run.company_id, deleted_before=timezone.now() - purging.KEPT_IN_BIN)


@job_handler(
    "core.purge_old",
    tenancy="platform",
    transactional=False,
    lease=timedelta(minutes=30),
    every=timedelta(days=1),
    offset=timedelta(hours=3),
)
def purge_old(run: JobRun) -> None:
    housekeeping.purge_old(now=timezone.now())
