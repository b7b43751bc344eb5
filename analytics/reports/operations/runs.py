"""The times that a report was run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from analytics.reports.models import Report, ReportRun, RunStatus
from core.kernel.ids import uuid7
from core.tenancy.actors import Actor


def note_run(actor: Actor, report: Report, *, row_count: int, filters: Any, now: datetime) -> ReportRun:
    """Keep that somebody ran the report and got its answer. Needs a transaction."""
    ended = timezone.now()
    run = ReportRun(
        id=uuid7(),
        company_id=actor.company_id,
        report_id=report.pk,
        run_as_id=actor.user_id,
        status=RunStatus.SUCCEEDED,
        format="json",
        created_at=now,
        created_by_id=actor.user_id,
        finished_at=ended,
        duration_ms=int((ended - now).total_seconds() * 1000),
        row_count=row_count,
        is_complete=True,
        filters=filters if isinstance(filters, list) else [filters],
    )
    run.save(force_insert=True)
    return run
