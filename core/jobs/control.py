"""What people do about long work: cancel it, or have it tried again. The queue itself is moved by `operations`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from core.jobs import operations
from core.jobs.models import Job
from core.jobs.queries import get_job
from core.jobs.registry import job_kinds
from core.kernel.errors import Conflict
from core.tenancy.actors import Actor


def can_cancel(job: Job) -> bool:
    """Whether it can still be canceled."""
    kind = job_kinds.find(job.kind)
    return job.state == Job.State.OPEN and kind is not None and kind.cancelable


def can_retry(job: Job) -> bool:
    """Whether it was given up and can be tried again."""
    return job.state == Job.State.FAILED and job.kind in job_kinds


def cancel_job(*, actor: Actor, job_id: UUID, now: datetime) -> None:
    """End a job that waits or runs; what it has committed stays. Needs a transaction.

    A running one stops at its next heartbeat; a transaction it is in is waited for. Raises: NotFound for a job that the
    actor does not see; Conflict (`job_not_cancelable`, `job_ended`).
    """
    job = get_job(actor, job_id)
    kind = job_kinds[job.kind]
    if not kind.cancelable:
        raise Conflict("This work cannot be canceled.", code="job_not_cancelable")
    if not operations.cancel(job.pk, now=now):
        raise Conflict("This work has already ended.", code="job_ended")
    if kind.on_canceled is not None:
        kind.on_canceled(actor, job.payload, now)


def retry_job(*, actor: Actor, job_id: UUID, now: datetime) -> None:
    """Have a failed job tried again, with all its attempts. Needs a transaction.

    Raises: NotFound for a job that the actor does not see; Conflict (`job_not_failed`).
    """
    job = get_job(actor, job_id)
    if not operations.retry(job.pk, now=now):
        raise Conflict("Only work that failed can be tried again.", code="job_not_failed")
