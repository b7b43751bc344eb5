"""The worker's entry to reports: files that people asked for, and deliveries by schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from analytics.reports.operations.delivery import (
    DELIVER,
    DUE,
    deliver,
    fail_delivery,
    hand_on_due,
    start_due,
)
from analytics.reports.operations.runs import FILE, RunnerGone, complete, end_run, reason_of
from core.jobs import GiveUp, JobRun, Presented, Reference, job_handler
from core.kernel.errors import DomainError, Unavailable
from core.kernel.transactions import unit_of_work
from core.render import NotRenderable
from core.tenancy.actors import Actor


def _tried(run: JobRun, work: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The outcome; what trying again cannot help ends the job at once."""
    try:
        return work(run, clock=timezone.now)
    except Unavailable:
        raise
    except DomainError as refusal:
        raise GiveUp(reason_of(refusal)) from None
    except (RunnerGone, NotRenderable) as reason:
        raise GiveUp(str(reason)) from None


def _for_people(reason: str) -> str:
    """Reasons of ours are for people; others quote the program."""
    return reason.removeprefix("GiveUp: ") if reason.startswith("GiveUp: ") else "A fault of ours stopped it."


def _file_failed(run: JobRun, reason: str) -> None:
    end_run(UUID(run.payload["run"]), error=_for_people(reason), now=timezone.now())


def _canceled(actor: Actor, payload: Mapping[str, Any], now: datetime) -> None:
    end_run(UUID(payload["run"]), error="Canceled.", now=now)


def _report_of(payload: Mapping[str, Any]) -> Reference:
    return Reference("report", UUID(payload["report"]), f"analytics/reports/{payload['report']}/")


def _made(outcome: Mapping[str, Any]) -> Presented:
    count = outcome["row_count"]
    return Presented(
        "Nothing was left to do." if count is None else f"A report on {count:,} records.", outcome["path"]
    )


@job_handler(
    FILE,
    transactional=False,
    label="Report file",
    description="Runs a report and writes it as a file.",
    on_failed=_file_failed,
    on_canceled=_canceled,
    refers_to=_report_of,
    present=_made,
)
def write_file(run: JobRun) -> dict[str, Any]:
    """The file of a report that somebody asked for."""
    return _tried(run, complete)


def _delivery_failed(run: JobRun, reason: str) -> None:
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    fail_delivery(run.company_id, UUID(run.payload["run"]), _for_people(reason), now=timezone.now())


def _delivered(outcome: Mapping[str, Any]) -> Presented:
    return Presented(f"Sent to {outcome['recipients']} recipients.")


@job_handler(
    DELIVER,
    transactional=False,
    label="Report delivery",
    description="Runs a scheduled report and mails it.",
    on_failed=_delivery_failed,
    on_canceled=_canceled,
    refers_to=_report_of,
    present=_delivered,
)
def send_report(run: JobRun) -> dict[str, Any]:
    """A scheduled report on its way."""
    return _tried(run, deliver)


@job_handler(DUE)
def start_what_is_due(run: JobRun) -> None:
    """Start the deliveries that a company's schedules owe."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    start_due(run.company_id, [UUID(item) for item in run.payload["reports"]], now=timezone.now())


@job_handler("analytics.report_tick", tenancy="platform", every=timedelta(minutes=1))
def look_for_due(run: JobRun) -> None:
    """Find reports whose time has come."""
    with unit_of_work():
        hand_on_due(now=timezone.now())
