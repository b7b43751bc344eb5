"""Background work of approvals: escalation."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.jobs import JobRun, job_handler
from core.kernel.transactions import unit_of_work
from workflow.approvals.operations import ESCALATE, escalate_due, hand_on_overdue


@job_handler(ESCALATE)
def raise_overdue(run: JobRun) -> None:
    """Raise a company's requests that nobody has decided in time."""
    escalate_due([UUID(item) for item in run.payload["requests"]], now=timezone.now())


@job_handler("workflow.overdue", tenancy="platform", every=timedelta(minutes=1))
def look_for_overdue(run: JobRun) -> None:
    """Find requests whose time is over."""
    with unit_of_work():
        hand_on_overdue(now=timezone.now())
