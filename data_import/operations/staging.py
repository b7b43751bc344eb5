"""From the stored file to staged rows: what holds for whole columns first, then block after block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import connection

from core.access import view
from core.entities import entities
from core.entities.kinds import Kind
from core.identity.models import Company
from core.kernel.errors import Fault, Invalid
from core.kernel.faultpoints import declare, fault
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction, retried, unit_of_work
from core.tenancy.actors import Actor
from data_import.compiler.statements import (
    CELLS,
    CREATE_CELLS,
    CREATE_RAW,
    DROP,
    RAW,
    Block,
    block_statements,
    python_values,
)
from data_import.compiler.targets import Plan, make_plan
from data_import.engine.copying import CopyChunk, copy_chunks
from data_import.engine.detect import Detection
from data_import.engine.formats import decide_boolean, decide_date_format, decide_number_locale
from data_import.engine.limits import MAX_CELL_CHARS, UnusableFile
from data_import.engine.records import read_records
from data_import.models import ImportBatch, ImportJob
from data_import.operations.concurrency import run_concurrently
from data_import.operations.jobs import detect_file, raise_if_canceled
from data_import.schemas import ImportSettings, settings_of
from data_import.source import opened_source

declare("import.stage.before_commit", "import.stage.after_commit")

BATCH_ROWS = 10_000
# Distinct values of a column that are looked at to decide how it is written. Where they leave it open, it is asked for.
EVIDENCE_VALUES = 5_000

Report = Callable[[int], None]


@dataclass(frozen=True)
class Prepared:
    """A job ready to be staged."""

    detection: Detection
    decisions: dict[str, Any]
    plan: Plan
    block: Block


def lock_job(actor: Actor, job: ImportJob) -> None:
    """Be alone with what is staged. Needs a transaction."""
    _lock("pg_advisory_xact_lock", f"{actor.company_id}:import:{job.pk}")


def share_job(actor: Actor, job: ImportJob) -> None:
    """Work on one batch beside those who work on others, while nobody is alone with the job. Needs a transaction."""
    _lock("pg_advisory_xact_lock_shared", f"{actor.company_id}:import:{job.pk}")


def _lock(function: str, key: str) -> None:
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [key])


def prepare(actor: Actor, job: ImportJob) -> Prepared:
    """Everything that is decided before the first row. Needs a transaction in the actor's company.

    Raises: Invalid when the file or the settings cannot be used, or a column can be read in two ways.
    """
    settings = settings_of(job)
    detection = detect_file(job, settings)
    seen = view(entities[job.entity_type], actor)
    decisions = job.decisions or decide_columns(seen, settings, detection, job)
    timezone = Company.objects.get(pk=actor.company_id).timezone
    plan = make_plan(seen, settings, detection.headers, decisions, timezone)
    return Prepared(detection, decisions, plan, block_statements(plan, actor))


def decide_columns(
    seen: Any, settings: ImportSettings, detection: Detection, job: ImportJob
) -> dict[str, Any]:
    """How whole columns write dates, numbers and booleans, where the settings do not say.

    Raises: Invalid naming every column that can be read in two ways; Canceled.
    """
    asked = _asked(seen, settings, detection)
    if not asked:
        return {}
    values: dict[int, Counter[str]] = {place: Counter() for place in asked}
    with opened_source(job) as file:
        for number, record in enumerate(read_records(file, detection), 1):
            if number % BATCH_ROWS == 0:
                raise_if_canceled(job.pk)
            if record.fault is None:
                for place, counted in values.items():
                    value = record.values[place]
                    if value in counted or len(counted) < EVIDENCE_VALUES:
                        counted[value] += 1
    decisions: dict[str, Any] = {}
    faults: list[Fault] = []
    for place, kind in asked.items():
        header = detection.headers[place]
        decided = _decide(header, kind, values[place], settings, faults)
        if decided:
            decisions[header] = decided
    if faults:
        raise Invalid("; ".join(fault.detail for fault in faults), code="ambiguous_column", faults=faults)
    return decisions


def _asked(seen: Any, settings: ImportSettings, detection: Detection) -> dict[int, Kind]:
    """Column (from 0) -> the kind to decide about."""
    options = settings.options
    transformed = {
        rule.get("field")
        for rule in settings.transformation_rules
        if str(rule.get("transform", "")).startswith("parse_")
    }
    asked: dict[int, Kind] = {}
    for place, header in enumerate(detection.headers):
        for name in settings.field_mapping.get(header, ()):
            field = seen.editable.get(name)
            if field is None or name in transformed:
                continue
            if field.kind in (Kind.DATE, Kind.DATETIME) and header not in options.date_formats:
                asked[place] = Kind.DATE
            elif (
                field.kind in (Kind.INTEGER, Kind.DECIMAL, Kind.MONEY)
                and header not in options.number_formats
            ):
                asked[place] = Kind.DECIMAL
            elif field.kind is Kind.BOOLEAN:
                asked[place] = Kind.BOOLEAN
    return asked


def _decide(
    header: str, kind: Kind, values: Counter[str], settings: ImportSettings, faults: list[Fault]
) -> dict[str, Any]:
    null_words = set(settings.options.null_words.get(header, ()))
    for name in settings.field_mapping.get(header, ()):
        null_words |= set(settings.options.null_words.get(name, ()))
    written = [value for value in values.elements() if value.strip() not in null_words]
    if kind is Kind.DATE:
        dates = decide_date_format(written, order=settings.options.date_order)
        if dates.ambiguous:
            detail = (
                f"The dates of column {header!r} can be read in more than one way; "
                f"say which: {' or '.join(dates.choices)}."
            )
            faults.append(Fault(f"options.date_formats.{header}", "ambiguous_dates", detail))
        return (
            {"date_formats": list(dates.formats), "evidence": list(dates.evidence)} if dates.formats else {}
        )
    if kind is Kind.DECIMAL:
        numbers = decide_number_locale(written)
        if numbers.ambiguous:
            detail = (
                f"The numbers of column {header!r} can be read in more than one way "
                f"({'; '.join(numbers.evidence)}); say which signs it uses."
            )
            faults.append(Fault(f"options.number_formats.{header}", "ambiguous_numbers", detail))
        if numbers.decimal is None:
            return {}
        signs = {"decimal": numbers.decimal, "grouping": numbers.grouping or ""}
        return {"number_format": signs, "evidence": list(numbers.evidence)}
    booleans = decide_boolean(written)
    if not booleans.true_words:
        return {}
    words = {"true_words": list(booleans.true_words), "false_words": list(booleans.false_words)}
    return {"boolean_words": words, "evidence": list(booleans.evidence)}


# --- blocks --------------------------------------------------------------------------------------------------------


def stage_file(actor: Actor, job: ImportJob, prepared: Prepared, report: Report) -> None:
    """Stage every record that is not staged yet, each block in a transaction of its own.

    Blocks are staged side by side; memory holds as many as are at work. Raises: Invalid when the file cannot be read to its
    end; Canceled between two blocks.
    """
    done = staged_blocks(actor, job)

    def stage(number: int, chunk: CopyChunk) -> int:
        if number not in done:
            retried(partial(_stage, actor, job, prepared, number, chunk))
            fault("import.stage.after_commit")
        return chunk.rows

    with opened_source(job) as file:
        chunks = copy_chunks(file, prepared.detection, size=BATCH_ROWS)
        try:
            for rows in run_concurrently(
                partial(stage, number, chunk) for number, chunk in enumerate(chunks)
            ):
                report(rows)
        except UnusableFile as bad:
            raise Invalid(bad.detail, code=bad.code) from None


def staged_blocks(actor: Actor, job: ImportJob) -> frozenset[int]:
    """The numbers of the blocks that are staged."""
    with unit_of_work():
        return frozenset(ImportBatch.objects.filter(job_id=job.pk).values_list("number", flat=True))


def _stage(actor: Actor, job: ImportJob, prepared: Prepared, number: int, chunk: CopyChunk) -> None:
    share_job(actor, job)
    raise_if_canceled(job.pk)
    # Another worker may be at the same block.
    _lock("pg_advisory_xact_lock", f"{actor.company_id}:import:{job.pk}:{number}")
    if ImportBatch.objects.filter(job_id=job.pk, number=number).exists():
        return
    with connection.cursor() as cursor:
        cursor.execute(DROP)
        cursor.execute(CREATE_RAW)
        with cursor.copy(f"COPY {RAW} (number, fault, raw) FROM STDIN") as copy:
            copy.write(chunk.data)
        _write_staged(cursor, actor, job, prepared.block, number)
        cursor.execute(DROP)
        cursor.execute(
            "INSERT INTO data_import_importbatch (id, company_id, job_id, number, first_row, last_row, row_count) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [uuid7(), actor.company_id, job.pk, number, chunk.first_number, chunk.last_number, chunk.rows],
        )
    fault("import.stage.before_commit")


def _write_staged(cursor: Any, actor: Actor, job: ImportJob, block: Block, number: int) -> None:
    """Read, check and stage what lies in the raw table."""
    cursor.execute(block.values)
    cells_made = False
    for target in block.python:
        cursor.execute(target.unread)
        cells = [row[0] for row in cursor.fetchall()]
        if not cells:
            continue
        if not cells_made:
            cursor.execute(CREATE_CELLS)
            cells_made = True
        with cursor.copy(f"COPY {CELLS} (place, given, value, code, detail) FROM STDIN") as copy:
            for row in python_values(target.target, cells):
                copy.write_row(row)
        cursor.execute(target.take)
    cursor.execute(block.stage, [*block.stage_params, actor.company_id, job.pk, number])


def restage_row(actor: Actor, job: ImportJob, prepared: Prepared, row_no: int, raw: list[str]) -> None:
    """Put one row anew with other cells, checked again. Needs a transaction; the caller has locked the job."""
    needs_transaction()
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM data_import_importstagingrecord WHERE company_id = %s AND job_id = %s AND row_no = %s "
            "RETURNING batch_no",
            [actor.company_id, job.pk, row_no],
        )
        number = cursor.fetchone()[0]
        cursor.execute(DROP)
        cursor.execute(CREATE_RAW)
        cursor.execute(f"INSERT INTO {RAW} VALUES (%s, NULL, %s)", [row_no, raw])
        _write_staged(cursor, actor, job, prepared.block, number)
        cursor.execute(DROP)


def with_cells(raw: list[str], headers: Sequence[str], cells: Mapping[str, str]) -> list[str]:
    """A record with other texts in some columns.

    Raises: Invalid for columns that are not there and texts that cannot be stored.
    """
    faults = [
        Fault(f"cells.{name}", "unknown_column", "The file has no such column.")
        for name in cells
        if name not in headers
    ]
    faults += [
        Fault(f"cells.{name}", "invalid_characters", "A text cannot hold NUL or a lone surrogate.")
        for name, value in cells.items()
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    ]
    faults += [
        Fault(f"cells.{name}", "too_long", f"At most {MAX_CELL_CHARS} characters are allowed.")
        for name, value in cells.items()
        if len(value) > MAX_CELL_CHARS
    ]
    if faults:
        raise Invalid(faults=faults)
    whole = (raw + [""] * len(headers))[: len(headers)]
    return [cells.get(header, value) for header, value in zip(headers, whole, strict=True)]
