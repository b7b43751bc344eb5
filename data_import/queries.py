"""Reads of imports: what a file is, what its rows are, how far a job is, what its plan would do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from core.access import EntityView
from core.entities import Field
from core.entities.kinds import Kind
from core.jobs.models import Job
from data_import.compiler.targets import FULL_NAME, NAME_PARTS, make_plan
from data_import.compiler.verdicts import READABLE
from data_import.engine.detect import Detection
from data_import.engine.mapping import MappingTarget, suggest_mapping
from data_import.models import ImportBatch, ImportStagingRecord, RowStatus
from data_import.schemas import settings_of

_MAPPED_KINDS = {
    Kind.EMAIL: "email",
    Kind.PHONE: "phone",
    Kind.URL: "url",
    Kind.DATE: "date",
    Kind.DATETIME: "datetime",
    Kind.INTEGER: "number",
    Kind.DECIMAL: "number",
    Kind.MONEY: "number",
    Kind.BOOLEAN: "boolean",
    Kind.CHOICE: "choice",
    Kind.RELATION: "relation",
    Kind.PERSON: "relation",
}
# The kind of job that carries imports on.
RUN = "import.run"
MAX_SAMPLE_ROWS = 20
MAX_SAMPLE_CHARS = 1_000

# Statuses that a staged row keeps as they are; the others follow from "valid" and the batch.
STORED_STATUSES = ("invalid", "skipped", "failed", "pending")

# What a row is now, from `s` (staging) and `b` (its batch).
ROW_STATUS = (
    "CASE WHEN s.status = 'valid' AND b.committed_at IS NOT NULL "
    "THEN CASE s.action WHEN 'update' THEN 'updated' ELSE 'created' END ELSE s.status END"
)
ROWS = (
    "data_import_importstagingrecord s LEFT JOIN data_import_importbatch b "
    "ON b.company_id = s.company_id AND b.job_id = s.job_id AND b.number = s.batch_no"
)


def importable(seen: EntityView) -> list[Field]:
    """The fields that the actor may fill from a file."""
    return [field for field in seen.editable.values() if field.kind in READABLE]


def describe_detection(found: Detection, seen: EntityView, *, suggest: bool = True) -> dict[str, Any]:
    """What was found, as JSON, with a proposed mapping if that is wanted."""
    fields = importable(seen)
    offered = [
        MappingTarget(
            name=field.name,
            label=field.label,
            kind=_MAPPED_KINDS.get(field.kind, "text"),
            choices=tuple(text for pair in field.choices for text in pair),
            # A column "product" of a file of products is what they are called.
            synonyms=(seen.entity.label,) if seen.entity.title == (field.name,) else (),
        )
        for field in fields
    ]
    names = {field.name for field in fields}
    if set(NAME_PARTS) <= names and FULL_NAME not in names:
        offered.append(MappingTarget(FULL_NAME, "Full name"))
    suggestions = suggest_mapping(found.headers, found.sample_rows, offered) if suggest else []
    return {
        "format": found.kind,
        "encoding": found.encoding,
        "has_bom": found.bom,
        "delimiter": found.delimiter,
        "quote": found.quote,
        "newline": found.newline,
        "header_row": found.header_row,
        "headers": list(map(_shown, found.headers)),
        "raw_headers": list(map(_shown, found.raw_headers)),
        "sample_rows": [list(map(_shown, row)) for row in found.sample_rows[:MAX_SAMPLE_ROWS]],
        "warnings": [
            {"code": notice.code, "detail": notice.detail, "column": notice.column}
            for notice in found.warnings
        ],
        "evidence": list(found.evidence),
        "suggestions": [
            {
                "column": item.column,
                "field": item.target,
                "confidence": item.confidence,
                "reason": item.reason,
            }
            for item in suggestions
        ],
        "fields": [
            {"name": field.name, "label": field.label, "kind": str(field.kind), "required": field.required}
            for field in fields
        ],
    }


def _shown(text: str) -> str:
    """A cell as JSON columns can hold it, and no longer than a screen."""
    return text[:MAX_SAMPLE_CHARS].replace("\0", "\u2400").encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a job by what became of them."""

    total: int = 0
    valid: int = 0
    invalid: int = 0
    skipped: int = 0
    created: int = 0
    updated: int = 0
    failed: int = 0

    @property
    def written(self) -> int:
        return self.created + self.updated


def count_rows(company_id: UUID, job_id: UUID) -> Counts:
    """Counted from the rows themselves."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {ROW_STATUS}, count(*) FROM {ROWS} WHERE s.company_id = %s AND s.job_id = %s GROUP BY 1",
            [company_id, job_id],
        )
        found = dict(cursor.fetchall())
    return Counts(
        total=sum(found.values()),
        **{
            name: found.get(name, 0)
            for name in ("valid", "invalid", "skipped", "created", "updated", "failed")
        },
    )


def staged_rows(job: Any) -> QuerySet[ImportStagingRecord]:
    """The rows of the file, each with what it is `now` (a `RowStatus`) and the `record` that it made or is to change."""
    committed = ImportBatch.objects.filter(
        company=OuterRef("company"),
        job_id=OuterRef("job_id"),
        number=OuterRef("batch_no"),
        committed_at__isnull=False,
    )
    rows = ImportStagingRecord.objects.filter(company=job.company_id, job_id=job.pk)
    return rows.annotate(is_written=Q(status=RowStatus.VALID) & Exists(committed)).annotate(
        now=Case(
            When(is_written=True, action="update", then=Value("updated")),
            When(is_written=True, then=Value("created")),
            default=F("status"),
            output_field=CharField(),
        ),
        record=Coalesce("match_id", Case(When(is_written=True, then=F("id")))),
    )


def of_status(rows: QuerySet[Any], status: str) -> QuerySet[Any]:
    """Those of `staged_rows` that are that now. What is stored is compared too, so that the index of refused rows serves."""
    return rows.filter(status=status if status in STORED_STATUSES else RowStatus.VALID, now=status)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, counted from what is committed."""

    status: str
    phase: str
    done: int
    total: int


def get_progress(job: Any) -> Progress:
    """Two indexed reads, whatever the size of the job."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(row_count), 0), coalesce(sum(row_count) FILTER (WHERE committed_at IS NOT NULL), 0) "
            "FROM data_import_importbatch WHERE company_id = %s AND job_id = %s",
            [job.company_id, job.pk],
        )
        staged, committed = cursor.fetchone()
    if job.status in ("uploaded", "mapped"):
        return Progress(job.status, "waiting", 0, job.total_count)
    if job.status == "validating":
        return Progress(job.status, "checking", staged, job.total_count)
    return Progress(job.status, "importing", committed, staged)


def find_work(job: Any) -> Any:
    """The newest job of the queue (`core.jobs`) that carries the import on; None before its start, and long after its end."""
    return Job.objects.filter(kind=RUN, key=str(job.pk)).order_by("-created_at").first()


# --- plans ---------------------------------------------------------------------------------------------------------


def list_errors(company_id: UUID, job_id: UUID, limit: int) -> tuple[list[tuple[int, dict[str, Any]]], bool]:
    """(row, error) in the order of the file, and whether these are all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.row_no, s.errors::text FROM data_import_importstagingrecord s WHERE s.company_id = %s "
            "AND s.job_id = %s AND s.status IN ('invalid', 'failed') ORDER BY s.row_no LIMIT %s",
            [company_id, job_id, limit + 1],
        )
        found = cursor.fetchall()
    errors = [(row_no, error) for row_no, text in found[:limit] for error in json.loads(text or "[]")]
    return errors, len(found) <= limit


def planned_fields(job: Any, seen: EntityView) -> list[str]:
    """The names of the fields that `mapped` holds, in its order."""
    settings = settings_of(job)
    return [
        target.field.name
        for target in make_plan(seen, settings, job.detected.get("headers", ()), job.decisions, "UTC").targets
    ]


def count_actions(company_id: UUID, job_id: UUID) -> dict[str, int]:
    """How many rows the plan creates and updates."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.action, count(*) FROM data_import_importstagingrecord s WHERE s.company_id = %s "
            "AND s.job_id = %s AND s.status = 'valid' GROUP BY 1",
            [company_id, job_id],
        )
        return {"create": 0, "update": 0, **dict(cursor.fetchall())}


def _sample(job: Any, action: str, limit: int) -> list[tuple[int, list[str | None], UUID | None]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.row_no, s.mapped, s.match_id FROM data_import_importstagingrecord s WHERE s.company_id = %s "
            "AND s.job_id = %s AND s.status = 'valid' AND s.action = %s ORDER BY s.row_no LIMIT %s",
            [job.company_id, job.pk, action, limit],
        )
        return list(cursor.fetchall())


def sample_creates(job: Any, names: list[str], limit: int) -> list[dict[str, Any]]:
    """The first rows that would become records."""
    return [
        {
            "row": row_no,
            "values": {name: value for name, value in zip(names, mapped, strict=True) if value is not None},
        }
        for row_no, mapped, _ in _sample(job, "create", limit)
    ]


def sample_updates(job: Any, seen: EntityView, names: list[str], limit: int) -> list[dict[str, Any]]:
    """The first rows that would change records, with what would change: field -> [old, new]."""
    rows = _sample(job, "update", limit)
    shown = [name for name in names if name in seen.fields]
    records = seen.records().filter(pk__in=[match for _, _, match in rows])
    old = {key: document for document, key in seen.output(shown).documents(records, ("id",))}
    return [
        {
            "row": row_no,
            "record": str(match),
            "changes": {
                name: [old.get(str(match), {}).get(name), value]
                for name, value in zip(names, mapped, strict=True)
                if value is not None and str(old.get(str(match), {}).get(name)) != value
            },
        }
        for row_no, mapped, match in rows
    ]
