"""Reports that are sent by schedule: each slot once, as the owner or as each recipient, with the rights of that moment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

from django.conf import settings

from analytics.reports.models import Report, ReportRun, RunStatus
from analytics.reports.operations.reports import stop_schedule
from analytics.reports.operations.runs import RunnerGone, end_run, find_report, keep_file, make_file
from analytics.reports.schedules import next_time
from analytics.reports.schemas import ScheduleDocument
from core.delivery.operations import Attachment, NewMail, notify, send_many
from core.delivery.system_mails import render_mail
from core.files.models import StoredFile
from core.files.operations import create_link
from core.identity.models import User
from core.identity.operations import get_company_setting
from core.identity.queries import find_actor, get_company
from core.jobs import JobRun, enqueue, take_slots
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction, unit_of_work
from core.render.charts.images import ChartsNotInstalled, png
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context

DUE, DELIVER = "analytics.reports_due", "analytics.report_delivery"
FAILED_KIND = "report.failed"
DOMAINS_SETTING = "report_recipient_domains"
# Reports that one tick hands on.
MAX_REPORTS = 1_000
# Files up to so many bytes go along; of larger ones a link does.
MAX_ATTACHED = 10_000_000
LINK_LIFETIME = timedelta(days=7)


# --- what is due -----------------------------------------------------------------------------------------------


def hand_on_due(*, now: datetime) -> int:
    """A job for each company with reports that are due. Needs a transaction and a system context."""
    needs_transaction()
    found: dict[UUID, list[str]] = defaultdict(list)
    rows = Report.objects.filter(is_scheduled=True, next_run_at__lte=now).order_by("next_run_at")
    for company_id, key in rows.values_list("company_id", "pk")[:MAX_REPORTS]:
        found[company_id].append(str(key))
    for company_id, keys in found.items():
        enqueue(kind=DUE, payload={"reports": keys}, company_id=company_id, key="due", now=now)
    return sum(map(len, found.values()))


def start_due(company_id: UUID, report_ids: Iterable[UUID], *, now: datetime) -> int:
    """Start the deliveries that these reports owe by now; of missed slots the newest. Returns how many.

    Needs the company in context and a transaction. A schedule whose owner is no active member any more is stopped.
    """
    needs_transaction()
    rows = Report.objects.select_for_update(no_key=True, of=("self",)).filter(
        pk__in=list(report_ids), is_scheduled=True, next_run_at__lte=now
    )
    started = 0
    for report in rows:
        owner = find_actor(report.owner_id, company_id) if report.owner_id else None
        if owner is None:
            stop_schedule(system_actor(company_id), report, now=now)
            continue
        assert report.next_run_at is not None  # noqa: S101 - the query asked
        due = [report.next_run_at]
        while len(due) < 100 and (later := _next(report, owner, due[-1])) <= now:
            due.append(later)
        for slot in take_slots(f"report:{report.pk}", due, now=now):
            started += _start(report, owner, slot, now)
        Report.objects.filter(pk=report.pk).update(next_run_at=_next(report, owner, now))
    return started


def _next(report: Report, owner: Actor, after: datetime) -> datetime:
    return next_time(report.schedule, report.schedule_frequency, owner.zone, after)


def _start(report: Report, owner: Actor, slot: datetime, now: datetime) -> int:
    """The runs of one slot: one as the owner, or one for each recipient."""
    schedule = ScheduleDocument.model_validate(report.schedule or {})
    recipients = [str(item) for item in report.schedule_recipients]
    runs = [
        ReportRun(
            id=uuid7(),
            company_id=owner.company_id,
            report_id=report.pk,
            trigger=ReportRun.Trigger.SCHEDULE,
            run_as_id=owner.user_id,
            format=report.delivery_format,
            recipient=recipient,
            due_at=slot,
            created_at=now,
            created_by_id=owner.user_id,
        )
        for recipient in (recipients if schedule.per_recipient else [""])
    ]
    for run in runs:
        payload = {"run": str(run.pk), "report": str(report.pk)}
        run.job_id = enqueue(kind=DELIVER, payload=payload, now=now, subject=report.name)
    ReportRun.objects.bulk_create(runs)
    return len(runs)


# --- delivering ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Addressed:
    """Who gets a report, and who does not."""

    allowed: list[str]
    refused: list[str]


def deliver(run: JobRun, *, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Make the file of a scheduled run and mail it. Opens its own transactions; done twice, it is mailed once.

    Raises: RunnerGone, DomainError for a report that cannot be run, LeaseLost, JobCanceled.
    """
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    run_id = UUID(run.payload["run"])
    with actor_context(system_actor(run.company_id), source="task"), unit_of_work():
        noted = ReportRun.objects.filter(pk=run_id, status=RunStatus.PENDING).first()
        if noted is None:
            return {"recipients": 0}
        actor = _runner(noted)
    with actor_context(actor, source="task"), TemporaryFile() as out:
        with unit_of_work():
            report = find_report(actor, noted.report_id)
            made = make_file(actor, report, format=noted.format, filters=[], out=out, now=clock())
        try:
            picture = png(made.chart) if made.chart is not None else None
        except ChartsNotInstalled:
            picture = None
        with run.transaction():
            now = clock()
            stored = keep_file(actor, noted, made, now=now)
            addressed = _addressed(
                actor, [noted.recipient] if noted.recipient else report.schedule_recipients
            )
            made.content.seek(0)
            _mail(actor, report, noted, stored, made.content.read(), addressed.allowed, picture, now)
            if addressed.refused:
                _tell_refused(actor, report, noted, addressed.refused, now)
    return {"recipients": len(addressed.allowed)}


def _runner(noted: ReportRun) -> Actor:
    """As whom a run is run: as the recipient where it is made for one, else as the owner. Raises: RunnerGone."""
    user_id = noted.run_as_id
    if noted.recipient:
        person = User.objects.filter(email=noted.recipient.lower()).first()
        user_id = person.pk if person is not None else None
    actor = find_actor(user_id, noted.company_id) if user_id else None
    if actor is None:
        who = noted.recipient or "The owner"
        raise RunnerGone(f"{who} is no active member, so there is nobody whose view it could show.")
    return actor


def _addressed(actor: Actor, recipients: Iterable[Any]) -> _Addressed:
    """Members may always be written to, others where the company allows their domain."""
    addresses = list(dict.fromkeys(str(item).lower() for item in recipients))
    members = set(
        User.objects.filter(
            email__in=addresses,
            is_active=True,
            memberships__company_id=actor.company_id,
            memberships__is_active=True,
        ).values_list("email", flat=True)
    )
    domains = {str(item).lower() for item in get_company_setting(get_company(actor), DOMAINS_SETTING)}
    allowed = [item for item in addresses if item in members or item.rpartition("@")[2] in domains]
    return _Addressed(allowed, [item for item in addresses if item not in allowed])


def _mail(
    actor: Actor,
    report: Report,
    noted: ReportRun,
    stored: StoredFile,
    content: bytes,
    recipients: list[str],
    picture: bytes | None,
    now: datetime,
) -> None:
    files = []
    link = ""
    if len(content) <= MAX_ATTACHED:
        files.append(Attachment(stored.name, content, stored.content_type))
    else:
        token = create_link(stored, now=now, lifetime=LINK_LIFETIME).token
        link = f"{settings.PUBLIC_URL}/api/v1/files/d/{token}/"
    if picture is not None:
        files.append(Attachment("chart.png", picture, "image/png", "chart"))
    text, html = render_mail(
        "report",
        {
            "name": report.name,
            "description": report.description,
            "has_chart": picture is not None,
            "file_name": stored.name,
            "link": link,
            "days": LINK_LIFETIME.days,
            "url": f"{settings.PUBLIC_URL}/admin/reports/{report.pk}/",
        },
    )
    send_many(
        actor=actor,
        mails=[
            NewMail(
                kind="report",
                key=f"report:{noted.pk}",
                to=recipient,
                subject=report.name,
                text=text,
                html=html,
                attachments=files,
                entity_type="report",
                entity_id=report.pk,
            )
            for recipient in recipients
        ],
        now=now,
    )


def _tell_refused(actor: Actor, report: Report, noted: ReportRun, refused: list[str], now: datetime) -> None:
    detail = f"Not sent to {', '.join(refused)}: no member, and no domain that the company allows."
    ReportRun.objects.filter(pk=noted.pk).update(error=detail)
    _tell_owner(actor, report, f"refused:{noted.pk}", "Some recipients did not get a report", detail, now)


def fail_delivery(company_id: UUID, run_id: UUID, reason: str, *, now: datetime) -> None:
    """Note that a scheduled run has failed for good, and tell the report's owner. Needs a transaction."""
    noted = ReportRun.objects.filter(pk=run_id).select_related("report").first()
    if noted is None:
        return
    end_run(run_id, error=reason, now=now)
    actor = system_actor(company_id)
    _tell_owner(actor, noted.report, f"failed:{run_id}", f"{noted.report.name} was not sent", reason, now)


def _tell_owner(actor: Actor, report: Report, key: str, title: str, body: str, now: datetime) -> None:
    if report.owner_id is not None:
        notify(
            actor=actor,
            kind=FAILED_KIND,
            key=key,
            recipients=[report.owner_id],
            title=title,
            body=body,
            entity_type="report",
            entity_id=report.pk,
            now=now,
        )
