"""HTTP's own housekeeping."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from core.jobs.registry import JobRun, job_handler
from core.rest import idempotency


@job_handler("rest.purge_answers", every=timedelta(days=1), offset=timedelta(hours=4))
def purge_answers(run: JobRun) -> None:
    idempotency.forget_old(timezone.now())
