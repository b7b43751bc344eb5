"""The worker's entry to audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from audit.models import OutputStatus
from audit.operations.outputs import EXPORT, REPORT, Made, OwnerGone, end_output, make_export, make_report
from audit.operations.retention import apply_retention, drop_empty_partitions
from audit.operations.seals import seal_new
from core.jobs import GiveUp, JobRun, Presented, Reference, job_handler
from core.tenancy.actors import Actor, system_actor

# Closing a workbook of a million rows takes minutes in which nothing can be said.
LEASE = timedelta(minutes=5)
_PATHS = {
    EXPORT: ("audit_log_export", "audit/exports"),
    REPORT: ("compliance_report", "audit/compliance-reports"),
}


@job_handler("audit.seal", tenancy="platform", transactional=False, every=timedelta(minutes=1))
def seal(run: JobRun) -> None:
    """New entries of all companies get their seals."""
    seal_new(now=timezone.now, keep=run.heartbeat)


@job_handler("audit.retention", transactional=False, every=timedelta(days=1), offset=timedelta(hours=4))
def retain(run: JobRun) -> None:
    """Entries go whose policies no longer ask for them."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    apply_retention(run.company_id, now=timezone.now, keep=run.heartbeat)


@job_handler(
    "audit.drop_partitions",
    tenancy="platform",
    every=timedelta(days=1),
    offset=timedelta(hours=5, minutes=30),
)
def drop_partitions(run: JobRun) -> None:
    """Months of the log of which nothing is left."""
    drop_empty_partitions(now=timezone.now())


def _failed(run: JobRun, reason: str) -> None:
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    # Reasons of ours are for people; others quote the program.
    error = (
        reason.removeprefix("GiveUp: ") if reason.startswith("GiveUp: ") else "A fault of ours stopped it."
    )
    actor = system_actor(run.company_id)
    end_output(
        run.kind,
        UUID(run.payload["id"]),
        actor=actor,
        status=OutputStatus.FAILED,
        error=error,
        now=timezone.now(),
    )


def _canceled_by(kind: str) -> Callable[[Actor, Mapping[str, Any], datetime], None]:
    def canceled(actor: Actor, payload: Mapping[str, Any], now: datetime) -> None:
        end_output(kind, UUID(payload["id"]), actor=actor, status=OutputStatus.CANCELED, error="", now=now)

    return canceled


def _record_of(kind: str) -> Callable[[Mapping[str, Any]], Reference]:
    entity, path = _PATHS[kind]
    return lambda payload: Reference(entity, UUID(payload["id"]), f"{path}/{payload['id']}/")


def _present(outcome: Mapping[str, Any]) -> Presented:
    count = outcome["row_count"]
    text = "Nothing was left to do." if count is None else f"{count} rows. {outcome['notice']}".strip()
    return Presented(text, outcome["path"])


def _outcome(run: JobRun, make: Callable[..., Made]) -> dict[str, Any]:
    try:
        made = make(run, clock=timezone.now)
    except OwnerGone as gone:
        raise GiveUp(str(gone)) from None
    return {**asdict(made), "path": f"{_PATHS[run.kind][1]}/{run.payload['id']}/download/"}


@job_handler(
    EXPORT,
    transactional=False,
    lease=LEASE,
    label="Audit log export",
    description="Writes entries of the change log into a file.",
    on_failed=_failed,
    on_canceled=_canceled_by(EXPORT),
    refers_to=_record_of(EXPORT),
    present=_present,
)
def export(run: JobRun) -> dict[str, Any]:
    """The file of an export."""
    return _outcome(run, make_export)


@job_handler(
    REPORT,
    transactional=False,
    lease=LEASE,
    label="Compliance report",
    description="Answers a question of compliance from the change log, as PDF and JSON.",
    on_failed=_failed,
    on_canceled=_canceled_by(REPORT),
    refers_to=_record_of(REPORT),
    present=_present,
)
def report(run: JobRun) -> dict[str, Any]:
    """The files of a compliance report."""
    return _outcome(run, make_report)
