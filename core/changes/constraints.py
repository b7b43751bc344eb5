"""A model's own constraints as rules: required columns, checks, uniqueness, references.

Said once, on the model: the database enforces them, and a write answers for each row that would break one instead of
failing as a whole. A check or unique constraint may name its `violation_error_code` and `violation_error_message`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection, models
from django.db.models.sql import Query

from core.changes.rows import columns_of
from core.kernel.errors import Fault
from core.tenancy.fields import PersonField, TenantForeignKey

SYSTEM_COLUMNS = ("company_id", "created_at", "updated_at", "created_by_id", "updated_by_id", "version")

_COLUMN = re.compile(r'"(\w+)"')


@dataclass(frozen=True, slots=True)
class Rule:
    """A row that meets `when` (SQL, true means refused) is refused with this fault."""

    code: str
    path: str
    detail: str
    when: str


def stored_columns(model: type[models.Model]) -> list[models.Field]:
    """The columns a statement may set: all but the generated ones."""
    return [column for column in model._meta.concrete_fields if not isinstance(column, models.GeneratedField)]


def constraint_rules(model: type[models.Model], changing: Collection[str], inserting: bool) -> list[Rule]:
    """The rules that a write of the columns `changing` could break."""
    names = {str(column.column): column.name for column in model._meta.concrete_fields}
    rules = [*_required(model, changing, inserting), *_references(model, changing)]
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.CheckConstraint):
            condition = _compiled(model, constraint.condition)
            columns = _COLUMN.findall(condition)
            if inserting or not set(columns).isdisjoint(changing):
                rules.append(
                    Rule(
                        constraint.violation_error_code or "invalid",
                        names[columns[0]],
                        _detail(constraint, "This value is not allowed here."),
                        f"NOT ({_of('n', condition)})",
                    )
                )
    for key in unique_keys(model, changing):
        taken = f"{key.applies} AND ({key.is_before} OR {key.is_stored})"
        rules.append(Rule(key.fault.code, key.fault.path, key.fault.detail, taken))
    return rules


def derived_length_rules(model: type[models.Model], derived: Collection[str]) -> list[Rule]:
    """What the columns' types refuse of derived texts: a write fails there, so only a judgment has to ask."""
    return [
        Rule(
            "too_long",
            column.name,
            f"At most {column.max_length} characters are allowed.",
            f'length(n."{column.column}"::text) > {column.max_length}',
        )
        for column in stored_columns(model)
        if column.column in derived and isinstance(column, models.CharField) and column.max_length
    ]


def _required(model: type[models.Model], changing: Collection[str], inserting: bool) -> Iterator[Rule]:
    for column in stored_columns(model):
        if column.null or column.column in SYSTEM_COLUMNS or column.name == "id":
            continue
        has_default = column.has_default() or column.db_default is not models.NOT_PROVIDED
        if column.column in changing or (inserting and not has_default):
            yield Rule("required", column.name, "This field is required.", f'n."{column.column}" IS NULL')


def _references(model: type[models.Model], changing: Collection[str]) -> Iterator[Rule]:
    for column in stored_columns(model):
        if column.column not in changing or column.column in SYSTEM_COLUMNS:
            continue
        if isinstance(column, PersonField):
            target, key, alive = "core_membership", "user_id", " AND x.is_active"
        elif isinstance(column, TenantForeignKey):
            target, key = column.related_model._meta.db_table, "id"
            soft = any(item.name == "deleted_at" for item in column.related_model._meta.concrete_fields)
            alive = " AND x.deleted_at IS NULL" if soft else ""
        else:
            continue
        yield Rule(
            "does_not_exist",
            column.name,
            "There is no such record.",
            f'n."{column.column}" IS NOT NULL AND n."{column.column}" IS DISTINCT FROM o."{column.column}" '
            f'AND NOT EXISTS (SELECT FROM "{target}" x WHERE x.company_id = %(company)s::uuid '
            f'AND x."{key}" = n."{column.column}"{alive})',
        )


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """A unique constraint over a row of a write: `parts` are its values, `applies` says whether it holds any (over `n`)."""

    name: str
    fault: Fault
    applies: str
    parts: tuple[str, ...]
    # SQL: another row of the write before this one holds the same.
    is_before: str
    # SQL: a row of the table holds the same.
    is_stored: str


def unique_keys(model: type[models.Model], changing: Collection[str]) -> list[UniqueKey]:
    """The keys that a write of the columns `changing` could collide with."""
    names = {str(column.column): column.name for column in model._meta.concrete_fields}
    keys = (
        _unique_key(model, constraint, names, changing)
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    )
    return [key for key in keys if key is not None]


def _unique_key(
    model: type[models.Model],
    constraint: models.UniqueConstraint,
    names: dict[str, str],
    changing: Collection[str],
) -> UniqueKey | None:
    parts = [f'"{columns_of(model)[name]}"' for name in constraint.fields]
    parts += [_compiled(model, expression) for expression in constraint.expressions]
    condition = _compiled(model, constraint.condition) if constraint.condition else ""
    columns = [column for part in [*parts, condition] for column in _COLUMN.findall(part)]
    # One that is not the company's own cannot be seen from inside the company.
    if "company_id" not in columns or set(columns).isdisjoint(changing):
        return None
    own = [part for part in parts if part != '"company_id"']
    applies = [f"{_of('n', part)} IS NOT NULL" for part in own]
    same = [f"{_of('x', part)} = {_of('n', part)}" for part in own]
    groups = ["n.company_id", *(_of("n", part) for part in own)]
    if condition:
        applies.append(f"({_of('n', condition)})")
        same.append(f"({_of('x', condition)})")
        groups.append(f"({_of('n', condition)})")
    if constraint.deferrable:
        # It is judged at the end, so rows of the same write may trade values.
        same.append("x.id NOT IN (SELECT (b.candidate).id FROM candidates b)")
    stored = " AND ".join(["x.company_id = %(company)s::uuid", "x.id <> n.id", *same])
    return UniqueKey(
        constraint.name,
        Fault(
            names[next(column for column in reversed(columns) if column != "company_id")],
            constraint.violation_error_code or "taken",
            _detail(constraint, "Another record has this already."),
        ),
        " AND ".join(applies) or "true",
        tuple(_of("n", part) for part in own),
        f"row_number() OVER (PARTITION BY {', '.join(groups)} ORDER BY n.ord) > 1",
        f'EXISTS (SELECT FROM "{model._meta.db_table}" x WHERE {stored})',
    )


def _detail(constraint: models.BaseConstraint, otherwise: str) -> str:
    if constraint.violation_error_message == constraint.default_violation_error_message:
        return otherwise
    return str(constraint.violation_error_message)


def _compiled(model: type[models.Model], expression: Any) -> str:
    """A condition or expression over the model's columns as SQL with bare, quoted column names."""
    query = Query(model=model, alias_cols=False)
    compiler = query.get_compiler(connection=connection)
    if isinstance(expression, models.Q):
        sql, params = query.build_where(expression).as_sql(compiler, connection)
    else:
        sql, params = compiler.compile(expression.resolve_expression(query))
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        return str(sql % tuple(editor.quote_value(value) for value in params))


def _of(alias: str, sql: str) -> str:
    return _COLUMN.sub(rf'{alias}."\1"', sql).replace("%", "%%")
