"""The worker's entry to stored files."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from core.files.operations import sweep_files
from core.jobs import JobRun, job_handler


@job_handler(
    "files.sweep",
    tenancy="platform",
    transactional=False,
    every=timedelta(hours=1),
    offset=timedelta(minutes=7),
)
def sweep(run: JobRun) -> None:
    """Files whose time is over, and bytes of transactions that were undone."""
    sweep_files(now=timezone.now(), heartbeat=run.heartbeat)
