"""Telling who started an import how it ended."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.delivery.operations import notify
from core.tenancy.actors import Actor
from data_import.models import ImportJob, JobStatus
from data_import.queries import Counts

# In the registry of `core.delivery.kinds`.
KIND = "import.finished"
_TITLES = {
    JobStatus.COMPLETED: "Import of {file} finished",
    JobStatus.COMPLETED_WITH_ERRORS: "Import of {file} finished with errors",
    JobStatus.CANCELED: "Import of {file} was canceled",
    JobStatus.FAILED: "Import of {file} failed",
    JobStatus.MAPPED: "Import of {file} needs your attention",
}


def notify_end(
    actor: Actor, job_id: UUID, *, now: datetime, counts: Counts | None = None, error: str = ""
) -> None:
    """Notify the job's owner of its status, in the transaction that set it."""
    job = ImportJob.objects.get(pk=job_id)
    title = _TITLES.get(JobStatus(job.status))
    if job.owner_id is None or title is None:
        return
    notify(
        actor=actor,
        kind=KIND,
        key=f"{job_id}:{job.status}:{now.isoformat()}",
        recipients=[job.owner_id],
        title=title.format(file=job.file_name),
        body=error or (_outcome(counts) if counts is not None else ""),
        entity_type="import_job",
        entity_id=job_id,
        now=now,
    )


def _outcome(counts: Counts) -> str:
    parts = [
        (counts.created, "created"),
        (counts.updated, "updated"),
        (counts.skipped, "skipped"),
        (counts.invalid + counts.failed, "with errors"),
    ]
    texts = [f"{number:,} {what}" for number, what in parts if number]
    return (", ".join(texts) or "Nothing was written") + "."
