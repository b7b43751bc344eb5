"""The worker's entry to audit."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from audit.operations.seals import seal_new
from core.jobs import JobRun, job_handler


@job_handler("audit.seal", tenancy="platform", transactional=False, every=timedelta(minutes=1))
def seal(run: JobRun) -> None:
    """New entries of all companies get their seals."""
    seal_new(now=timezone.now, keep=run.heartbeat)
