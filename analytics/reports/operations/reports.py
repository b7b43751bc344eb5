"""Reports are judged when they are written: against what whoever writes them may see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from analytics.reports.definitions import read_definition
from analytics.reports.models import Frequency, Report
from analytics.reports.queries import DEFINING
from analytics.reports.schedules import next_time, read_schedule
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.delivery.addresses import read_address
from core.kernel.errors import DomainError, Fault, refused_input
from core.tenancy import context
from core.tenancy.actors import Actor

MAX_RECIPIENTS = 50
SCHEDULING = ("is_scheduled", "schedule_frequency", "schedule", "owner")

_SPEC = WriteSpec(
    Report,
    derive={"owner_id": "coalesce(n.owner_id, o.owner_id, %(user)s::uuid)"},
)
_REMOVAL = WriteSpec(Report)


def check_report(values: Mapping[str, Any]) -> None:
    """Judge one row that is created or changed, with the actor in context.

    Raises: Invalid with every fault; Forbidden likewise, when a field is masked for the actor.
    """
    actor = context.current().actor
    assert actor is not None  # noqa: S101 - writes have an actor
    stored = Report.objects.filter(pk=values["id"]).first() if values.get("id") is not None else None
    faults: list[Fault] = []
    if stored is None or any(name in values for name in DEFINING):
        document = {
            name: values[name] if name in values else getattr(stored, name) if stored else None
            for name in DEFINING
        }
        try:
            read_definition(actor, document)
        except DomainError as refusal:
            faults += refusal.faults
    if any(name in values for name in SCHEDULING):
        frequency = values.get("schedule_frequency") or (
            stored.schedule_frequency if stored else Frequency.WEEKLY
        )
        schedule = values.get("schedule", stored.schedule if stored else {})
        faults += read_schedule(schedule, frequency)[1]
    if "schedule_recipients" in values:
        faults += _recipients(values["schedule_recipients"])
    if "shared_with" in values:
        faults += people_faults(values["shared_with"])
    if faults:
        raise refused_input(faults=faults)


def _recipients(documents: Any) -> list[Fault]:
    path = "schedule_recipients"
    if not isinstance(documents, list):
        return [Fault(path, "not_a_list", "A list of e-mail addresses is expected.")]
    if len(documents) > MAX_RECIPIENTS:
        return [Fault(path, "too_many", f"At most {MAX_RECIPIENTS} recipients are allowed.")]
    faults: list[Fault] = []
    for place, item in enumerate(documents):
        where = f"{path}.{place}"
        if not isinstance(item, str):
            faults.append(Fault(where, "not_text", "A text is expected."))
            continue
        try:
            read_address(item, where)
        except DomainError as refusal:
            faults += refusal.faults
    return faults


def people_faults(documents: Any) -> list[Fault]:
    if not isinstance(documents, list) or len(documents) > 500:
        return [
            Fault("shared_with", "not_a_list", "A list of at most 500 ids of people and roles is expected.")
        ]
    faults = []
    for place, item in enumerate(documents):
        try:
            UUID(item)
        except (ValueError, TypeError, AttributeError):
            faults.append(Fault(f"shared_with.{place}", "not_an_id", "An id (UUID) is expected."))
    return faults


def create_reports(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Keep reports. Needs a transaction. `check_report` has judged their content."""
    outcome = insert(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _arm(actor, outcome, now)
    return outcome


def update_reports(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change reports. Needs a transaction. `check_report` has judged their content."""
    outcome = update(_SPEC, rows, actor=actor, now=now, all_or_none=all_or_none)
    _arm(actor, outcome, now)
    return outcome


def _arm(actor: Actor, outcome: Outcome, now: datetime) -> None:
    """When the written reports are due next; never while they are not scheduled. Two statements for any number."""
    changed = [key for place, key in outcome.ids.items() if place not in outcome.unchanged]
    if not changed:
        return
    armed = []
    for report in Report.objects.filter(pk__in=changed):
        due = None
        if report.is_scheduled and report.schedule_recipients:
            due = next_time(report.schedule, report.schedule_frequency, actor.zone, now)
        if due != report.next_run_at:
            report.next_run_at = due
            armed.append(report)
    if armed:
        Report.objects.bulk_update(armed, ["next_run_at"])


def stop_schedule(actor: Actor, report: Report, *, now: datetime) -> None:
    """Send the report no more. Needs a transaction."""
    row = {"id": report.pk, "is_scheduled": False}
    update(_SPEC, Rows.of(Report, [row]), actor=actor, now=now).raise_if_refused()
    Report.objects.filter(pk=report.pk).update(next_run_at=None)


def delete_reports(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Remove reports with their runs. Needs a transaction."""
    outcome = erase(_REMOVAL, rows, actor=actor, now=now, all_or_none=all_or_none)
    gone = list(outcome.ids.values())
    if gone:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM analytics_reportrun WHERE report_id = ANY(%s)", [gone])
    return outcome


__all__ = ["check_report", "create_reports", "delete_reports", "update_reports"]
