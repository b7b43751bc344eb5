"""Exports of the log and compliance reports: asked for, made by jobs, taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any
from uuid import UUID

from audit.compliance.reports import REPORTS, Question, report_document
from audit.exporting import columns_for, export_document, read_filters, rows_of, size_of
from audit.models import AuditLog, AuditLogExport, ComplianceReport, OutputStatus
from audit.queries import require_view
from audit.reading import LogReader
from audit.rights import MANAGE_AUDIT, VIEW_AUDIT
from core.changes import Outcome, Rows, WriteSpec, erase, insert, update
from core.changes.facts import record_fact
from core.files.models import StoredFile
from core.files.operations import delete_files, store_file
from core.identity.models import ApiKey, User
from core.identity.operations.guards import Candidate, Verdicts, read_rows
from core.identity.operations.guards import rows_of as rows_of_candidates
from core.identity.queries import find_actor, get_company, narrowed_to
from core.jobs import JobRun, cancel, enqueue
from core.kernel.transactions import unit_of_work
from core.render import render
from core.tenancy.actors import Actor, system_actor
from core.tenancy.context import actor_context

EXPORT, REPORT = "audit.export", "audit.report"
DEFAULT_PERIOD = timedelta(days=30)
BLOCK_BYTES = 1 << 20
# Formats of a report, with the field that names its file.
REPORT_FILES = {"pdf": "pdf_file_id", "json": "json_file_id"}

_EXPORT = WriteSpec(AuditLogExport)
_REPORT = WriteSpec(ComplianceReport)


# --- asking --------------------------------------------------------------------------------------------------------


def create_audit_log_exports(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Ask for exports; a job makes each. Needs a transaction. Raises: Forbidden."""
    require_view(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    for item in candidates:
        given = item.values.get("filters") or {}
        given = json.loads(given) if isinstance(given, str) else given
        item.values["filters"], faults = read_filters(given, actor.zone)
        for fault in faults:
            verdicts.refuse(item, fault.path, fault.code, fault.detail)
        item.values["name"] = item.values.get("name") or "Change log"
    return _ask(EXPORT, _EXPORT, actor, verdicts, now, all_or_none)


def create_compliance_reports(
    *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True
) -> Outcome:
    """Ask for reports; a job makes each. Needs a transaction. Raises: Forbidden."""
    require_view(actor)
    candidates = read_rows(rows)
    verdicts = Verdicts(candidates, all_or_none)
    for item in candidates:
        _check_question(actor, item, verdicts, now)
    return _ask(REPORT, _REPORT, actor, verdicts, now, all_or_none)


def _check_question(actor: Actor, item: Candidate, verdicts: Verdicts, now: datetime) -> None:
    values = item.values
    until = values["period_end"] = values.get("period_end") or now
    try:
        since = values["period_start"] = values.get("period_start") or until - DEFAULT_PERIOD
    except OverflowError:
        verdicts.refuse(item, "period_end", "too_small", "This time is too early.")
        return
    if since > until:
        verdicts.refuse(item, "period_start", "too_large", "The period ends before it begins.")
    report = REPORTS.find(values.get("report_type") or "")
    if report is None:
        return
    values["name"] = values.get("name") or report.label
    kind, record_id = values.get("subject_type") or "", values.get("subject_id")
    if not report.has_subject:
        for name, value in (("subject_type", kind), ("subject_id", record_id)):
            if value:
                verdicts.refuse(item, name, "not_together", "This report is about no single record.")
        return
    for name, value in (("subject_type", kind), ("subject_id", record_id)):
        if not value:
            verdicts.refuse(item, name, "required", "Whom the report is about is required.")
    if not kind or not record_id:
        return
    if LogReader(actor).view_of(kind) is None:
        verdicts.refuse(item, "subject_type", "not_a_choice", "There is no such kind of record for you.")
    elif not AuditLog.objects.filter(entity_type=kind, entity_id=record_id).exists():
        verdicts.refuse(item, "subject_id", "does_not_exist", "There is no such record.")


def _ask(
    kind: str, spec: WriteSpec, actor: Actor, verdicts: Verdicts, now: datetime, all_or_none: bool
) -> Outcome:
    accepted = verdicts.accepted
    for item in accepted:
        payload = {
            "id": str(item.id),
            "user": str(actor.user_id) if actor.user_id else None,
            # A key's export shows no more than the key itself.
            "api_key": str(actor.api_key_id) if actor.api_key_id else None,
        }
        item.values["job_id"] = enqueue(kind=kind, payload=payload, now=now, subject=item.values["name"])
    written = insert(
        spec, rows_of_candidates(spec.model, accepted), actor=actor, now=now, all_or_none=all_or_none
    )
    for place in written.refused:
        cancel(accepted[place].values["job_id"], now=now)
    return verdicts.outcome(written, accepted)


def delete_audit_log_exports(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Take exports away with their files; those under way are stopped. Needs a transaction."""
    return _remove(_EXPORT, ("file_id",), actor, rows, now, all_or_none)


def delete_compliance_reports(
    *, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True
) -> Outcome:
    """Take reports away with their files; those under way are stopped. Needs a transaction."""
    return _remove(_REPORT, tuple(REPORT_FILES.values()), actor, rows, now, all_or_none)


def _remove(
    spec: WriteSpec, files: tuple[str, ...], actor: Actor, rows: Rows, now: datetime, all_or_none: bool
) -> Outcome:
    ids = [item.id for item in read_rows(rows)]
    found = {
        row["id"]: row
        for row in spec.model._default_manager.filter(pk__in=ids).values("id", "job_id", *files)
    }
    outcome = erase(spec, rows, actor=actor, now=now, all_or_none=all_or_none)
    gone = [found[record_id] for record_id in outcome.ids.values() if record_id in found]
    for row in gone:
        cancel(row["job_id"], now=now)
    delete_files(actor=actor, file_ids=[row[name] for row in gone for name in files if row[name]], now=now)
    return outcome


# --- making --------------------------------------------------------------------------------------------------------


class OwnerGone(Exception):
    """Whoever asked for it has no right to it any more."""


@dataclass(frozen=True)
class Made:
    """What came of a job. `row_count` is null when there was nothing to do."""

    row_count: int | None
    notice: str = ""


def actor_of_job(run: JobRun) -> Actor:
    """Who asked for it, with the rights of this moment. Raises: OwnerGone."""
    assert run.company_id is not None  # noqa: S101 - a company's job has one
    if run.payload["user"] is None:
        return system_actor(run.company_id)
    actor = find_actor(UUID(run.payload["user"]), run.company_id)
    key = run.payload["api_key"]
    if actor is not None and key is not None:
        with unit_of_work():
            found = ApiKey.objects.filter(pk=UUID(key), revoked_at=None).first()
        actor = narrowed_to(actor, found) if found is not None else None
    if actor is None or not (actor.rights.can(VIEW_AUDIT) and actor.rights.can(MANAGE_AUDIT)):
        raise OwnerGone("Whoever asked for this may not see the change log any more.")
    return actor


def make_export(run: JobRun, *, clock: Callable[[], datetime]) -> Made:
    """Write the file of an export, store it and log it. Opens its own transactions.

    Done twice, the file is made once. Raises: OwnerGone, LeaseLost, JobCanceled, and what `store_file` raises.
    """
    actor = actor_of_job(run)
    export_id = UUID(run.payload["id"])
    with actor_context(actor, source="task"), TemporaryFile() as file:
        with unit_of_work():
            export = AuditLogExport.objects.filter(pk=export_id).first()
            if export is None or export.status == OutputStatus.DONE:
                return Made(None)
            total, last = size_of(actor, export.filters)
            by, company = _signature(actor)
        columns = columns_for(export.file_format)
        rows = rows_of(
            actor, export.filters, last, columns, lambda done: run.progress(done, total, "reading")
        )
        document = export_document(
            title=export.name,
            columns=columns,
            rows=rows,
            filters=export.filters,
            by=by,
            company=company,
            zone=actor.zone,
            now=clock(),
        )
        rendered = render(export.file_format, document, file)
        with run.transaction():
            now = clock()
            stored = _store(
                actor, "audit_export", "audit_log_export", export_id, file, rendered.file_name, now
            )
            notice = " ".join(rendered.notices)
            values = {
                "row_count": rendered.row_count,
                "is_complete": rendered.is_complete,
                "notice": notice,
                "file_id": stored.pk,
            }
            _finish(_EXPORT, actor, export_id, stored, now, values)
            _log(
                "audit_log_export",
                export,
                {
                    "filters": export.filters,
                    "file_format": export.file_format,
                    "rows": rendered.row_count,
                    "sha256": stored.sha256,
                },
            )
        return Made(rendered.row_count, notice)


def make_report(run: JobRun, *, clock: Callable[[], datetime]) -> Made:
    """Answer the question of a report and store it as PDF and JSON. As `make_export`."""
    actor = actor_of_job(run)
    report_id = UUID(run.payload["id"])
    with actor_context(actor, source="task"), TemporaryFile() as pdf, TemporaryFile() as machine:
        with unit_of_work():
            report = ComplianceReport.objects.filter(pk=report_id).first()
            if report is None or report.status == OutputStatus.DONE:
                return Made(None)
            by, company = _signature(actor)
            question = Question(
                report.period_start, report.period_end, report.subject_type, report.subject_id
            )
            document = report_document(
                actor, report.report_type, report.name, question, by=by, company=company, now=clock()
            )
        run.progress(1, 3, "writing")
        outputs = {"pdf": pdf, "json": machine}
        rendered = {name: render(name, document, out) for name, out in outputs.items()}
        run.progress(2, 3, "storing")
        with run.transaction():
            now = clock()
            stored = {
                name: _store(
                    actor,
                    "compliance_report",
                    "compliance_report",
                    report_id,
                    out,
                    rendered[name].file_name,
                    now,
                )
                for name, out in outputs.items()
            }
            count = rendered["json"].row_count
            notice = " ".join(rendered["json"].notices)
            values = {"row_count": count, "notice": notice}
            values |= {field: stored[name].pk for name, field in REPORT_FILES.items()}
            _finish(_REPORT, actor, report_id, stored["pdf"], now, values)
            _log(
                "compliance_report",
                report,
                {
                    "report_type": report.report_type,
                    "since": report.period_start,
                    "until": report.period_end,
                    "rows": count,
                    "sha256": {name: file.sha256 for name, file in stored.items()},
                },
            )
        return Made(count, notice)


def end_output(kind: str, output_id: UUID, *, actor: Actor, status: str, error: str, now: datetime) -> None:
    """Note that an export or a report will not come. Needs a transaction."""
    spec = _EXPORT if kind == EXPORT else _REPORT
    if spec.model._default_manager.filter(pk=output_id, status=OutputStatus.PENDING).exists():
        row = {"id": output_id, "status": status, "error": error, "finished_at": now}
        update(spec, Rows.of(spec.model, [row]), actor=actor, now=now).raise_if_refused()


def _signature(actor: Actor) -> tuple[str, str]:
    """The names of who makes the file and of the company."""
    user = User.objects.filter(pk=actor.user_id).first() if actor.user_id else None
    return str(user or "The system"), get_company(actor).name


def _store(
    actor: Actor, kind: str, entity: str, record_id: UUID, file: IO[bytes], name: str, now: datetime
) -> StoredFile:
    file.seek(0)
    blocks: Iterator[bytes] = iter(lambda: file.read(BLOCK_BYTES), b"")
    return store_file(
        actor=actor, kind=kind, name=name, blocks=blocks, now=now, entity_type=entity, record_id=record_id
    )


def _finish(
    spec: WriteSpec,
    actor: Actor,
    output_id: UUID,
    stored: StoredFile,
    now: datetime,
    values: Mapping[str, Any],
) -> None:
    row = {
        "id": output_id,
        "status": OutputStatus.DONE,
        "error": "",
        "finished_at": now,
        "expires_at": stored.expires_at,
        **values,
    }
    update(spec, Rows.of(spec.model, [row]), actor=actor, now=now).raise_if_refused()


def _log(entity: str, made: AuditLogExport | ComplianceReport, details: Mapping[str, Any]) -> None:
    """The log tells of what is taken out of it."""
    record_fact(
        action="export",
        entity_type=entity,
        entity_id=made.pk,
        entity_name=made.name,
        details=details,
        is_sensitive=True,
    )
