"""The worker's entry to imports, and their housekeeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from core.jobs import GiveUp, JobCanceled, JobRun, Presented, Reference, job_handler
from core.kernel.errors import Invalid
from core.kernel.transactions import limits, retried, unit_of_work
from core.tenancy.actors import Actor, system_actor
from data_import.models import ImportJob, JobStatus
from data_import.operations.housekeeping import release_old_imports
from data_import.operations.jobs import CANCEL_SECONDS, RUN, Canceled, change_job
from data_import.operations.notices import notify_end
from data_import.operations.run import actor_of, run_import


def _on_failed(run: JobRun, reason: str) -> None:
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    job_id = UUID(run.payload["job"])
    if ImportJob.objects.exclude(error="").filter(pk=job_id).exists():
        # It was refused, and says why.
        return
    error = "The import stopped because of a fault of ours. Start it again to go on from where it was."
    _fail(system_actor(run.company_id), job_id, error)


def _fail(actor: Actor, job_id: UUID, error: str) -> None:
    now = timezone.now()
    change_job(actor, job_id, now, status=JobStatus.FAILED, error=error)
    notify_end(actor, job_id, now=now, error=error)


def _on_canceled(actor: Actor, payload: Mapping[str, Any], now: datetime) -> None:
    job_id = UUID(payload["job"])
    if not ImportJob.objects.filter(pk=job_id).exists():
        return
    # A batch that is being committed is waited for.
    with limits(lock_seconds=CANCEL_SECONDS):
        change_job(actor, job_id, now, status=JobStatus.CANCELED, finished_at=now)


def _refers_to(payload: Mapping[str, Any]) -> Reference:
    return Reference("import_job", UUID(payload["job"]), f"data-import/jobs/{payload['job']}/")


def _present(outcome: Mapping[str, Any]) -> Presented:
    counts = outcome["counts"]
    if outcome["status"] == JobStatus.STAGED:
        text = (
            f"Checked {counts['total']} rows: {counts['valid']} to import, {counts['invalid']} with errors."
        )
    else:
        bad = counts["invalid"] + counts["failed"]
        text = f"{counts['created']} created, {counts['updated']} updated, {counts['skipped']} skipped, {bad} with errors."
    return Presented(text, f"data-import/jobs/{outcome['job']}/")


@job_handler(
    RUN,
    transactional=False,
    on_failed=_on_failed,
    label="Import",
    description="Reads a file, checks its rows, and creates or updates records.",
    on_canceled=_on_canceled,
    refers_to=_refers_to,
    present=_present,
)
def run(run: JobRun) -> dict[str, Any]:
    """Carry an import on from its last commit."""
    job_id = UUID(run.payload["job"])
    with unit_of_work():
        job = ImportJob.objects.get(pk=job_id)
    try:
        actor = actor_of(job)
    except Invalid as refusal:
        gone = refusal.detail
        system = system_actor(job.company_id)
        retried(lambda: change_job(system, job_id, timezone.now(), status=JobStatus.FAILED, error=gone))
        raise GiveUp(gone) from None

    def report(phase: str, done: int, total: int) -> None:
        try:
            run.progress(done, total or None, phase)
        except JobCanceled:
            # Ends the import in order: what is in is counted.
            raise Canceled from None

    ended = run_import(actor=actor, job_id=job_id, report=report)
    if ended.error:
        raise GiveUp(ended.error)
    return {
        "job": str(job_id),
        "status": ended.status,
        "counts": asdict(ended.counts),
    }


@job_handler("import.release_old", transactional=False, every=timedelta(days=1), offset=timedelta(hours=5))
def release_old(run: JobRun) -> None:
    """Staged rows of imports whose time is over."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    now = timezone.now()
    kept = timedelta(days=settings.IMPORT_RETENTION_DAYS)
    release_old_imports(run.company_id, before=now - kept, now=now)
