"""A job from where it stands to its plan or its end. Whoever dies on the way, the next one goes on from the last commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from core.identity.queries import find_actor
from core.kernel.errors import DomainError, Invalid
from core.kernel.transactions import retried, unit_of_work
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context
from data_import.models import ImportJob, JobStatus
from data_import.operations import commit, dry_run, plan, staging
from data_import.operations.jobs import (
    ENDED,
    Canceled,
    change_job,
    detect_job,
    note_counts,
    raise_if_canceled,
    require_importer,
)
from data_import.operations.limits import require_room_to_stage, staged_bytes_of
from data_import.operations.notices import notify_end
from data_import.queries import Counts, count_rows

# Phase, rows done in it, rows in all (0 when not known yet).
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Ended:
    """Where a run left its job."""

    status: str
    counts: Counts
    plan_digest: str
    error: str = ""
    faults: tuple[Any, ...] = ()


def _no_report(phase: str, done: int, total: int) -> None:
    return None


def actor_of(job: ImportJob) -> Actor:
    """Who the job works as: its owner, with the rights of this moment.

    Raises: Invalid when the owner is no member any more.
    """
    if job.owner_id is None:
        return system_actor(job.company_id)
    actor = find_actor(job.owner_id, job.company_id)
    if actor is None:
        raise Invalid("The owner of this import is no member any more.", code="owner_gone")
    return actor


def run_import(
    *, actor: Actor, job_id: UUID, report: Report = _no_report, clock: Callable[[], datetime] = timezone.now
) -> Ended:
    """Carry a job on: stage, check, plan, and unless it is a dry run commit. Opens its own transactions.

    A refusal of the whole file ends in the answer's `error`, with the job at `mapped` (settings can help) or `failed`.
    """
    with actor_context(actor, source="import"):
        try:
            return _run(actor, job_id, report, clock)
        except Canceled:
            return retried(lambda: _finish(actor, job_id, JobStatus.CANCELED, clock()))
        except DomainError as refusal:
            # Python forgets `refusal` when this block ends, which a closure would notice.
            refused_with: DomainError = refusal
            return retried(lambda: _refuse(actor, job_id, refused_with, clock()))


def _run(actor: Actor, job_id: UUID, report: Report, clock: Callable[[], datetime]) -> Ended:
    ended = retried(lambda: _detect(actor, job_id, clock()))
    if ended is not None:
        return ended
    job, prepared = retried(lambda: _prepare(actor, job_id))
    if not job.plan_digest:
        retried(lambda: _begin(actor, job_id, prepared, clock()))
        _stage(actor, job_id, prepared, report, clock)
    with unit_of_work():
        job = ImportJob.objects.get(pk=job_id)
    if job.is_dry_run:
        return Ended(job.status, _counts(job), job.plan_digest)
    if job.status != JobStatus.IMPORTING:
        retried(lambda: _go_on(actor, job_id, clock(), status=JobStatus.IMPORTING))
    return _commit(actor, job, prepared, report, clock)


def _detect(actor: Actor, job_id: UUID, now: datetime) -> Ended | None:
    """Find out what the file is, if nobody has; how the job ended, if it has."""
    job = ImportJob.objects.get(pk=job_id)
    if job.status in ENDED:
        return Ended(job.status, count_rows(job.company_id, job.pk), job.plan_digest, job.error)
    require_importer(actor, job.entity_type, job.mode)
    if not job.detected:
        detect_job(actor=actor, job=job, now=now)
    return None


def _prepare(actor: Actor, job_id: UUID) -> tuple[ImportJob, staging.Prepared]:
    """The job with everything that is decided before its first row. It writes nothing, so a cancellation need not wait."""
    job = ImportJob.objects.get(pk=job_id)
    return job, staging.prepare(actor, job)


def _go_on(actor: Actor, job_id: UUID, now: datetime, **values: Any) -> None:
    """Set fields of a job that nobody has canceled, whose row stays locked. Raises: Canceled."""
    ImportJob.objects.select_for_update().get(pk=job_id)
    raise_if_canceled(job_id)
    if values:
        change_job(actor, job_id, now, **values)


def _begin(actor: Actor, job_id: UUID, prepared: staging.Prepared, now: datetime) -> None:
    job = ImportJob.objects.get(pk=job_id)
    if not job.staged_bytes:
        require_room_to_stage(job)
    _go_on(
        actor,
        job_id,
        now,
        status=JobStatus.VALIDATING,
        decisions=prepared.decisions,
        staged_bytes=staged_bytes_of(job),
        error="",
        started_at=job.started_at or now,
    )


def _stage(
    actor: Actor, job_id: UUID, prepared: staging.Prepared, report: Report, clock: Callable[[], datetime]
) -> None:
    with unit_of_work():
        job = ImportJob.objects.get(pk=job_id)
    done = total = 0

    def count_staged(rows: int) -> None:
        nonlocal done
        done += rows
        report("checking", done, 0)

    staging.stage_file(actor, job, prepared, count_staged)
    if not done:
        raise Invalid("The file has no records.", code="no_records")

    def count_judged(rows: int) -> None:
        nonlocal done
        done += rows
        report("judging", done, total)

    def end_staging() -> None:
        staging.lock_job(actor, job)
        now = ImportJob.objects.get(pk=job_id)
        if now.status == JobStatus.VALIDATING:
            digest = plan.judge_whole_file(actor, now, prepared.plan)
            _go_on(actor, job_id, clock())
            note_counts(actor, job_id, clock(), status=JobStatus.STAGED, plan_digest=digest)

    retried(end_staging)
    if job.is_dry_run:
        with unit_of_work():
            total, done = ImportJob.objects.get(pk=job_id).total_count, 0
        dry_run.judge_all(actor, job, prepared.plan, clock(), count_judged)

        def redigest() -> None:
            again = ImportJob.objects.get(pk=job_id)
            note_counts(actor, job_id, clock(), plan_digest=plan.digest_of(actor, again))

        retried(redigest)


def _commit(
    actor: Actor, job: ImportJob, prepared: staging.Prepared, report: Report, clock: Callable[[], datetime]
) -> Ended:
    done = 0

    def count_committed(rows: int) -> None:
        nonlocal done
        done += rows
        report("importing", done, job.total_count)

    commit.commit_all(actor, job, prepared.plan, clock, count_committed)
    return retried(lambda: _finish(actor, job.pk, None, clock()))


def _counts(job: ImportJob) -> Counts:
    with unit_of_work():
        return count_rows(job.company_id, job.pk)


def _finish(actor: Actor, job_id: UUID, status: str | None, now: datetime) -> Ended:
    counts = count_rows(actor.company_id, job_id)
    # A cancellation that came after the last batch stands: it has been answered.
    current = ImportJob.objects.select_for_update().get(pk=job_id).status
    if status is None and current == JobStatus.CANCELED:
        status = JobStatus.CANCELED
    if status is None:
        bad = counts.invalid + counts.failed
        status = JobStatus.COMPLETED_WITH_ERRORS if bad else JobStatus.COMPLETED
    note_counts(actor, job_id, now, counts, status=status, finished_at=now)
    notify_end(actor, job_id, now=now, counts=counts)
    with connection.cursor() as cursor:
        cursor.execute("SELECT plan_digest FROM data_import_importjob WHERE id = %s", [job_id])
        digest = cursor.fetchone()[0]
    return Ended(status, counts, digest)


def _refuse(actor: Actor, job_id: UUID, refusal: DomainError, now: datetime) -> Ended:
    counts = count_rows(actor.company_id, job_id)
    status = JobStatus.FAILED if counts.total else JobStatus.MAPPED
    note_counts(actor, job_id, now, counts, status=status, error=_in_words(refusal)[:2_000])
    notify_end(actor, job_id, now=now, error=_in_words(refusal)[:2_000])
    return Ended(status, counts, "", refusal.detail, refusal.faults)


def _in_words(refusal: DomainError) -> str:
    """The refusal with all its reasons: whoever looks at the job later has nothing but this text."""
    reasons = [fault.detail for fault in refusal.faults if fault.detail not in refusal.detail]
    return " ".join([refusal.detail, *reasons])
