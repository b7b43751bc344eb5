"""What the staged rows would do, settled for the whole file: repeats, references among its rows, order, digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db import connection, models

from core.changes.rows import to_json
from core.kernel.ids import uuid7
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from data_import.compiler.references import keys_of
from data_import.compiler.statements import MAX_SHOWN
from data_import.compiler.targets import Plan, PlannedField
from data_import.engine.transforms import sql
from data_import.models import ImportJob
from data_import.operations.jobs import raise_if_canceled
from data_import.schemas import settings_of

_OF_JOB = "s.company_id = %(company)s::uuid AND s.job_id = %(job)s::uuid"
_TABLE = "data_import_importstagingrecord"


def judge_whole_file(actor: Actor, job: ImportJob, plan: Plan) -> str:
    """Judge what only the whole file shows; answers the plan's digest. Needs a transaction; locks the job's rows.

    Raises: Canceled between two statements.
    """
    needs_transaction()
    names = {"company": actor.company_id, "job": job.pk}
    with connection.cursor() as cursor:
        # The rows came in this very transaction or just before: the planner takes them for few and would compare each
        # with each.
        cursor.execute("SET LOCAL enable_nestloop = off")
        if plan.match_on is not None:
            _settle_repeats(cursor, plan, plan.match_on, names)
        for target in _unique_targets(plan):
            raise_if_canceled(job.pk)
            _refuse_duplicates(cursor, plan, target, names)
        for target in plan.self_references:
            raise_if_canceled(job.pk)
            _settle_references(cursor, actor, plan, target, names)
        raise_if_canceled(job.pk)
        if plan.self_references:
            _order(cursor, plan, names)
    return digest_of(actor, job)


def _mapped(target: PlannedField, alias: str = "s") -> str:
    return f"{alias}.mapped[{target.place}]"


def _error(target: PlannedField, plan: Plan, code: str, detail: str) -> str:
    """SQL: one error of a row, as the only element of a JSON array."""
    cell = f"s.raw[{target.columns[0]}]" if target.columns else _mapped(target)
    return (
        f"jsonb_build_array(jsonb_build_object('field', {sql.literal(target.field.name)}, "
        f"'column', {sql.literal(target.header) if target.header else 'NULL'}, 'value', left({cell}, {MAX_SHOWN}), "
        f"'code', {sql.literal(code)}, 'detail', {detail}))"
    )


def _settle_repeats(cursor: Any, plan: Plan, match: PlannedField, names: dict[str, Any]) -> None:
    """Of rows that name the same record the first counts; one that says the same again is skipped, another refused."""
    key = sql.lowered(_mapped(match))
    refused = _error(
        match, plan, "repeated_in_file", "'Row ' || f.first_row || ' names the same record and differs.'"
    )
    cursor.execute(
        f"""UPDATE {_TABLE} s SET status = CASE WHEN s.mapped = f.mapped THEN 'skipped' ELSE 'invalid' END,
  errors = CASE WHEN s.mapped = f.mapped THEN s.errors ELSE {refused} END
FROM (SELECT s.id, first_value(s.row_no) OVER w AS first_row, first_value(s.mapped) OVER w AS mapped
  FROM {_TABLE} s WHERE {_OF_JOB} AND s.status = 'valid' WINDOW w AS (PARTITION BY {key} ORDER BY s.row_no)) f
WHERE {_OF_JOB} AND s.id = f.id AND s.row_no > f.first_row""",
        names,
    )


def _unique_targets(plan: Plan) -> list[PlannedField]:
    """Targets whose values the model or the settings want once."""
    single = set()
    for constraint in plan.view.entity.model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields:
            own = [name for name in constraint.fields if name not in ("company", "external_source")]
            if len(own) == 1:
                single.add(own[0])
    return [
        target
        for target in plan.targets
        if target is not plan.match_on
        and not plan.refers_to_itself(target)
        and (
            target.field.name in single
            or target.field.unique
            or any(rule.rule == "unique" for rule in target.rules)
        )
    ]


def _refuse_duplicates(cursor: Any, plan: Plan, target: PlannedField, names: dict[str, Any]) -> None:
    source = plan.target("external_source") if target.field.name == "external_id" else None
    key = ", ".join([_mapped(target), *([_mapped(source)] if source else [])])
    refused = _error(target, plan, "not_unique", "'Row ' || f.first_row || ' of the file has this already.'")
    cursor.execute(
        f"""UPDATE {_TABLE} s SET status = 'invalid', errors = {refused}
FROM (SELECT s.id, first_value(s.row_no) OVER w AS first_row
  FROM {_TABLE} s WHERE {_OF_JOB} AND s.status = 'valid' AND {_mapped(target)} IS NOT NULL
  WINDOW w AS (PARTITION BY {key} ORDER BY s.row_no)) f
WHERE {_OF_JOB} AND s.id = f.id AND s.row_no > f.first_row""",
        names,
    )


# --- rows that refer to rows ---------------------------------------------------------------------------------------


def _settle_references(
    cursor: Any, actor: Actor, plan: Plan, target: PlannedField, names: dict[str, Any]
) -> None:
    """Names of records of the same kind become ids: of a row of this file, else of a record that is there.

    A row whose reference falls with a refused row is refused too, so this goes round until nothing changes.
    """
    keys = keys_of(target.field.to, actor)
    own = [t for t in plan.targets if t.field.key and not t.is_reference]
    # A reference that is settled already stands as the id.
    own_keys = ["SELECT coalesce(s.match_id, s.id) AS id, coalesce(s.match_id, s.id)::text AS key"]
    own_keys += [f"SELECT coalesce(s.match_id, s.id) AS id, {_mapped(t)} AS key" for t in own]
    if {"first_name", "last_name"} <= {t.field.name for t in plan.targets}:
        first, last = plan.target("first_name"), plan.target("last_name")
        if first is not None and last is not None:
            own_keys.append(
                "SELECT coalesce(s.match_id, s.id) AS id, "
                f"btrim(coalesce({_mapped(first)}, '') || ' ' || coalesce({_mapped(last)}, '')) AS key"
            )
    in_file = " UNION ALL ".join(
        f"{part} FROM {_TABLE} s WHERE {_OF_JOB} AND s.status = 'valid'" for part in own_keys
    )
    in_file = in_file or "SELECT NULL::uuid AS id, NULL::text AS key WHERE false"
    # The records are read once: nothing of them changes here.
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_known")
    cursor.execute(
        f"CREATE TEMP TABLE import_known ON COMMIT DROP AS SELECT id, key FROM ({keys.sql}) t",
        list(keys.params),
    )
    place = target.place
    refused_missing = _error(
        target,
        plan,
        "does_not_exist",
        f"'There is no {target.field.to.replace('_', ' ')} that is called so.'",
    )
    refused_many = _error(
        target,
        plan,
        "ambiguous",
        f"'More than one {target.field.to.replace('_', ' ')} is called so; use an id.'",
    )
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_asked")
    cursor.execute(
        f"CREATE TEMP TABLE import_asked ON COMMIT DROP AS SELECT s.id, {_mapped(target)} AS key FROM {_TABLE} s "
        f"WHERE {_OF_JOB} AND s.status = 'valid' AND {_mapped(target)} IS NOT NULL",
        names,
    )
    while True:
        cursor.execute(
            f"""WITH answers AS (
  SELECT w.key, count(DISTINCT f.id) AS in_file, min(f.id::text) AS file_id
  FROM (SELECT DISTINCT key FROM import_asked) w
  LEFT JOIN ({in_file}) f ON {sql.lowered("f.key")} = {sql.lowered("w.key")} GROUP BY w.key
), known AS (
  SELECT w.key, count(DISTINCT k.id) AS known, min(k.id::text) AS known_id
  FROM (SELECT DISTINCT key FROM import_asked) w
  JOIN import_known k ON {sql.lowered("k.key")} = {sql.lowered("w.key")} GROUP BY w.key
), judged AS (
  SELECT q.id, CASE WHEN a.in_file = 1 THEN a.file_id WHEN a.in_file = 0 AND k.known = 1 THEN k.known_id END AS to_id,
    a.in_file > 1 OR (a.in_file = 0 AND k.known > 1) AS many
  FROM import_asked q JOIN answers a ON a.key = q.key LEFT JOIN known k ON k.key = q.key
)
UPDATE {_TABLE} s SET mapped[{place}] = j.to_id,
  status = CASE WHEN j.to_id IS NULL THEN 'invalid' ELSE 'valid' END,
  errors = CASE WHEN j.to_id IS NOT NULL THEN NULL WHEN j.many THEN {refused_many} ELSE {refused_missing} END
FROM judged j WHERE {_OF_JOB} AND s.id = j.id AND s.status = 'valid'
  AND (j.to_id IS NULL OR s.mapped[{place}] IS DISTINCT FROM j.to_id)
RETURNING s.status""",
            names,
        )
        if not any(status == "invalid" for (status,) in cursor.fetchall()):
            return


def _order(cursor: Any, plan: Plan, names: dict[str, Any]) -> None:
    """Rows that refer to rows that this file creates are committed behind them, level by level; a circle is refused."""
    parents = " OR ".join(f"p.id::text = {_mapped(target, 'c')}" for target in plan.self_references)
    waits = " OR ".join(
        f"EXISTS (SELECT FROM made p WHERE p.id::text = {_mapped(target)})" for target in plan.self_references
    )
    cursor.execute("DROP TABLE IF EXISTS pg_temp.import_waiting")
    cursor.execute(
        f"""CREATE TEMP TABLE import_waiting ON COMMIT DROP AS
WITH made AS MATERIALIZED (SELECT s.id FROM {_TABLE} s WHERE {_OF_JOB} AND s.status = 'valid' AND s.action = 'create')
SELECT s.id, s.row_no, s.mapped, NULL::integer AS level FROM {_TABLE} s
WHERE {_OF_JOB} AND s.status = 'valid' AND ({waits})""",
        names,
    )
    level = 0
    while True:
        level += 1
        cursor.execute(
            f"""UPDATE import_waiting c SET level = %s WHERE c.level IS NULL AND NOT EXISTS (
  SELECT FROM import_waiting p WHERE (p.level IS NULL OR p.level = %s) AND ({parents}))""",
            [level, level],
        )
        if not cursor.rowcount:
            break
    first = plan.self_references[0]
    refused = _error(first, plan, "cycle", "'The references of these rows lead in a circle.'")
    cursor.execute(
        f"UPDATE {_TABLE} s SET status = 'invalid', errors = {refused} FROM import_waiting w "
        f"WHERE {_OF_JOB} AND s.id = w.id AND w.level IS NULL",
        names,
    )
    cursor.execute(
        "SELECT level, min(row_no), max(row_no), count(*) FROM import_waiting WHERE level IS NOT NULL GROUP BY 1"
    )
    levels = sorted(cursor.fetchall())
    if not levels:
        return
    cursor.execute(
        "SELECT max(number) FROM data_import_importbatch WHERE company_id = %(company)s AND job_id = %(job)s",
        names,
    )
    last = cursor.fetchone()[0]
    for level, first_row, last_row, count in levels:
        cursor.execute(
            "INSERT INTO data_import_importbatch (id, company_id, job_id, number, first_row, last_row, row_count) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [uuid7(), names["company"], names["job"], last + level, first_row, last_row, count],
        )
    cursor.execute(
        f"UPDATE data_import_importbatch b SET row_count = b.row_count - m.moved FROM (SELECT s.batch_no, count(*) AS moved "
        f"FROM {_TABLE} s JOIN import_waiting w ON w.id = s.id AND w.level IS NOT NULL WHERE {_OF_JOB} GROUP BY 1) m "
        "WHERE b.company_id = %(company)s::uuid AND b.job_id = %(job)s::uuid AND b.number = m.batch_no",
        names,
    )
    cursor.execute(
        f"UPDATE {_TABLE} s SET batch_no = %(last)s + w.level FROM import_waiting w "
        f"WHERE {_OF_JOB} AND s.id = w.id AND w.level IS NOT NULL",
        {**names, "last": last},
    )


# --- digest --------------------------------------------------------------------------------------------------------


def digest_of(actor: Actor, job: ImportJob) -> str:
    """Of what the staged rows would do: the same file, settings and matches have the same digest."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(hashtextextended(concat_ws(chr(31), s.row_no, s.status, s.action, "
            "s.match_id, s.errors), 0)::numeric), 0)::text "
            f"FROM {_TABLE} s WHERE s.company_id = %s AND s.job_id = %s",
            [actor.company_id, job.pk],
        )
        count, rows = cursor.fetchone()
    settings = json.loads(to_json(settings_of(job).model_dump(mode="json")))
    whole = json.dumps(
        [job.file_sha256, job.entity_type, settings, job.decisions, count, rows], sort_keys=True
    )
    return hashlib.sha256(whole.encode()).hexdigest()
