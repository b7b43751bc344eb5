"""What keeps the rows of old imports from lying around forever. Their files go by themselves (`core.files`)."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Q

from core.kernel.transactions import unit_of_work
from core.tenancy.actors import system_actor
from core.tenancy.context import actor_context
from data_import.models import ImportJob, JobStatus
from data_import.operations.jobs import change_job
from data_import.operations.limits import CLOSED
from data_import.operations.staging import lock_job

BATCH = 100


def release_old_imports(company_id: UUID, *, before: datetime, now: datetime) -> int:
    """Remove the staged rows of imports that nobody has touched since `before`, and cancel those never finished.

    The jobs stay, with their counts. Each is a transaction of its own. Returns how many were released.
    """
    actor = system_actor(company_id)
    old = Q(updated_at__lt=before) & (Q(staged_bytes__gt=0) | ~Q(status__in=CLOSED))
    released = 0
    with actor_context(actor, source="task"):
        while True:
            with unit_of_work():
                jobs = list(ImportJob.objects.filter(old).order_by("pk")[:BATCH])
            for job in jobs:
                with unit_of_work():
                    lock_job(actor, job)
                    _remove_staged(company_id, job.pk)
                    status = job.status if job.status in CLOSED else JobStatus.CANCELED
                    change_job(actor, job.pk, now, staged_bytes=0, status=status)
                released += 1
            if len(jobs) < BATCH:
                return released


def _remove_staged(company_id: UUID, job_id: UUID) -> None:
    with connection.cursor() as cursor:
        for table in ("data_import_importstagingrecord", "data_import_importbatch"):
            cursor.execute(f"DELETE FROM {table} WHERE company_id = %s AND job_id = %s", [company_id, job_id])
