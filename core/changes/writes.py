"""The one statement that writes: candidate rows → new state → derived columns → rules → table, all in PostgreSQL.

Aliases an operation's SQL may use: `n` the record as it will be, `o` the record as it was (all null when it is new),
`r` the candidate row itself, `g` for each column whether the candidate row gives it a value (true or false), and whatever
`joins` adds. The model's own constraints are rules already. A refused row is not written and says why; with
`all_or_none` one refusal keeps every row out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models
from django.db.models.sql import Query

from core.changes.constraints import Rule, constraint_rules, stored_columns
from core.changes.outcome import Outcome
from core.changes.rows import EXPECTED_VERSION, Rows, sql_types
from core.changes.waking import wake_stream
from core.kernel.errors import Fault
from core.kernel.transactions import needs_transaction
from core.tenancy.actors import Actor
from core.tenancy.postgresql.base import database


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


def insert(
    spec: WriteSpec,
    rows: Rows,
    *,
    actor: Actor,
    now: datetime,
    all_or_none: bool = True,
    alone: bool = False,
) -> Outcome:
    """Write new records. Needs a transaction. The write stands `alone` if its operation does nothing behind it.

    References to records that are not there (in this company, not deleted) are refused as `does_not_exist`.
    """
    needs_transaction()
    sql = _insert_sql(spec, rows.sql, rows.columns, rows.sparse, all_or_none)
    return _run(sql, rows, actor, now, all_or_none, alone)


def update(
    spec: WriteSpec,
    rows: Rows,
    *,
    actor: Actor,
    now: datetime,
    all_or_none: bool = True,
) -> Outcome:
    """Change records by id, locking them in id order. Needs a transaction.

    A row that is not there (any more) is refused as `not_found`, one whose version moved on as `stale`. A record that is
    already as asked keeps its version and leaves no log entry.
    """
    needs_transaction()
    sql = _update_sql(spec, rows.sql, rows.columns, rows.has_expected_version, rows.sparse, all_or_none)
    return _run(sql, rows, actor, now, all_or_none)


def remove(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Move records to the recycle bin. Needs a transaction. `rows` carry ids (and expected versions) only."""
    return update(_removal(spec, True), rows, actor=actor, now=now, all_or_none=all_or_none)


def restore(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Bring records back from the recycle bin. Needs a transaction."""
    return update(_removal(spec, False), rows, actor=actor, now=now, all_or_none=all_or_none)


@lru_cache(maxsize=256)
def _removal(spec: WriteSpec, removing: bool) -> WriteSpec:
    if removing:
        return WriteSpec(
            spec.model,
            derive={"deleted_at": "%(now)s::timestamptz", "deleted_by_id": "%(user)s::uuid"},
            rules=(Rule("not_found", "id", "There is no such record.", "o.deleted_at IS NOT NULL"),),
        )
    return WriteSpec(
        spec.model,
        derive={"deleted_at": "NULL::timestamptz", "deleted_by_id": "NULL::uuid"},
        rules=(
            Rule("not_found", "id", "There is no such record in the recycle bin.", "o.deleted_at IS NULL"),
        ),
    )


def erase(spec: WriteSpec, rows: Rows, *, actor: Actor, now: datetime, all_or_none: bool = True) -> Outcome:
    """Delete rows for good, for models without a recycle bin. Needs a transaction. `rows` carry ids only.

    The spec's rules may use `o`; they must refuse a row that others still refer to.
    """
    needs_transaction()
    return _run(
        _erase_sql(spec, rows.sql, rows.has_expected_version, all_or_none), rows, actor, now, all_or_none
    )


def _run(
    sql: str,
    rows: Rows,
    actor: Actor,
    now: datetime,
    all_or_none: bool,
    alone: bool = False,
) -> Outcome:
    params = dict(zip(_places(len(rows.params)), rows.params, strict=True))
    params |= {"company": actor.company_id, "user": actor.user_id, "now": now}
    ids: dict[int, UUID] = {}
    versions: dict[int, int] = {}
    refused: dict[int, tuple[Fault, ...]] = {}
    unchanged = set()
    # A query may select any number of rows: a plan made for one would join them one by one.
    may_prepare = rows.count is not None
    found = database().fetch_prepared(sql, params, prepare=may_prepare, writes=True, alone=alone)
    for place, record_id, version, changed, faults in found:
        if faults:
            refused[place] = tuple(Fault(*fault.split("\x1f")) for fault in faults)
        else:
            ids[place], versions[place] = record_id, version
            if not changed:
                unchanged.add(place)
    if all_or_none and refused:
        return Outcome({}, {}, refused)
    if len(ids) > len(unchanged):
        wake_stream()
    return Outcome(ids, versions, refused, frozenset(unchanged))


# --- compiling -------------------------------------------------------------------------------------------------


def _q(text: str) -> str:
    """A text as an SQL literal (of ours, never a client's)."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


def _fault(rule: Rule) -> str:
    return _q("\x1f".join((rule.path, rule.code, rule.detail)))


def _numbered(sql: str) -> str:
    """The relation's positional parameters as named ones, so that they mix with ours."""
    pieces = sql.split("%s")
    names = _places(len(pieces) - 1)
    return "".join(f"{piece}%({name})s" for piece, name in zip(pieces, names, strict=False)) + pieces[-1]


@lru_cache(maxsize=256)
def _places(count: int) -> tuple[str, ...]:
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


def _faults_sql(rules: Sequence[Rule], missing: str = "") -> str:
    """The faults of a row. A row that is `missing` has that fault alone: nothing else can be said of it."""
    cases = ", ".join(f"CASE WHEN {rule.when} THEN {_fault(rule)} END" for rule in rules)
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


def _also_sql(spec: WriteSpec) -> str:
    return "".join(f", {name} AS ({sql})" for name, sql in spec.also.items())


# Hidden from the planner: of a company that its statistics do not know yet it expects no rows, and would read all of
# the company's for each one that it looks up by id.
_COMPANY = "(SELECT %(company)s::uuid)"


def _locked(table: str, relation: str) -> str:
    """The CTE `base`: each candidate row with its record, locked in id order.

    Looked up row by row on purpose: the planner knows nothing of the candidates' number, and a join it takes for small
    would compare every row with every record.
    """
    return f"""base AS MATERIALIZED (
  SELECT r AS candidate, o AS record
  FROM (SELECT * FROM ({_numbered(relation)}) r ORDER BY r.id) r
  LEFT JOIN LATERAL (
    SELECT t.* FROM "{table}" t WHERE t.company_id = {_COMPANY} AND t.id = r.id FOR UPDATE
  ) o ON true
)"""


def _keep(all_or_none: bool) -> str:
    if all_or_none:
        return "NOT EXISTS (SELECT FROM checked c WHERE c.faults IS NOT NULL)"
    return "d.faults IS NULL"


def _returning(spec: WriteSpec) -> str:
    if not spec.also:
        return "id, version"
    both = ", ".join(
        f'old."{column.column}" AS "old_{column.column}", new."{column.column}" AS "new_{column.column}"'
        for column in spec.model._meta.concrete_fields
    )
    return f"new.id, new.version, {both}"


@lru_cache(maxsize=1024)
def _insert_sql(
    spec: WriteSpec, relation: str, given: tuple[str, ...], sparse: bool, all_or_none: bool
) -> str:
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
    return f"""
WITH base AS MATERIALIZED (SELECT r AS candidate FROM ({_numbered(relation)}) r),
completed AS MATERIALIZED (
  SELECT n.ord, {final}, b.candidate
  FROM base b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT r.ord, {", ".join(values)}) n
  {nothing}
  {flags}
  {spec.joins}
),
checked AS MATERIALIZED (
  SELECT n.*, {_faults_sql(rules)} AS faults
  FROM completed n
  CROSS JOIN LATERAL (SELECT (n.candidate).*) r
  {nothing}
  {flags}
  {spec.joins}
),
written AS (
  INSERT INTO "{table}" ({listed})
  SELECT {settled} FROM checked d WHERE {_keep(all_or_none)} ORDER BY d.ord
  RETURNING {_returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.id, 1, true, c.faults FROM checked c ORDER BY c.ord"""


@lru_cache(maxsize=1024)
def _update_sql(
    spec: WriteSpec, relation: str, given: tuple[str, ...], versioned: bool, sparse: bool, all_or_none: bool
) -> str:
    model, table = spec.model, spec.model._meta.db_table
    values = []
    for column in stored_columns(model):
        name = str(column.column)
        if name not in given or name == "id":
            values.append(f'o."{name}"')
        elif sparse:
            values.append(f'CASE WHEN r.doc ? {_q(name)} THEN r."{name}" ELSE o."{name}" END AS "{name}"')
        else:
            values.append(f'r."{name}"')
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
    sets = ", ".join(f'"{name}" = d."{name}"' for name in [*changing, *_kept_busy(model, changing)])
    return f"""
WITH {_locked(table, relation)},
completed AS MATERIALIZED (
  SELECT n.ord, r.id AS given_id, {final}, b.candidate, b.record
  FROM base b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT (b.record).*) o
  CROSS JOIN LATERAL (SELECT r.ord, {", ".join(values)}) n
  {flags}
  {spec.joins}
),
checked AS MATERIALIZED (
  SELECT n.*, {differs} AS differs, o.version AS old_version, {_faults_sql(rules, missing)} AS faults
  FROM completed n
  CROSS JOIN LATERAL (SELECT (n.candidate).*) r
  CROSS JOIN LATERAL (SELECT (n.record).*) o
  {flags}
  {spec.joins}
),
written AS (
  UPDATE "{table}" t SET {sets + ", " if sets else ""}version = t.version + 1,
    updated_at = %(now)s::timestamptz, updated_by_id = %(user)s::uuid
  FROM checked d WHERE t.id = d.id AND t.company_id = {_COMPANY} AND d.differs AND {_keep(all_or_none)}
  RETURNING {_returning(spec).replace("id, version", "t.id, t.version") if not spec.also else _returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.given_id, c.old_version + c.differs::int, c.differs, c.faults FROM checked c ORDER BY c.ord"""


def _kept_busy(model: type[models.Model], changing: Sequence[str]) -> list[str]:
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
def _erase_sql(spec: WriteSpec, relation: str, versioned: bool, all_or_none: bool) -> str:
    table = spec.model._meta.db_table
    rules = [*([_STALE] if versioned else []), *spec.rules]
    return f"""
WITH {_locked(table, relation)},
checked AS MATERIALIZED (
  SELECT r.ord, r.id, o.version, {_faults_sql(rules, "o.id IS NULL")} AS faults
  FROM base b
  CROSS JOIN LATERAL (SELECT (b.candidate).*) r
  CROSS JOIN LATERAL (SELECT (b.record).*) o
  {spec.joins}
),
written AS (
  DELETE FROM "{table}" t USING checked d
  WHERE t.id = d.id AND t.company_id = {_COMPANY} AND {_keep(all_or_none)}
  RETURNING {_returning(spec).replace("id, version", "t.id, t.version") if not spec.also else _returning(spec)}
){_also_sql(spec)}
SELECT c.ord, c.id, c.version, true, c.faults FROM checked c ORDER BY c.ord"""
