"""The times that a report was run: answers that people saw, and files that jobs make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from django.utils import timezone

from analytics.reports import queries
from analytics.reports.models import Report, ReportRun, RunStatus
from analytics.reports.rendering import chart_of, report_document
from core.access import view
from core.files.models import StoredFile
from core.files.operations import store_file
from core.identity.models import ApiKey, User
from core.identity.queries import find_actor, get_company, narrowed_to
from core.jobs import JobRun, enqueue
from core.kernel.errors import DomainError
from core.kernel.ids import uuid7
from core.kernel.transactions import unit_of_work
from core.render import Chart, Rendered, render
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context

FILE = "analytics.report_file"
FILE_KIND = "report"
BLOCK_BYTES = 1 << 20


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


def ask_for_file(actor: Actor, report: Report, *, format: str, filters: Any, now: datetime) -> ReportRun:
    """Have a job run the report as the actor and make a file of it. Needs a transaction."""
    run = ReportRun(
        id=uuid7(),
        company_id=actor.company_id,
        report_id=report.pk,
        run_as_id=actor.user_id,
        format=format,
        created_at=now,
        created_by_id=actor.user_id,
        filters=filters if isinstance(filters, list) else [filters],
    )
    payload = {
        "run": str(run.pk),
        "report": str(report.pk),
        "user": str(actor.user_id) if actor.user_id else None,
        # A key's file shows no more than the key itself.
        "api_key": str(actor.api_key_id) if actor.api_key_id else None,
    }
    run.job_id = enqueue(kind=FILE, payload=payload, now=now, subject=report.name)
    run.save(force_insert=True)
    return run


# --- making ----------------------------------------------------------------------------------------------------


class RunnerGone(Exception):
    """Whoever a report would run as is no active member any more, or may not see it."""


@dataclass(frozen=True)
class MadeFile:
    """A rendered report. `content` is open and at its beginning."""

    content: IO[bytes]
    rendered: Rendered
    record_count: int
    chart: Chart | None


def actor_of_job(run: JobRun) -> Actor:
    """Who asked for it, with the rights of this moment. Raises: RunnerGone."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    if run.payload["user"] is None:
        return system_actor(run.company_id)
    actor = find_actor(UUID(run.payload["user"]), run.company_id)
    key = run.payload["api_key"]
    if actor is not None and key is not None:
        with unit_of_work():
            found = ApiKey.objects.filter(pk=UUID(key), revoked_at=None).first()
        actor = narrowed_to(actor, found) if found is not None else None
    if actor is None:
        raise RunnerGone("Whoever asked for this is no member any more.")
    return actor


def find_report(actor: Actor, report_id: UUID) -> Report:
    """The report, if the actor may see it now. Raises: RunnerGone."""
    reports = view("report", actor)
    found: Report | None = reports.records().filter(pk=report_id).first() if reports.can("read") else None
    if found is None:
        raise RunnerGone("The report is gone, or may not be seen any more.")
    return found


def make_file(
    actor: Actor, report: Report, *, format: str, filters: Any, out: IO[bytes], now: datetime
) -> MadeFile:
    """Run the report as the actor and write it. Needs a transaction and the actor in context.

    Raises: as `queries.run`; NotRenderable.
    """
    document = {**queries.document_of(report), "filters": filters}
    answer = queries.run(actor, document, now=now)
    chart = chart_of(actor, document, report.name, now=now) if format != "csv" else None
    person = User.objects.filter(pk=actor.user_id).first() if actor.user_id else None
    company = get_company(actor)
    written = report_document(
        answer,
        title=report.name,
        chart=chart,
        description=report.description,
        by=str(person or "The system"),
        company=company.name,
        locale=company.locale,
        zone=actor.zone,
    )
    rendered = render(format, written, out)
    out.seek(0)
    return MadeFile(out, rendered, answer.record_count, chart)


def complete(run: JobRun, *, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Make the file of a run that somebody asked for. Opens its own transactions; done twice, the file is made once.

    Raises: RunnerGone, LeaseLost, JobCanceled, what `store_file` raises.
    """
    actor = actor_of_job(run)
    run_id = UUID(run.payload["run"])
    path = f"analytics/reports/{run.payload['report']}/runs/{run_id}/download/"
    with actor_context(actor, source="task"), TemporaryFile() as out:
        with unit_of_work():
            noted = ReportRun.objects.filter(pk=run_id, status=RunStatus.PENDING).first()
            if noted is None:
                return {"path": path, "row_count": None}
            report = find_report(actor, noted.report_id)
            made = make_file(actor, report, format=noted.format, filters=noted.filters, out=out, now=clock())
        with run.transaction():
            keep_file(actor, noted, made, now=clock())
    return {"path": path, "row_count": made.record_count}


def keep_file(actor: Actor, noted: ReportRun, made: MadeFile, *, now: datetime) -> StoredFile:
    """Store the file of a run and note that it is done. Needs a transaction."""
    blocks: Iterator[bytes] = iter(lambda: made.content.read(BLOCK_BYTES), b"")
    stored = store_file(
        actor=actor,
        kind=FILE_KIND,
        name=made.rendered.file_name,
        blocks=blocks,
        now=now,
        entity_type="report",
        record_id=noted.report_id,
    )
    ReportRun.objects.filter(pk=noted.pk).update(
        status=RunStatus.SUCCEEDED,
        finished_at=now,
        duration_ms=int((now - noted.created_at).total_seconds() * 1000),
        row_count=made.record_count,
        is_complete=made.rendered.is_complete,
        error=" ".join(made.rendered.notices),
        file_id=stored.pk,
    )
    return stored


def end_run(run_id: UUID, *, error: str, now: datetime) -> None:
    """Note that a run will not come. Needs a transaction."""
    ReportRun.objects.filter(pk=run_id, status=RunStatus.PENDING).update(
        status=RunStatus.FAILED, finished_at=now, error=error
    )


def reason_of(refusal: DomainError) -> str:
    """A refusal in one text for people."""
    return " ".join([refusal.detail, *(f"{item.path}: {item.detail}" for item in refusal.faults)])
