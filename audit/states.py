"""Records as they stood: rebuilt from their rows of today, or from what was kept when they were deleted, by walking back."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connection, models

from core.changes.ddl import ROW_ACTIONS, entity_type_of
from core.tenancy.context import current_company_id
from core.tenancy.guard import company_models

# Kind, id.
Key = tuple[str, UUID]
# By field name, values as JSON has them. None: there was no record.
State = dict[str, Any] | None


@dataclass(frozen=True)
class Step:
    """One change of a record, and the record before and after it."""

    log_id: int
    at: datetime
    action: str
    before: State
    after: State


@lru_cache(maxsize=1)
def logged_models() -> Mapping[str, type[models.Model]]:
    """The tables that the log follows, by the name it knows their rows under."""
    return {entity_type_of(model): model for model in company_models() if model.logged}  # type: ignore[attr-defined]


@lru_cache(maxsize=256)
def _names(entity_type: str) -> dict[str, str]:
    """The columns that a state has, with the names of their fields."""
    model = logged_models().get(entity_type)
    if model is None:
        return {}
    skipped = model.unlogged_columns | {"id", "company_id"}  # type: ignore[attr-defined]
    return {
        str(column.column): column.name
        for column in model._meta.concrete_fields
        if column.column not in skipped and not isinstance(column, models.GeneratedField)
    }


def by_field(entity_type: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values of a row, by field name. Entries of deleted rows name columns, those of changes fields."""
    names = _names(entity_type)
    known = set(names.values())
    return {
        names.get(name, name): value
        for name, value in (row or {}).items()
        if not names or name in names or name in known
    }


def steps_of(keys: Iterable[Key]) -> dict[Key, list[Step]]:
    """Every change of the records, newest first. Two statements, whatever the number and kinds of records."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    states: dict[Key, State] = dict.fromkeys(wanted)
    states |= _rows_of(wanted)
    found: dict[Key, list[Step]] = {key: [] for key in wanted}
    for kind, record_id, log_id, at, action, old in _entries_of(wanted):
        key = (kind, record_id)
        if key not in states:
            continue
        after = states[key]
        before = _before(kind, action, after, old)
        found[key].append(Step(log_id, at, action, before, after))
        states[key] = before
    return found


def state_at(key: Key, at: datetime) -> tuple[State, Step | None]:
    """The record as it stood at that time, and the change that had made it so. Two statements.

    A transaction's changes carry the time of its beginning.
    """
    steps = steps_of([key])[key]
    if not steps:
        return _rows_of([key]).get(key), None
    for step in steps:
        if step.at <= at:
            return step.after, step
    return steps[-1].before, None


def _before(kind: str, action: str, after: State, old: Mapping[str, Any] | None) -> State:
    if action == "create":
        return None
    values = by_field(kind, old)
    # A row that was taken away for good is kept whole; what is no row any more had no values after.
    return {**(after or {}), **values}


def _rows_of(keys: Iterable[Key]) -> dict[Key, State]:
    grouped: dict[str, list[UUID]] = defaultdict(list)
    for kind, record_id in keys:
        if kind in logged_models():
            grouped[kind].append(record_id)
    if not grouped:
        return {}
    parts: list[str] = []
    params: list[Any] = []
    for kind, ids in grouped.items():
        table = logged_models()[kind]._meta.db_table
        parts.append(
            f'SELECT %s, t.id, to_jsonb(t)::text FROM "{table}" t WHERE t.company_id = %s AND t.id = ANY(%s)'
        )
        params += [kind, current_company_id(), ids]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), params)
        return {
            (kind, record_id): by_field(kind, json.loads(row)) for kind, record_id, row in cursor.fetchall()
        }


def _entries_of(keys: list[Key]) -> Iterator[tuple[str, UUID, int, datetime, str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT entity_type, entity_id, id, at, action, old_values::text FROM core_changelog "
            "WHERE company_id = %s AND entity_id = ANY(%s) AND action = ANY(%s) ORDER BY id DESC",
            [current_company_id(), [record_id for _, record_id in keys], list(ROW_ACTIONS)],
        )
        for kind, record_id, log_id, at, action, old in cursor.fetchall():
            yield kind, record_id, log_id, at, action, None if old is None else json.loads(old)
