"""The statements that turn a block of raw records into staged rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.access.visibility import sees_everything
from core.entities.kinds import Kind
from core.tenancy.actors import Actor
from data_import.compiler.references import keys_of, resolution
from data_import.compiler.targets import Pattern, Plan, PlannedField
from data_import.compiler.verdicts import ValueCheck, canonical, checks_of, verdict
from data_import.engine.transforms import sql

STAGING = "data_import_importstagingrecord"
RAW, VALUES, CELLS = "import_raw", "import_values", "import_cells"
MAX_SHOWN = 200

CREATE_RAW = f"CREATE TEMP TABLE {RAW} (number integer, fault jsonb, raw text[]) ON COMMIT DROP"
CREATE_CELLS = f"CREATE TEMP TABLE {CELLS} (place integer, given text[], value text, code text, detail text) ON COMMIT DROP"
DROP = f"DROP TABLE IF EXISTS pg_temp.{RAW}, pg_temp.{VALUES}, pg_temp.{CELLS}"


@dataclass(frozen=True)
class PythonTarget:
    """A target whose values, or some of them, only Python can read: `unread` selects the distinct cells."""

    target: PlannedField
    unread: str
    take: str


@dataclass(frozen=True)
class Block:
    """The statements for one block, in their order: `values`, then the Python targets, then `stage`."""

    values: str
    python: tuple[PythonTarget, ...]
    stage: str
    stage_params: tuple[Any, ...]


def _cell(place: int) -> str:
    return f"raw[{place}]"


def _blank(cell: str) -> str:
    return f"coalesce({sql.trimmed(cell)}, '') = ''"


def _given(target: PlannedField) -> str:
    """SQL: whether any cell of the target holds something."""
    return " OR ".join(f"NOT ({_blank(_cell(place))})" for place in target.columns) or "false"


def _slug(cell: str) -> str:
    plain = f"regexp_replace(normalize({cell}, NFKD), '[\\u0300-\\u036F]', '', 'g')"
    return f"btrim(regexp_replace(lower({plain}), '[^a-z0-9]+', '.', 'g'), '.')"


def _default(target: PlannedField, pattern: Pattern) -> str:
    if pattern.is_constant:
        text = "".join(str(part) for part in pattern.parts)
        return sql.literal(_constant(target, text)) + "::text"
    for_address = target.field.kind is Kind.EMAIL
    parts, blanks = [], []
    for part in pattern.parts:
        if isinstance(part, str):
            parts.append(sql.literal(part))
        else:
            parts.append(_slug(_cell(part)) if for_address else sql.trimmed(_cell(part)))
            blanks.append(_blank(_cell(part)))
    return f"CASE WHEN {' OR '.join(blanks)} THEN NULL ELSE concat({', '.join(parts)}) END"


def _constant(target: PlannedField, text: str) -> str:
    """A default goes the way of the cells; what they could not be written like is taken as it stands."""
    try:
        return target.chain.apply(text) or text
    except ValueError:
        return text


def needs_python(target: PlannedField) -> bool:
    """Whether all of its values go through Python."""
    if not target.columns:
        return False
    if target.field.kind is Kind.TAGS or any(rule.rule == "regex" for rule in target.rules):
        return True
    return target.chain.sql(*map(_cell, target.columns)) is None


def may_need_python(target: PlannedField) -> bool:
    return bool(target.columns) and (needs_python(target) or any(step.partial for step in target.chain.steps))


def _value(target: PlannedField) -> str:
    """SQL over a raw record: the text after all transforms; null where Python has to be asked."""
    if not target.columns or needs_python(target):
        read = "NULL::text"
    else:
        read = f"nullif({sql.trimmed(str(target.chain.sql(*map(_cell, target.columns))))}, '')"
    if target.default is None:
        return read
    default = _default(target, target.default)
    if not target.columns:
        return default
    return f"CASE WHEN {_given(target)} THEN {read} ELSE {default} END"


def _values_sql(plan: Plan) -> str:
    columns = []
    for target in plan.targets:
        columns.append(f"{_value(target)} AS v{target.place}")
        if may_need_python(target):
            columns.append(f"NULL::text AS b{target.place}")
    return f"CREATE TEMP TABLE {VALUES} ON COMMIT DROP AS SELECT number, fault, raw, {', '.join(columns)} FROM {RAW}"


def _python_target(target: PlannedField) -> PythonTarget:
    cells = "ARRAY[" + ", ".join(map(_cell, target.columns)) + "]"
    place = target.place
    unread = f"SELECT DISTINCT {cells} FROM {VALUES} WHERE fault IS NULL AND v{place} IS NULL AND ({_given(target)})"
    take = (
        f"UPDATE {VALUES} x SET v{place} = c.value, b{place} = c.code || chr(31) || c.detail "
        f"FROM {CELLS} c WHERE c.place = {place} AND x.v{place} IS NULL AND x.fault IS NULL AND {cells} = c.given"
    )
    return PythonTarget(target, unread, take)


# --- verdicts ------------------------------------------------------------------------------------------------------


def _rule_checks(target: PlannedField) -> tuple[ValueCheck, ...]:
    """What the settings demand beyond the kind, where SQL can say it."""
    found = []
    for rule in target.rules:
        if rule.rule == "length":
            if rule.min is not None:
                low = int(rule.min)
                found.append(
                    ValueCheck(
                        "too_short", f"At least {low} characters are expected.", f"length({{v}}) < {low}"
                    )
                )
            if rule.max is not None:
                high = int(rule.max)
                found.append(
                    ValueCheck(
                        "too_long", f"At most {high} characters are allowed.", f"length({{v}}) > {high}"
                    )
                )
        elif rule.rule == "range":
            number = "{v}::numeric"
            if rule.min is not None:
                found.append(
                    ValueCheck("too_small", f"At least {rule.min:g} is expected.", f"{number} < {rule.min!r}")
                )
            if rule.max is not None:
                found.append(
                    ValueCheck("too_large", f"At most {rule.max:g} is allowed.", f"{number} > {rule.max!r}")
                )
        elif rule.rule in ("email", "url"):
            kind = Kind.EMAIL if rule.rule == "email" else Kind.URL
            found += checks_of(replace(target.field, kind=kind))
        elif rule.rule == "one_of":
            words = rule.values or []
            detail = f"Choose one of: {', '.join(words)}."
            listed = sql.array(words).replace("{", "{{").replace("}", "}}")
            found.append(ValueCheck("not_a_choice", detail, f"{{v}} NOT IN ({listed})" if words else "true"))
    return tuple(found)


def _checks(target: PlannedField) -> tuple[ValueCheck, ...]:
    return (*checks_of(target.field), *_rule_checks(target))


def _details(target: PlannedField, entity: str) -> str:
    """SQL: a sentence for each code, as a constant JSON object."""
    called = target.field.to.replace("_", " ") or "record"
    sentences = {
        "required": "This field is required.",
        "does_not_exist": f"There is no {called} that is called so.",
        "ambiguous": f"More than one {called} is called so; use an id.",
        "forbidden": "You may see this record, but not update it.",
        **{check.code: check.detail for check in reversed(_checks(target))},
    }
    return sql.literal(json.dumps(sentences)) + "::jsonb"


def _is_required(target: PlannedField) -> bool:
    return target.required or any(rule.rule == "required" for rule in target.rules)


def stage_sql(plan: Plan, actor: Actor) -> tuple[str, tuple[Any, ...]]:
    """One INSERT: verdicts, references, matches, and the staged rows. Positional parameters: those of the references,
    then company, job and batch number."""
    params: list[Any] = []
    with_parts, joins, inner = [], [], []
    names = plan.view.entity.name
    for target in plan.targets:
        if target.is_reference and not plan.refers_to_itself(target):
            keys = keys_of(target.field.to, actor)
            params += keys.params
            wanted = f"SELECT DISTINCT v{target.place} AS v FROM {VALUES} WHERE v{target.place} IS NOT NULL"
            with_parts.append(f"r{target.place} AS MATERIALIZED ({resolution(keys.sql, wanted)})")
            joins.append(f"LEFT JOIN r{target.place} ON r{target.place}.v = x.v{target.place}")
    match, closed = plan.match_on, ""
    if match is not None:
        keys = keys_of(names, actor, (match.field.name,))
        params += keys.params
        wanted = f"SELECT DISTINCT v{match.place} AS v FROM {VALUES} WHERE v{match.place} IS NOT NULL"
        with_parts.append(f"found AS MATERIALIZED ({resolution(keys.sql, wanted)})")
        joins.append(f"LEFT JOIN found ON found.v = x.v{match.place}")
        if not sees_everything(plan.view.entity, actor, "update"):
            # A record that is seen but not open for updates is neither changed nor made a second time.
            updated, given = plan.view.records("update").order_by().values_list("pk").query.sql_with_params()
            params += given
            with_parts.append(
                f"opened AS MATERIALIZED (SELECT q.id FROM ({updated}) q(id) "
                "WHERE q.id IN (SELECT f.id::uuid FROM found f))"
            )
            joins.append("LEFT JOIN opened ON opened.id = found.id::uuid")
            closed = "found.id IS NOT NULL AND opened.id IS NULL"
    known = "found.id IS NOT NULL" if match is not None else "false"
    for target in plan.targets:
        inner.append(f"{_verdict(plan, target, known, closed)} AS e{target.place}")
    action = f"CASE WHEN {known} THEN 'update' ELSE 'create' END" if plan.mode != "update" else "'update'"
    matched = "found.id::uuid" if match is not None else "NULL::uuid"
    errors = [f"e{target.place}" for target in plan.targets]
    listed = ", ".join(_error_row(target, names) for target in plan.targets)
    mapped = ", ".join(_mapped(plan, target) for target in plan.targets)
    resolved = "".join(
        f", r{target.place}.id AS i{target.place}"
        for target in plan.targets
        if target.is_reference and not plan.refers_to_itself(target)
    )
    prefix = f"WITH {', '.join(with_parts)} " if with_parts else ""
    text = f"""{prefix}INSERT INTO {STAGING}
  (id, company_id, job_id, row_no, batch_no, raw, mapped, errors, status, action, match_id)
SELECT uuidv7(), %s::uuid, %s::uuid, z.number, %s::integer, z.raw, ARRAY[{mapped}]::text[], z.errors,
  CASE WHEN z.errors IS NULL THEN 'valid' ELSE 'invalid' END, z.action, z.match_id
FROM (
  SELECT y.*, CASE WHEN y.fault IS NOT NULL THEN jsonb_build_array(
      jsonb_build_object('field', NULL, 'column', NULL, 'value', NULL) || y.fault)
    WHEN coalesce({", ".join(errors)}) IS NOT NULL THEN (
      SELECT jsonb_agg(jsonb_build_object('field', t.field, 'column', t.header, 'value', left(t.value, {MAX_SHOWN}),
        'code', split_part(t.code, chr(31), 1), 'detail', coalesce(nullif(split_part(t.code, chr(31), 2), ''), t.detail)))
      FROM (VALUES {listed}) AS t(field, header, value, code, detail) WHERE t.code IS NOT NULL
    ) END AS errors
  FROM (
    SELECT x.*{resolved}, {", ".join(inner)}, {action} AS action, {matched} AS match_id
    FROM {VALUES} x {" ".join(joins)} OFFSET 0
  ) y OFFSET 0
) z"""
    return text, tuple(params)


def _verdict(plan: Plan, target: PlannedField, known: str, closed: str) -> str:
    value, place = f"x.v{target.place}", target.place
    cases = []
    if may_need_python(target):
        cases.append(f"WHEN x.b{place} IS NOT NULL THEN x.b{place}")
    is_match = plan.match_on is target
    if is_match:
        cases.append(f"WHEN {value} IS NULL THEN 'required'")
        cases.append("WHEN found.v IS NOT NULL AND found.id IS NULL THEN 'ambiguous'")
        if closed:
            cases.append(f"WHEN {closed} THEN 'forbidden'")
        if plan.mode == "update":
            cases.append("WHEN found.v IS NULL THEN 'does_not_exist'")
    elif _is_required(target) and plan.mode != "update":
        cases.append(f"WHEN {value} IS NULL AND NOT ({known}) THEN 'required'")
    if target.is_reference and not plan.refers_to_itself(target):
        cases.append(f"WHEN {value} IS NOT NULL AND r{place}.v IS NULL THEN 'does_not_exist'")
        cases.append(f"WHEN {value} IS NOT NULL AND r{place}.id IS NULL THEN 'ambiguous'")
    checks = _checks(target)
    rest = verdict(checks, value) if checks else "NULL::text"
    return f"CASE {' '.join(cases)} ELSE {rest} END" if cases else rest


def _error_row(target: PlannedField, entity: str) -> str:
    shown = f"z_raw[{target.columns[0]}]" if target.columns else f"y.v{target.place}"
    shown = shown.replace("z_raw", "y.raw")
    header = sql.literal(target.header) if target.header else "NULL"
    name = sql.literal(target.field.name)
    code = f"y.e{target.place}"
    return (
        f"({name}, {header}, {shown}, {code}, {_details(target, entity)} ->> split_part({code}, chr(31), 1))"
    )


def _mapped(plan: Plan, target: PlannedField) -> str:
    value, place = f"z.v{target.place}", target.place
    if target.is_reference and not plan.refers_to_itself(target):
        return f"z.i{place}"
    kept = canonical(target.field, value)
    if target.field.kind is Kind.DATETIME:
        kept = _moment(value, plan.timezone)
    if kept == value:
        return value
    return f"CASE WHEN z.e{place} IS NULL THEN {kept} END"


def _moment(value: str, timezone: str) -> str:
    zoned = f"{value} ~ '([Zz]|[-+][0-9]{{2}}:?[0-9]{{2}})$'"
    local = f"({value}::timestamp AT TIME ZONE {sql.literal(timezone)})"
    moment = f"(CASE WHEN {zoned} THEN {value}::timestamptz ELSE {local} END)"
    return f"replace(({moment} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"


def block_statements(plan: Plan, actor: Actor) -> Block:
    """Everything a block of records needs, made once for a job."""
    stage, params = stage_sql(plan, actor)
    python = tuple(_python_target(target) for target in plan.targets if may_need_python(target))
    return Block(_values_sql(plan), python, stage, params)


def python_values(target: PlannedField, cells: Sequence[Sequence[str]]) -> list[tuple[Any, ...]]:
    """(place, cells, value, code, detail) for each distinct group of cells, read by Python."""
    import re2

    from core.entities.kinds import BadValue

    patterns = [re2.compile(rule.pattern) for rule in target.rules if rule.rule == "regex" and rule.pattern]
    read = []
    for given in cells:
        value: str | None
        code = detail = None
        try:
            value = target.chain.apply(*given)
            if value is not None and target.field.kind is Kind.TAGS:
                tags = target.field.type.from_text(target.field, value)
                value = "{" + ",".join(json.dumps(tag, ensure_ascii=False) for tag in tags) + "}"
            if value is not None and not all(pattern.fullmatch(value) for pattern in patterns):
                raise BadValue("pattern_mismatch", "The value does not have the expected form.")
        except (ValueError, BadValue) as bad:
            # TransformError is a ValueError; both carry a code and a sentence.
            value, code, detail = None, getattr(bad, "code", "invalid"), str(bad)
        read.append((target.place, list(given), value or None, code, detail))
    return read
