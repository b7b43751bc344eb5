"""Every change is in the log, once, whoever made it: what the log says, applied to the rows as they were, gives the rows
as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from core.changes.ddl import entity_type_of
from core.changes.purging import purge_deleted
from core.entities import entities
from core.kernel.transactions import savepoint
from core.tenancy.context import company_context, system_context
from core.tenancy.guard import company_models
from tests.conformance.calls import control
from tests.conformance.operations import Operation, operations
from tests.conformance.rooms import Rooms
from tests.owning import owning

Rows = dict[tuple[str, str], dict[str, Any]]
BOOKKEEPING = frozenset({"version", "updated_at", "updated_by"})


def tracked() -> list[type[models.Model]]:
    return [model for model in company_models() if model.logged]  # type: ignore[attr-defined]


def _logged_columns(model: type[models.Model]) -> dict[str, str]:
    """Column -> field name, of what the log keeps."""
    skipped = model.unlogged_columns | {"id", "company_id", "created_at", "created_by_id"}  # type: ignore[attr-defined]
    return {
        str(column.column): column.name
        for column in model._meta.concrete_fields
        if column.column not in skipped and not isinstance(column, models.GeneratedField)
    }


_COLUMNS = {entity_type_of(model): _logged_columns(model) for model in tracked()}


@dataclass(frozen=True)
class Entry:
    id: int
    action: str
    key: tuple[str, str]
    old: dict[str, Any]
    new: dict[str, Any]
    changed: frozenset[str]
    actor: UUID | None
    source: str
    correlation_id: str


def rows_now(company: UUID) -> Rows:
    """Every tracked row of the company, with the values that the log keeps."""
    union = " UNION ALL ".join(
        f"SELECT '{entity_type_of(model)}', id::text, to_jsonb(t)::text FROM \"{model._meta.db_table}\" t "
        "WHERE company_id = %(company)s"
        for model in tracked()
    )
    with system_context("what is there"):
        found = connection.fetch_prepared(union, {"company": company})  # type: ignore[attr-defined]
    rows = {(kind, key): json.loads(text) for kind, key, text in found}
    return {
        (kind, key): {name: row[column] for column, name in _COLUMNS[kind].items()}
        for (kind, key), row in rows.items()
    }


def last_entry() -> int:
    with system_context("where the log ends"):
        [(last,)] = connection.fetch_prepared("SELECT coalesce(max(id), 0) FROM core_changelog")  # type: ignore[attr-defined]
    return int(last)


def entries_after(log_id: int, company: UUID) -> list[Entry]:
    sql = (
        "SELECT l.id, l.action, l.entity_type, l.entity_id::text, l.old_values::text, l.new_values::text, l.changed_fields, "
        "c.actor_id, c.source, c.correlation_id FROM core_changelog l LEFT JOIN core_changecontext c ON c.id = l.context_id "
        "WHERE l.id > %(after)s AND l.company_id = %(company)s ORDER BY l.id"
    )
    with system_context("what the log says"):
        found = connection.fetch_prepared(sql, {"after": log_id, "company": company})  # type: ignore[attr-defined]
    return [
        Entry(
            number,
            action,
            (kind, key),
            json.loads(old or "{}"),
            json.loads(new or "{}"),
            frozenset(changed or ()),
            actor,
            source,
            correlation,
        )
        for number, action, kind, key, old, new, changed, actor, source, correlation in found
        # Companies and people are no company's rows: their changes are facts, written by their operations.
        if action in ("create", "update", "delete", "restore", "purge") and kind in _COLUMNS
    ]


def disagreements(before: Rows, after: Rows, entries: Sequence[Entry]) -> list[str]:
    """Where the log, applied to the rows before, does not give the rows after."""
    found: list[str] = []
    state: dict[tuple[str, str], dict[str, Any] | None] = dict(before)
    for entry in entries:
        current = state.get(entry.key)
        if entry.action == "create":
            if current is not None:
                found.append(f"{entry.key} is created twice")
            state[entry.key] = _first_image(entry, entries, after)
        elif current is None:
            found.append(f"{entry.action} of {entry.key}, which is not there")
        elif entry.action == "purge" or (entry.action == "delete" and not entry.new):
            state[entry.key] = None
        elif entry.changed <= BOOKKEEPING:
            # Told only where nothing else changed: a person's new name is a new version of the membership.
            assert entry.changed == set(entry.new) == set(entry.old) != set()
        else:
            if not entry.changed or entry.changed != set(entry.new) or set(entry.old) != set(entry.new):
                found.append(f"{entry.key}: {set(entry.changed)} where values are of {set(entry.new)}")
            if any(current[name] != value for name, value in entry.old.items()):
                found.append(f"{entry.key}: old values {entry.old} are not what was there")
            if any(entry.old[name] == value for name, value in entry.new.items()):
                found.append(f"{entry.key}: says that something changed which did not: {entry.new}")
            state[entry.key] = {**current, **entry.new}
    left = {key: row for key, row in state.items() if row is not None}
    found += [f"{key} is there and was never logged" for key in after.keys() - left.keys()]
    found += [f"{key} is gone and that was never logged" for key in left.keys() - after.keys()]
    found += [
        f"{key}: {[name for name in row if row[name] != after[key][name]]} changed unlogged"
        for key, row in left.items()
        if key in after and row != after[key]
    ]
    return found


def _first_image(entry: Entry, entries: Sequence[Entry], after: Rows) -> dict[str, Any]:
    """The row as it was created: what is there now, walked back through the later entries."""
    image = dict(after.get(entry.key, dict.fromkeys(_COLUMNS[entry.key[0]])))
    for later in reversed(entries):
        if later.key == entry.key and later.id > entry.id:
            image |= later.old
    return image


@pytest.fixture
def look(rooms: Rooms) -> Iterator[Any]:
    """A function that answers what the log and the rows disagree about since the test began, and the entries."""
    company = rooms.acme.world.company.pk
    with transaction.atomic():
        before, start = rows_now(company), last_entry()

        def looked() -> tuple[list[str], list[Entry]]:
            entries = entries_after(start, company)
            return disagreements(before, rows_now(company), entries), entries

        yield looked
        transaction.set_rollback(True)


def writing() -> list[Operation]:
    return [operation for operation in operations() if operation.writes and not operation.is_public]


class TestApi:
    @pytest.mark.parametrize("operation", writing(), ids=lambda operation: operation.name)
    def test_logs_what_it_changes_once(self, operation: Operation, rooms: Rooms) -> None:
        call, company = control(operation, rooms.acme), rooms.acme.world.company.pk
        before, start = rows_now(company), last_entry()
        answer = rooms.send(call, look=lambda: (rows_now(company), entries_after(start, company)))
        assert answer.ok, answer.text
        after, entries = answer.seen

        assert disagreements(before, after, entries) == []
        if after != before:
            assert entries
        for entry in entries:
            assert entry.actor == rooms.acme.world.users["admin"]
            assert entry.source == "api"
            assert entry.correlation_id == answer.headers["x-correlation-id"]
        # It was rolled back, and with it all that was said about it.
        assert last_entry() == start
        assert rows_now(company) == before

    @pytest.mark.parametrize(
        "operation", [item for item in writing() if item.action == "bulk"], ids=lambda item: item.name
    )
    def test_logs_nothing_of_what_it_refuses(self, operation: Operation, rooms: Rooms) -> None:
        call, company, start = control(operation, rooms.acme), rooms.acme.world.company.pk, last_entry()
        rows = [*call.body["operations"], {"op": "delete", "id": str(rooms.globex.world.company.pk)}]
        answer = rooms.send(replace(call, body={"atomic": True, "operations": rows}))

        assert answer.status == 400
        assert entries_after(start, company) == []


class TestOtherWays:
    @pytest.mark.parametrize("model", tracked(), ids=lambda model: model._meta.label)
    def test_sql_of_whoever_it_was(self, model: type[models.Model], rooms: Rooms, look: Any) -> None:
        company, table = rooms.acme.world.company.pk, model._meta.db_table
        with company_context(company, source="shell"), connection.cursor() as cursor:
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE company_id = %s', [company])
            assert cursor.fetchone()[0] > 0, f"{table} has no row to change"
            changed = [
                column
                for column in model._meta.concrete_fields
                if self._change(cursor, table, column, company)
            ]
        found, entries = look()

        assert changed, f"no column of {table} could be changed"
        assert found == []
        assert {entry.source for entry in entries} == {"shell"}
        assert {entry.action for entry in entries} == {"update"}

    @staticmethod
    def _change(cursor: Any, table: str, column: models.Field, company: UUID) -> bool:
        if (
            isinstance(column, models.TextField | models.CharField)
            and not column.choices
            and column.max_length != 3
        ):
            change = f'"{column.column}" = left("{column.column}" || id::text, 3)'
        elif len(choices := [value for value, _ in column.choices or ()]) > 1:
            one, other = choices[:2]
            change = (
                f"\"{column.column}\" = CASE \"{column.column}\" WHEN '{one}' THEN '{other}' ELSE '{one}' END"
            )
        elif isinstance(column, models.BooleanField):
            change = f'"{column.column}" = NOT "{column.column}"'
        else:
            return False
        try:
            with savepoint():
                cursor.execute(f'UPDATE "{table}" SET {change} WHERE company_id = %s', [company])
                connection.check_constraints()
        except DatabaseError:
            return False
        return True

    def test_an_import(self, rooms: Rooms, look: Any) -> None:
        from data_import.operations.run import run_import
        from tests.factories.records import MAKERS

        actor = rooms.acme.world.actor()
        with rooms.acme.world.acting():
            job = MAKERS["import_job"](rooms.acme, actor)[0]
        ended = run_import(actor=actor, job_id=job)
        found, entries = look()

        assert ended.error == "", ended
        assert found == []
        made = [entry for entry in entries if entry.key[0] == "lead"]
        assert [entry.action for entry in made] == ["create"]
        assert {(entry.source, entry.actor) for entry in made} == {("import", actor.user_id)}

    def test_the_emptying_of_the_bin_with_all_that_goes_along(self, rooms: Rooms, look: Any) -> None:
        taken = purge_deleted(rooms.acme.world.company.pk, deleted_before=timezone.now() + timedelta(days=1))
        found, entries = look()

        assert taken
        assert found == []
        assert {entry.source for entry in entries} == {"task"}
        assert {"purge"} <= {entry.action for entry in entries}

    def test_work_that_is_rolled_back_leaves_nothing(self, rooms: Rooms, look: Any) -> None:
        with rooms.acme.world.acting(), transaction.atomic():
            rooms.acme.make(entities["lead"], 3)
            transaction.set_rollback(True)

        assert look() == ([], [])


class TestThisVeryCheck:
    def test_sees_a_change_that_no_trigger_saw(self, rooms: Rooms, look: Any) -> None:
        with system_context("a fault for a moment"), owning(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE crm_lead DISABLE TRIGGER log_update")
            cursor.execute("UPDATE crm_lead SET city = 'Nowhere'")
        found, _ = look()

        assert any("changed unlogged" in fault for fault in found)

    def test_sees_an_entry_too_many(self, rooms: Rooms, look: Any) -> None:
        with rooms.acme.world.acting():
            rooms.acme.make(entities["lead"])
        _, entries = look()

        assert disagreements({}, {}, [*entries, *entries]) != []
