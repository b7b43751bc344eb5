"""The SQL of the one statement that writes, compiled once per shape.

Candidate rows (`candidates`) → new state with derived columns (`completed`) → rules and gates (`checked`) → the table
(`written`) and what goes along with it. A judged write ends before the table. For the aliases see `core.changes.writes`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.db import connection, models
from django.db.models.sql import Query

from core.changes.constraints import (
    Rule,
    constraint_rules,
    derived_length_rules,
    stored_columns,
    unique_keys,
)
from core.changes.rows import EXPECTED_VERSION, new_value, sql_types

# For each rule of a gate: the SQL of its condition, and the name of the parameter that holds its fault.
GateTests = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class WriteSpec:
    """How rows of a model are completed and checked. Made once per operation; the SQL is compiled once per shape."""

    model: type[models.Model]
    # LEFT JOINs on `n`, for derivations and rules. Join company tables by `x.company_id = n.company_id` too.
    joins: str = ""
    # Column -> SQL over n, o, r and the joins.
    derive: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    # Statements (CTEs by name) that write beside: may read `written`, which has every column as `new_<column>` and
    # `old_<column>`.
    also: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@dataclass(frozen=True, slots=True)
class Judging:
    """What a judged write answers about each row: values of these columns (all where none are named), and its keys."""

    columns: tuple[str, ...] | None = None
    has_keys: bool = False

    def shown(self, columns: Collection[str]) -> list[str]:
        return [name for name in columns if self.columns is None or name in self.columns]


def _q(text: str) -> str:
    """A text as an SQL literal (of ours, never a client's)."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


def _fault(rule: Rule) -> str:
    return _q("\x1f".join((rule.path, rule.code, rule.detail)))


def numbered(sql: str) -> str:
    """The relation's positional parameters as named ones, so that they mix with ours."""
    pieces = sql.split("%s")
    names = places(len(pieces) - 1)
    return "".join(f"{piece}%({name})s" for piece, name in zip(pieces, names, strict=False)) + pieces[-1]


@lru_cache(maxsize=256)
def places(count: int) -> tuple[str, ...]:
    """The names of so many of the relation's parameters."""
    return tuple(f"p{place}" for place in range(count))


def _default(column: models.Field, sql_type: str) -> str:
    if column.name == "id":
        return "uuidv7()"
    expression: Any = column.db_default
    if expression is models.NOT_PROVIDED and column.has_default():
        expression = column.get_default()
    if expression is not models.NOT_PROVIDED:
        if not hasattr(expression, "resolve_expression"):
            expression = models.Value(expression, output_field=column)
        query = Query(model=None)
        compiled, params = query.get_compiler(connection=connection).compile(
            expression.resolve_expression(query)
        )
        with connection.cursor() as cursor:
            literal = cursor.mogrify(compiled, params) if params else compiled
        text = literal.decode() if isinstance(literal, bytes) else literal
        return f"({text.replace('%', '%%')})::{sql_type}"
    return f"NULL::{sql_type}"


def _given(model: type[models.Model], given: Sequence[str], sparse: bool) -> str:
    """The alias `g`."""

    def flag(name: str) -> str:
        if name not in given:
            return "false"
        return f"r.doc ? {_q(name)}" if sparse else "true"

    flags = ", ".join(f'{flag(str(column.column))} AS "{column.column}"' for column in stored_columns(model))
    return f"CROSS JOIN LATERAL (SELECT {flags}) g"


def _faults_sql(rules: Sequence[Rule], gates: GateTests | None, missing: str = "") -> str:
    """The faults of a row. A row that is `missing` has that fault alone: nothing else can be said of it."""
    cases = ", ".join(
        [
            *(f"CASE WHEN {rule.when} THEN {_fault(rule)} END" for rule in rules),
            *(f"CASE WHEN {when} THEN %({fault})s::text END" for when, fault in gates or ()),
        ]
    )
    found = f"nullif(array_remove(ARRAY[{cases}]::text[], NULL), '{{}}')"
    if not missing:
        return found
    return f"CASE WHEN {missing} THEN ARRAY[{_fault(_NOT_FOUND)}] ELSE {found} END"


_NOT_FOUND = Rule("not_found", "id", "There is no such record.", "")
_STALE = Rule(
    "stale",
    "version",
    "The record has changed since you read it.",
    f"r.{EXPECTED_VERSION} IS NOT NULL AND r.{EXPECTED_VERSION} <> o.version",
)


def _document(columns: str) -> str:
    """Columns as a JSON object."""
    return f"(SELECT to_json(x)::text FROM (SELECT {columns}) x)" if columns else "NULL::text"


def _keys_sql(model: type[models.Model], changing: Collection[str], judged: Judging) -> str:
    """For each key of `unique_keys`, what the row would hold; null where it holds none."""
    if not judged.has_keys:
        return "NULL"
    keys = ", ".join(
        f"CASE WHEN {key.applies} THEN md5(jsonb_build_array({', '.join(key.parts)})::text) END"
        for key in unique_keys(model, changing)
    )
    # The keys are written over `n`.
    return f"(SELECT ARRAY[{keys}]::text[] FROM (SELECT c.*) n)"


def _also_sql(spec: WriteSpec) -> str:
    return "".join(f", {name} AS ({sql})" for name, sql in spec.also.items())


# Hidden from the planner: of a company that its statistics do not know yet it expects no rows, and would read all of
# the company's for each one that it looks up by id.
_COMPANY = "(SELECT %(company)s::uuid)"


def _with_records(table: str, relation: str, *, locked: bool) -> str:
    """The CTE `candidates`: each candidate row with its record, which is `locked` in id order.

    Looked up row by row on purpose: the planner knows nothing of the candidates' number, and a join it takes for small
    would compare every row with every record.
    """
    return f"""candidates AS MATERIALIZED (
  SELECT r AS candidate, o AS record
  FROM (SELECT * FROM ({numbered(relation)}) r ORDER BY r.id) r
  LEFT JOIN LATERAL (
    SELECT t.* FROM "{table}" t WHERE t.company_id = {_COMPANY} AND t.id = r.id{" FOR UPDATE" if locked else ""}
  ) o ON true
)"""


# Whether the gates demand what the statement was made for.
_GATES_ARE_CURRENT = (
    "(SELECT x.gates_version IS NOT DISTINCT FROM %(gates_version)s::uuid FROM core_company x "
    "WHERE x.id = %(company)s::uuid)"
)


def _keep(all_or_none: bool, gates: GateTests | None) -> str:
    kept = (
        "NOT EXISTS (SELECT FROM checked c WHERE c.faults IS NOT NULL)" if all_or_none else "d.faults IS NULL"
    )
    return kept if gates is None else f"{kept} AND {_GATES_ARE_CURRENT}"


def _are_current(gates: GateTests | None) -> str:
    return "true" if gates is None else _GATES_ARE_CURRENT


def _returning(spec: WriteSpec) -> str:
    if not spec.also:
        return "id, version"
    both = ", ".join(
        f'old."{column.column}" AS "old_{column.column}", new."{column.column}" AS "new_{column.column}"'
        for column in spec.model._meta.concrete_fields
    )
    return f"new.id, new.version, {both}"


@lru_cache(maxsize=1024)
def insert_sql(
    spec: WriteSpec,
    relation: str,
    given: tuple[str, ...],
    sparse: bool,
    all_or_none: bool,
    gates: GateTests | None = None,
    judged: Judging | None = None,
) -> str:
    """The statement of an insert. Its rows: place, id, version, whether anything changes, faults, are gates current."""
    model, table = spec.model, spec.model._meta.db_table
    types = sql_types(model)
    system = {
        "company_id": "%(company)s::uuid",
        "created_at": "%(now)s::timestamptz",
        "updated_at": "%(now)s::timestamptz",
        "created_by_id": "%(user)s::uuid",
        "updated_by_id": "%(user)s::uuid",
        "version": "1",
    }
    values = []
    for column in stored_columns(model):
        name = str(column.column)
        if name in system:
            values.append(f'{system[name]} AS "{name}"')
        elif name == "id":
            values.append("r.id")
        elif name in given:
            # A key that a sparse row does not set reads as null; the default fills it where the column demands a value.
            filled = (
                f'r."{name}"' if column.null else f'coalesce(r."{name}", {_default(column, types[name])})'
            )
            values.append(f'{filled} AS "{name}"')
        else:
            values.append(f'{_default(column, types[name])} AS "{name}"')
    changing = {*given, *spec.derive} - {"id"}
    rules = [*constraint_rules(model, changing, inserting=True), *spec.rules]
    if judged is not None:
        rules += derived_length_rules(model, spec.derive)
    flags = _given(model, given, sparse)
    columns = [str(column.column) for column in stored_columns(model)]
    final = ", ".join(
        f'({spec.derive[name]}) AS "{name}"' if name in spec.derive else f'n."{name}"' for name in columns
    )
    settled = ", ".join(f'd."{name}"' for name in columns)
    listed = ", ".join(f'"{name}"' for name in columns)
    # Constants, so that what asks for `o` is settled when the statement is planned.
    blank = ", ".join(f'NULL::{sql_type} AS "{name}"' for name, sql_type in types.items())
    nothing = f"CROSS JOIN LATERAL (SELECT {blank}) o"
    # Materialized, so that a rule's look-up compares an index with a value: below row-level security an expression
    # (coalesce, for one) might leak, and only the company would be left to look up by.
    head = f"""
WITH candidates AS MATERIALIZED (SELECT r AS candidate FROM ({numbered(relation)}) r),
completed AS MATERIALIZED (
  SELECT n.ord, {final}, b.candidate
  FROM candidates b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT r.ord, {", ".join(values)}) n
  {nothing}
  {flags}
  {spec.joins}
),
checked AS MATERIALIZED (
  SELECT n.*, {_faults_sql(rules, gates)} AS faults
  FROM completed n
  CROSS JOIN LATERAL (SELECT (n.candidate).*) r
  {nothing}
  {flags}
  {spec.joins}
)"""
    if judged is not None:
        new = ", ".join(f'c."{name}"' for name in judged.shown(columns))
        return f"""{head}
SELECT c.ord, c.id, 1, true, c.faults, {_are_current(gates)}, NULL, {_document(new)}, {_keys_sql(model, changing, judged)}
FROM checked c ORDER BY c.ord"""
    return f"""{head},
written AS (
  INSERT INTO "{table}" ({listed})
  SELECT {settled} FROM checked d WHERE {_keep(all_or_none, gates)} ORDER BY d.ord
  RETURNING {_returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.id, 1, true, c.faults, {_are_current(gates)} FROM checked c ORDER BY c.ord"""


@lru_cache(maxsize=1024)
def update_sql(
    spec: WriteSpec,
    relation: str,
    given: tuple[str, ...],
    versioned: bool,
    sparse: bool,
    all_or_none: bool,
    gates: GateTests | None = None,
    judged: Judging | None = None,
) -> str:
    """The statement of an update; its rows are those of `insert_sql`."""
    model, table = spec.model, spec.model._meta.db_table
    values = []
    for column in stored_columns(model):
        name = str(column.column)
        if name not in given or name == "id":
            values.append(f'o."{name}"')
        else:
            values.append(f'{new_value(model, name, sparse)} AS "{name}"')
    changing = [name for name in dict.fromkeys([*given, *spec.derive]) if name != "id"]
    missing = "o.id IS NULL"
    if (
        "deleted_at" in {column.column for column in stored_columns(model)}
        and "deleted_at" not in spec.derive
    ):
        missing = "o.id IS NULL OR o.deleted_at IS NOT NULL"
    rules = [
        *([_STALE] if versioned else []),
        *constraint_rules(model, changing, inserting=False),
        *spec.rules,
    ]
    if judged is not None:
        rules += derived_length_rules(model, spec.derive)
    flags = _given(model, given, sparse)
    columns = [str(column.column) for column in stored_columns(model)]
    final = ", ".join(
        f'({spec.derive[name]}) AS "{name}"' if name in spec.derive else f'n."{name}"' for name in columns
    )
    differs = (
        "("
        + ", ".join(f'n."{name}"' for name in changing)
        + ") IS DISTINCT FROM ("
        + ", ".join(f'o."{name}"' for name in changing)
        + ")"
        if changing
        else "false"
    )
    sets = ", ".join(f'"{name}" = d."{name}"' for name in [*changing, *kept_busy(model, changing)])
    head = f"""
WITH {_with_records(table, relation, locked=judged is None)},
completed AS MATERIALIZED (
  SELECT n.ord, r.id AS given_id, {final}, b.candidate, b.record
  FROM candidates b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT (b.record).*) o
  CROSS JOIN LATERAL (SELECT r.ord, {", ".join(values)}) n
  {flags}
  {spec.joins}
),
checked AS MATERIALIZED (
  SELECT n.*, {differs} AS differs, o.version AS old_version, {_faults_sql(rules, gates, missing)} AS faults
  FROM completed n
  CROSS JOIN LATERAL (SELECT (n.candidate).*) r
  CROSS JOIN LATERAL (SELECT (n.record).*) o
  {flags}
  {spec.joins}
)"""
    if judged is not None:
        shown = judged.shown(changing)
        new = ", ".join(f'c."{name}"' for name in shown)
        old = ", ".join(f'(c.record)."{name}"' for name in shown)
        return f"""{head}
SELECT c.ord, c.given_id, c.old_version, c.differs, c.faults, {_are_current(gates)}, {_document(old)}, {_document(new)},
  {_keys_sql(model, changing, judged)}
FROM checked c ORDER BY c.ord"""
    return f"""{head},
written AS (
  UPDATE "{table}" t SET {sets + ", " if sets else ""}version = t.version + 1,
    updated_at = %(now)s::timestamptz, updated_by_id = %(user)s::uuid
  FROM checked d WHERE t.id = d.id AND t.company_id = {_COMPANY} AND d.differs AND {_keep(all_or_none, gates)}
  RETURNING {_returning(spec).replace("id, version", "t.id, t.version") if not spec.also else _returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.given_id, c.old_version + c.differs::int, c.differs, c.faults, {_are_current(gates)}
FROM checked c ORDER BY c.ord"""


def kept_busy(model: type[models.Model], changing: Sequence[str]) -> list[str]:
    """A column to set to itself, where nothing that changes is read by a generated column.

    PostgreSQL 18 then decides anew for each row that it need compute none, parsing the expressions of all: that takes
    longer than the rest of the update. Computing the shortest spares it.
    """
    expressions = sorted(
        (
            set(re.findall(r"\w+", column.generated_sql(connection)[0]))
            for column in model._meta.concrete_fields
            if isinstance(column, models.GeneratedField)
        ),
        key=len,
    )
    if not expressions or not set().union(*expressions).isdisjoint(changing):
        return []
    return [str(column.column) for column in stored_columns(model) if column.column in expressions[0]][:1]


@lru_cache(maxsize=256)
def erase_sql(
    spec: WriteSpec,
    relation: str,
    versioned: bool,
    all_or_none: bool,
    gates: GateTests | None = None,
    judged: Judging | None = None,
) -> str:
    """The statement that deletes rows for good; its rows are those of `insert_sql`."""
    table = spec.model._meta.db_table
    rules = [*([_STALE] if versioned else []), *spec.rules]
    # What a gate asks of the row as it will be, is asked of the row as it is.
    as_it_is = "CROSS JOIN LATERAL (SELECT (b.record).*) n" if gates else ""
    head = f"""
WITH {_with_records(table, relation, locked=judged is None)},
checked AS MATERIALIZED (
  SELECT r.ord, r.id, o.version, {_faults_sql(rules, gates, "o.id IS NULL")} AS faults, b.record
  FROM candidates b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT (b.record).*) o
  {as_it_is}
  {spec.joins}
)"""
    if judged is not None:
        old = ", ".join(
            f'(c.record)."{name}"'
            for name in judged.shown([str(column.column) for column in stored_columns(spec.model)])
        )
        return f"""{head}
SELECT c.ord, c.id, c.version, true, c.faults, {_are_current(gates)}, {_document(old)}, NULL, NULL
FROM checked c ORDER BY c.ord"""
    return f"""{head},
written AS (
  DELETE FROM "{table}" t USING checked d
  WHERE t.id = d.id AND t.company_id = {_COMPANY} AND {_keep(all_or_none, gates)}
  RETURNING {_returning(spec).replace("id, version", "t.id, t.version") if not spec.also else _returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.id, c.version, true, c.faults, {_are_current(gates)} FROM checked c ORDER BY c.ord"""
