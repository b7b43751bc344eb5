"""Background work of workflows: carrying runs on, and what is due."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.jobs import JobRun, job_handler
from core.kernel.transactions import unit_of_work
from workflow.operations.due import DUE, hand_on_due, start_due
from workflow.operations.execution import ADVANCE, advance, fail_open_runs


def _on_failed(run: JobRun, reason: str) -> None:
    fail_open_runs([UUID(item) for item in run.payload["runs"]], now=timezone.now())


@job_handler(ADVANCE, transactional=False, on_failed=_on_failed)
def carry_on(run: JobRun) -> None:
    """Carry runs on, one after the other, each until it ends or waits."""
    for item in run.payload["runs"]:
        advance(run, UUID(item))


@job_handler(DUE)
def start_what_is_due(run: JobRun) -> None:
    """Start what a company's schedules and dates owe."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    start_due(run.company_id, [UUID(item) for item in run.payload["triggers"]], now=timezone.now())


@job_handler("workflow.tick", tenancy="platform", every=timedelta(minutes=1))
def look_for_due(run: JobRun) -> None:
    """Find triggers whose time has come."""
    with unit_of_work():
        hand_on_due(now=timezone.now())
