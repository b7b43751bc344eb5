"""The worker's entry to imports, and their housekeeping."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.jobs import JobRun, job_handler
from core.kernel.errors import Invalid
from core.kernel.transactions import retried, unit_of_work
from core.tenancy.actors import system_actor
from data_import.models import ImportJob, JobStatus
from data_import.operations.housekeeping import ORPHANED_AFTER, remove_orphans
from data_import.operations.jobs import RUN, change_job
from data_import.operations.run import actor_of, run_import


def _on_failed(run: JobRun, reason: str) -> None:
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    change_job(
        system_actor(run.company_id),
        UUID(run.payload["job"]),
        timezone.now(),
        status=JobStatus.FAILED,
        error="The import stopped because of a fault of ours. Start it again to go on from where it was.",
    )


@job_handler(RUN, transactional=False, on_failed=_on_failed)
def run(run: JobRun) -> None:
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
        return

    def report(phase: str, done: int, total: int) -> None:
        run.progress(done, total or None, phase)

    run_import(actor=actor, job_id=job_id, report=report)


@job_handler("import.remove_orphans", transactional=False, every=timedelta(days=1), offset=timedelta(hours=5))
def remove_orphaned_files(run: JobRun) -> None:
    """Files of uploads that were undone."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    remove_orphans(run.company_id, before=timezone.now() - ORPHANED_AFTER)
