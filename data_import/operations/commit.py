"""Staged rows become records: batch by batch, each in one transaction, through the operations that requests use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.db import DataError, IntegrityError, connection

from core.access.writing import run_operation
from core.changes import Rows
from core.changes.rows import sql_types, to_json
from core.entities import CUSTOM_FIELDS
from core.entities.kinds import Kind
from core.kernel.errors import DomainError, Fault
from core.kernel.faultpoints import declare, fault
from core.kernel.transactions import needs_transaction, retried, savepoint
from core.tenancy.actors import Actor
from data_import.compiler.statements import MAX_SHOWN
from data_import.compiler.targets import Plan, PlannedField
from data_import.models import ImportBatch, ImportJob
from data_import.operations.concurrency import run_concurrently
from data_import.operations.jobs import raise_if_canceled
from data_import.operations.staging import share_job

declare(
    "import.chunk.before_insert",
    "import.chunk.after_insert",
    "import.chunk.before_commit",
    "import.chunk.after_commit",
)

_TABLE = "data_import_importstagingrecord"
_CONFLICT = Fault("", "conflict", "Another record has this already, or what it refers to is gone.")
_OUT_OF_RANGE = Fault("", "out_of_range", "A value is out of range.")

Report = Callable[[int], None]


def commit_all(actor: Actor, job: ImportJob, plan: Plan, now: Callable[[], datetime], report: Report) -> None:
    """Commit every batch that is not committed yet: in order, or where no row builds on another, some side by side.

    Raises: Canceled between two batches.
    """

    def step(*, wait_for_others: bool) -> int | None:
        done = retried(lambda: _commit_next(actor, job, plan, now(), wait_for_others))
        if done is not None:
            fault("import.chunk.after_commit")
        return done

    if not plan.self_references:
        is_over = False
        steps = iter(lambda: None if is_over else partial(step, wait_for_others=False), None)
        for done in run_concurrently(steps):
            if done is None:
                is_over = True
            else:
                report(done)
    # What is left is at work elsewhere, or waits for its turn.
    while (done := step(wait_for_others=True)) is not None:
        report(done)


def _commit_next(
    actor: Actor, job: ImportJob, plan: Plan, now: datetime, wait_for_others: bool
) -> int | None:
    """The rows of the next batch, committed; None when there is none left, or none that nobody is at."""
    share_job(actor, job)
    raise_if_canceled(job.pk)
    waiting = ImportBatch.objects.filter(job_id=job.pk, committed_at__isnull=True).order_by("number")
    batch = waiting.select_for_update(skip_locked=not wait_for_others).first()
    if batch is None:
        return None
    write_batch(actor, job, plan, batch, now)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE data_import_importbatch SET committed_at = %s WHERE id = %s", [now, batch.pk])
    fault("import.chunk.before_commit")
    return int(batch.row_count)


def write_batch(
    actor: Actor, job: ImportJob, plan: Plan, batch: ImportBatch, now: datetime
) -> dict[int, tuple[Fault, ...]]:
    """Write a batch; gives what the operations refuse, by the rows' numbers, and notes it. Needs a transaction."""
    needs_transaction()
    refused: dict[int, tuple[Fault, ...]] = {}
    with connection.cursor() as cursor:
        # The planner does not know how many rows a batch has; row by row, joining them takes minutes.
        cursor.execute("SET LOCAL enable_nestloop = off")
    fault("import.chunk.before_insert")
    for action in ("create", "update"):
        if plan.mode in (action, "upsert"):
            refused |= _write(actor, job, plan, batch, action, (batch.first_row, batch.last_row), now)
    fault("import.chunk.after_insert")
    if refused:
        note_refused(actor, job, plan, refused, "failed")
    return refused


def _write(
    actor: Actor,
    job: ImportJob,
    plan: Plan,
    batch: ImportBatch,
    action: str,
    span: tuple[int, int],
    now: datetime,
) -> dict[int, tuple[Fault, ...]]:
    """Rows of a stretch of a batch through the entity's operation."""

    def attempt(rows: Rows) -> dict[int, tuple[Fault, ...]]:
        outcome = run_operation(plan.view, action, rows, now=now, all_or_none=False)
        if outcome.unchanged:
            _note_unchanged(actor, job, sorted(outcome.unchanged))
        return dict(outcome.refused)

    return in_halves(attempt, partial(candidates, actor, job, plan, batch.number, action), span)


def in_halves(
    attempt: Callable[[Rows], dict[int, tuple[Fault, ...]]],
    rows_of: Callable[[tuple[int, int]], Rows],
    span: tuple[int, int],
) -> dict[int, tuple[Fault, ...]]:
    """What the attempt refuses of a stretch of rows. Where it fails as a whole, the stretch is halved until the row is
    found that does not fit."""
    try:
        with savepoint():
            return attempt(rows_of(span))
    except (IntegrityError, DataError, DomainError) as error:
        first, last = span
        if first == last:
            return {first: _faults_of(error)}
        middle = (first + last) // 2
        return {
            **in_halves(attempt, rows_of, (first, middle)),
            **in_halves(attempt, rows_of, (middle + 1, last)),
        }


def _note_unchanged(actor: Actor, job: ImportJob, row_nos: list[int]) -> None:
    """Rows that say what their record says already are not counted as updates."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TABLE} s SET status = 'skipped' WHERE s.company_id = %s AND s.job_id = %s AND s.row_no = ANY(%s)",
            [actor.company_id, job.pk, row_nos],
        )


def _faults_of(error: Exception) -> tuple[Fault, ...]:
    if isinstance(error, DomainError):
        return error.faults or (Fault("", error.code, error.detail),)
    return (_OUT_OF_RANGE,) if isinstance(error, DataError) else (_CONFLICT,)


def candidates(
    actor: Actor, job: ImportJob, plan: Plan, number: int, action: str, span: tuple[int, int]
) -> Rows:
    """The staged rows as candidates; `ord` is the number of the row in the file."""
    types = sql_types(plan.view.entity.model)
    own = [target for target in plan.targets if target.field.custom_key]
    targets = [target for target in plan.targets if not target.field.custom_key]
    columns = [target.field.column for target in targets]
    selected = [
        f'{_typed(target, types[target.field.column])} AS "{target.field.column}"' for target in targets
    ]
    if own:
        # One column holds them all; a blank cell names no key.
        columns.append(CUSTOM_FIELDS)
        selected.append(f'{_custom(own)} AS "{CUSTOM_FIELDS}"')
    values = ", ".join(selected)
    where = (
        "s.company_id = %s::uuid AND s.job_id = %s::uuid AND s.batch_no = %s::integer AND s.status = 'valid' "
        "AND s.action = %s::varchar AND s.row_no BETWEEN %s::integer AND %s::integer"
    )
    params = (actor.company_id, job.pk, number, action, *span)
    if action == "create":
        text = f"SELECT s.row_no AS ord, s.id, {values} FROM {_TABLE} s WHERE {where}"
        return Rows.select(text, params, columns)
    # A blank cell says nothing about a record that is there: only what is given is set.
    given = ", ".join(
        [
            *(
                f"'{target.field.column}', CASE WHEN s.mapped[{target.place}] IS NOT NULL THEN true END"
                for target in targets
            ),
            *([f"'{CUSTOM_FIELDS}', true"] if own else []),
        ]
    )
    text = (
        f"SELECT s.row_no AS ord, s.match_id AS id, {values}, jsonb_strip_nulls(jsonb_build_object({given})) AS doc "
        f"FROM {_TABLE} s WHERE {where}"
    )
    return Rows(text, params, tuple(columns), None, sparse=True)


def _custom(targets: list[PlannedField]) -> str:
    """SQL: the given values of the company's own fields, as a record's `custom_fields` holds them."""
    pairs = ", ".join(f"'{target.field.custom_key}', {_json(target)}" for target in targets)
    return f"jsonb_strip_nulls(jsonb_build_object({pairs}))"


def _json(target: PlannedField) -> str:
    value = f"s.mapped[{target.place}]"
    if target.field.kind is Kind.TAGS:
        return f"to_jsonb({value}::text[])"
    if target.field.kind in (Kind.INTEGER, Kind.BOOLEAN):
        return f"to_jsonb({value}::{target.field.type.sql_type})"
    return value


def _typed(target: PlannedField, sql_type: str) -> str:
    value = f"s.mapped[{target.place}]"
    if target.field.kind is Kind.TAGS:
        return f"{value}::text[]::{sql_type}"
    return f"{value}::{sql_type}"


def note_refused(
    actor: Actor, job: ImportJob, plan: Plan, refused: dict[int, tuple[Fault, ...]], status: str
) -> None:
    """Give the rows, by their numbers in the file, this status and these errors. Needs a transaction."""
    headers = {target.field.name: target for target in plan.targets}
    documents = []
    for row_no, faults in refused.items():
        errors = []
        for item in faults:
            target = headers.get(item.path)
            place = target.columns[0] if target is not None and target.columns else 0
            errors.append(
                {
                    "field": item.path or None,
                    "column": target.header or None if target is not None else None,
                    "place": place,
                    "code": item.code,
                    "detail": item.detail,
                }
            )
        documents.append({"row_no": row_no, "errors": errors})
    with connection.cursor() as cursor:
        cursor.execute(
            f"""UPDATE {_TABLE} s SET status = %s, errors = (
  SELECT jsonb_agg((e - 'place') || jsonb_build_object('value', left(s.raw[nullif((e->>'place')::int, 0)], {MAX_SHOWN})))
  FROM jsonb_array_elements(x.errors) e)
FROM jsonb_to_recordset(%s::jsonb) AS x(row_no integer, errors jsonb)
WHERE s.company_id = %s AND s.job_id = %s AND s.row_no = x.row_no""",
            [status, to_json(documents), actor.company_id, job.pk],
        )
