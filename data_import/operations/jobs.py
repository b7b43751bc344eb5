"""Import jobs: upload, settings, start, cancel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection

from core.access import view
from core.changes import Outcome, Rows, Rule, WriteSpec, insert, update
from core.entities import entities
from core.files.models import StoredFile
from core.files.operations import store_file
from core.jobs import cancel as cancel_work
from core.jobs import enqueue
from core.kernel.errors import Conflict, Fault, Invalid
from core.kernel.transactions import limits, unit_of_work
from core.tenancy.actors import Actor
from data_import.compiler.rules import check_rules
from data_import.engine.detect import Detection, detect
from data_import.engine.limits import UnusableFile
from data_import.models import ImportJob, JobStatus
from data_import.operations.checked import check_settings
from data_import.operations.limits import (
    count_file_rows,
    require_room_for_job,
    require_room_to_stage,
)
from data_import.queries import RUN, Counts, count_rows, describe_detection
from data_import.schemas import SETTING_NAMES, ImportSettings, settings_of
from data_import.source import opened_source

EDITABLE = (JobStatus.UPLOADED, JobStatus.MAPPED, JobStatus.STAGED, JobStatus.FAILED)
# How long a cancellation waits for the batch that is at work.
CANCEL_SECONDS = 10
RUNNING = (JobStatus.VALIDATING, JobStatus.IMPORTING)
ENDED = (JobStatus.COMPLETED, JobStatus.COMPLETED_WITH_ERRORS, JobStatus.CANCELED)

_SPEC = WriteSpec(ImportJob)
_editable = ", ".join(f"'{status}'" for status in EDITABLE)
# New settings make what was staged with the old ones void.
_SETTINGS = WriteSpec(
    ImportJob,
    derive={
        "status": "CASE WHEN o.detected = '{}'::jsonb THEN 'uploaded' ELSE 'mapped' END",
        "plan_digest": "''",
        "decisions": "'{}'::jsonb",
        "error": "''",
        "total_count": "0",
        "valid_count": "0",
        "invalid_count": "0",
        "skipped_count": "0",
        "staged_bytes": "0",
    },
    rules=(
        Rule(
            "conflict",
            "status",
            "This import has begun; its settings stay.",
            f"o.status NOT IN ({_editable})",
        ),
    ),
    also={
        "staged": "DELETE FROM data_import_importstagingrecord s USING written w "
        "WHERE s.company_id = w.new_company_id AND s.job_id = w.new_id",
        "batches": "DELETE FROM data_import_importbatch b USING written w "
        "WHERE b.company_id = w.new_company_id AND b.job_id = w.new_id",
    },
)


def change_job(actor: Actor, job_id: UUID, now: datetime, **values: Any) -> None:
    """Set fields of a job. Needs a transaction."""
    rows = Rows.of(ImportJob, [{"id": job_id, **values}])
    update(_SPEC, rows, actor=actor, now=now).raise_if_refused()


def update_import_jobs(*, actor: Actor, rows: Rows, now: datetime, all_or_none: bool = True) -> Outcome:
    """Change settings of jobs that have not begun to import; what was staged is dropped. Needs a transaction.

    Raises: Invalid for settings that cannot work.
    """
    check_settings(actor, ImportJob, rows)
    return update(_SETTINGS, rows, actor=actor, now=now, all_or_none=all_or_none)


def require_importer(actor: Actor, entity_type: str, mode: str) -> None:
    """Raises: Forbidden unless the actor may write what the import writes; Invalid for what cannot be imported."""
    entity = entities.find(entity_type)
    if entity is None or entity.writes.create is None:
        raise Invalid(
            faults=[Fault("entity_type", "not_a_choice", "There is no such entity to import into.")]
        )
    seen = view(entity, actor)
    if mode != "update":
        seen.require("create")
    if mode != "create":
        seen.require("update")


def create_job(
    *,
    actor: Actor,
    job_id: UUID,
    entity_type: str,
    settings: ImportSettings,
    file_name: str,
    blocks: Iterable[bytes],
    now: datetime,
    template_id: UUID | None = None,
) -> StoredFile:
    """Store a file and make its job. Needs a transaction.

    Raises: Forbidden, Invalid, Conflict (`too_many_open_imports`), and what `store_file` raises.
    """
    require_importer(actor, entity_type, settings.mode)
    check_rules(view(entities[entity_type], actor), settings)
    require_room_for_job(actor)
    file = store_file(
        actor=actor,
        kind="import",
        name=file_name,
        blocks=blocks,
        now=now,
        entity_type="import_job",
        record_id=job_id,
    )
    row = {
        "id": job_id,
        "owner": actor.user_id,
        "template": template_id,
        "entity_type": entity_type,
        "file_name": file.name,
        "file_id": file.pk,
        "file_sha256": file.sha256,
        "file_size": file.size,
        **settings.model_dump(mode="json"),
    }
    insert(_SPEC, Rows.of(ImportJob, [row]), actor=actor, now=now).raise_if_refused()
    return file


def detect_file(job: ImportJob, settings: ImportSettings) -> Detection:
    """What the job's file is. Raises: Invalid (code of `UnusableFile`, or `file_missing`), Unavailable."""
    try:
        with opened_source(job) as file:
            return detect(file, hints=settings.options.hints)
    except UnusableFile as bad:
        raise Invalid(bad.detail, code=bad.code) from None


def _count_rows_of(job: ImportJob, found: Detection) -> int:
    try:
        with opened_source(job) as file:
            return count_file_rows(file, found, partial(raise_if_canceled, job.pk))
    except UnusableFile as bad:
        raise Invalid(bad.detail, code=bad.code) from None


class Canceled(Exception):
    """Somebody canceled the import; what is committed stays."""


def raise_if_canceled(job_id: UUID) -> None:
    """Looked at between batches of every phase. Needs a transaction, or opens one for itself. Raises: Canceled."""
    with unit_of_work():
        is_canceled = ImportJob.objects.filter(pk=job_id, status=JobStatus.CANCELED).exists()
    if is_canceled:
        raise Canceled


def detect_job(*, actor: Actor, job: ImportJob, now: datetime) -> Mapping[str, Any]:
    """Find out what the job's file is, and propose a mapping where none is set. Needs a transaction.

    Raises: Forbidden, Invalid (code of `UnusableFile`), TooLarge (`too_many_rows`), Conflict when the import has begun.
    """
    require_importer(actor, job.entity_type, job.mode)
    if job.status not in EDITABLE:
        raise Conflict("This import has begun.", code="import_has_begun")
    settings = settings_of(job)
    found = detect_file(job, settings)
    seen = view(entities[job.entity_type], actor)
    detected = describe_detection(found, seen, suggest=not settings.field_mapping)
    detected["max_rows"] = _count_rows_of(job, found)
    values: dict[str, Any] = {"detected": detected, "status": JobStatus.MAPPED, "error": ""}
    if not settings.field_mapping:
        values["field_mapping"] = {item["column"]: [item["field"]] for item in detected["suggestions"]}
    change_job(actor, job.pk, now, **values)
    return detected


def start_job(
    *, actor: Actor, job: ImportJob, now: datetime, dry_run: bool = False, digest: str = ""
) -> UUID:
    """Have a worker carry the job on: to its plan (`dry_run`) or to the end. Needs a transaction. Returns the id of the work
    in the queue (`core.jobs`).

    Raises: Forbidden, Conflict (`plan_changed` when `digest` is not that of the plan as it stands; `import_ended`;
    `staging_full`).
    """
    require_importer(actor, job.entity_type, job.mode)
    if job.status in ENDED:
        raise Conflict("This import has ended.", code="import_ended")
    if digest and digest != job.plan_digest:
        raise Conflict("The plan is not the one you saw.", code="plan_changed", plan_digest=job.plan_digest)
    if job.detected and not job.staged_bytes:
        require_room_to_stage(job)
    status = job.status
    if status in (JobStatus.UPLOADED, JobStatus.FAILED):
        status = JobStatus.MAPPED
    change_job(
        actor, job.pk, now, is_dry_run=dry_run, status=status, error="", started_at=job.started_at or now
    )
    return enqueue(kind=RUN, payload={"job": str(job.pk)}, now=now, key=str(job.pk), subject=job.file_name)


def cancel_job(*, actor: Actor, job: ImportJob, now: datetime) -> None:
    """Stop at the next boundary between batches; what is in stays in. Needs a transaction.

    Raises: Forbidden, Conflict when the import has ended.
    """
    require_importer(actor, job.entity_type, job.mode)
    if job.status in ENDED:
        raise Conflict("This import has ended.", code="import_ended")
    # A batch that is being committed is waited for.
    with limits(lock_seconds=CANCEL_SECONDS):
        change_job(actor, job.pk, now, status=JobStatus.CANCELED, finished_at=now)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM core_job WHERE company_id = %s AND kind = %s AND key = %s AND state = 'open'",
            [actor.company_id, RUN, str(job.pk)],
        )
        for (work,) in cursor.fetchall():
            cancel_work(work, now=now)


def note_counts(
    actor: Actor, job_id: UUID, now: datetime, counts: Counts | None = None, **values: Any
) -> None:
    """Write down what became of the rows (counted now, unless the caller has), with other fields of the job. Needs a
    transaction."""
    counts = counts or count_rows(actor.company_id, job_id)
    numbers = {f"{name}_count": number for name, number in asdict(counts).items()}
    # Rows that were written were valid when they were planned.
    numbers["valid_count"] += counts.written
    change_job(actor, job_id, now, **numbers, **values)


__all__ = [
    "EDITABLE",
    "ENDED",
    "RUN",
    "RUNNING",
    "SETTING_NAMES",
    "Canceled",
    "cancel_job",
    "change_job",
    "create_job",
    "detect_file",
    "detect_job",
    "note_counts",
    "raise_if_canceled",
    "require_importer",
    "start_job",
    "update_import_jobs",
]
