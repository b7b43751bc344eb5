"""What the application's role could do with SQL of its own: change rows unseen, or say that somebody else did it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, models
from django.utils import timezone

from core.changes import Rows
from core.kernel.transactions import savepoint, unit_of_work
from core.tenancy.context import system_context
from core.tenancy.guard import company_models
from crm.models import Tag
from crm.operations import create_tags
from tests.worlds import World

pytestmark = pytest.mark.django_db
FIXED = ("id", "company_id", "created_at", "created_by_id")


def fixed_columns() -> Iterator[tuple[str, str]]:
    for model in company_models():
        columns = {str(column.column) for column in model._meta.concrete_fields}
        for name in FIXED:
            if name in columns and (model.logged or name == "company_id"):  # type: ignore[attr-defined]
                yield model._meta.db_table, name


@pytest.fixture
def tag(acme: World) -> Any:
    with acme.acting() as actor:
        return create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "first"}]), now=timezone.now()).one


def last_entry() -> dict[str, Any]:
    with system_context("what the log says"), unit_of_work():
        [row] = connection.fetch_prepared(  # type: ignore[attr-defined]
            "SELECT l.action, l.changed_fields, c.actor_id, c.source, c.reason FROM core_changelog l "
            "JOIN core_changecontext c ON c.id = l.context_id ORDER BY l.id DESC LIMIT 1"
        )
    return dict(zip(("action", "changed", "actor", "source", "reason"), row, strict=True))


class TestColumns:
    @pytest.mark.parametrize(("table", "column"), list(fixed_columns()))
    def test_that_say_which_row_it_is_and_where_it_came_from_stay(
        self, table: str, column: str, acme: World
    ) -> None:
        with (
            acme.acting(),
            connection.cursor() as cursor,
            pytest.raises(DatabaseError, match="permission"),
            savepoint(),
        ):
            cursor.execute(f'UPDATE "{table}" SET "{column}" = "{column}"')

    @pytest.mark.parametrize("model", list(company_models()), ids=lambda model: model._meta.label)
    def test_of_all_other_kinds_can_be_changed(self, model: type[models.Model], acme: World) -> None:
        fixed = FIXED if model.logged else ("company_id",)  # type: ignore[attr-defined]
        columns = [
            str(column.column)
            for column in model._meta.concrete_fields
            if column.column not in fixed and not isinstance(column, models.GeneratedField)
        ]
        sets = ", ".join(f'"{name}" = "{name}"' for name in columns)
        with acme.acting(), connection.cursor() as cursor:
            cursor.execute(f'UPDATE "{model._meta.db_table}" SET {sets} WHERE false')

    @pytest.mark.parametrize("change", ["version = 7", "updated_at = '2020-01-01'", "updated_by_id = NULL"])
    def test_of_bookkeeping_are_logged_when_nothing_else_changes(
        self, change: str, tag: Any, acme: World
    ) -> None:
        with acme.acting(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE crm_tag SET {change} WHERE id = %s", [tag])
        entry = last_entry()
        assert (entry["action"], entry["changed"]) == (
            "update",
            [change.partition(" ")[0].removesuffix("_id")],
        )


class TestContexts:
    def test_that_nobody_signed_speak_for_nobody(self, tag: Any, acme: World) -> None:
        forged = json.dumps({"actor_id": str(acme.users["sales"]), "source": "api", "reason": "forged"})
        with acme.acting(), connection.cursor() as cursor:
            for text in (forged, "0" * 64 + forged):
                cursor.execute(
                    "SELECT set_config('app.context', %s, true), set_config('app.context_id', '', true)",
                    [text],
                )
                cursor.execute("UPDATE crm_tag SET name = name || 'x' WHERE id = %s", [tag])
                assert last_entry() == {
                    "action": "update", "changed": ["name"], "actor": None, "source": "sql", "reason": "",
                }  # fmt: skip

    def test_of_another_company_speak_for_nobody(self, tag: Any, acme: World, globex: World) -> None:
        with globex.acting(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('app.context')")
            [theirs] = cursor.fetchone()
        with acme.acting(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('app.context', %s, true), set_config('app.context_id', '', true)", [theirs]
            )
            cursor.execute("UPDATE crm_tag SET name = 'x' WHERE id = %s", [tag])
        assert last_entry()["actor"] is None

    def test_keep_their_key_to_themselves(self, acme: World) -> None:
        for scope in (acme.acting(), system_context("looking for a key")):
            with (
                scope,
                connection.cursor() as cursor,
                pytest.raises(DatabaseError, match="permission"),
                savepoint(),
            ):
                cursor.execute("SELECT key FROM core_contextkey")

    def test_that_are_ours_speak_for_us(self, tag: Any, acme: World) -> None:
        with acme.acting("sales"), connection.cursor() as cursor:
            cursor.execute("SELECT app_context_is_genuine()")
            assert cursor.fetchone() == (True,)
            cursor.execute("UPDATE crm_tag SET name = 'x' WHERE id = %s", [tag])
        assert (last_entry()["actor"], last_entry()["source"]) == (acme.users["sales"], "api")


FACT = "SELECT app_record_fact(%s, %s, %s, NULL, NULL, NULL, '', false)"


class TestFacts:
    @pytest.mark.parametrize("action", ["create", "update", "delete", "restore", "purge"])
    def test_are_no_changes_of_rows(self, action: str, acme: World) -> None:
        with acme.acting(), connection.cursor() as cursor:
            cursor.execute(FACT, [acme.company.pk, "export", "lead"])
            with pytest.raises(DatabaseError, match="triggers alone"), savepoint():
                cursor.execute(FACT, [acme.company.pk, action, "lead"])

    def test_are_of_the_company_in_context(self, acme: World, globex: World) -> None:
        with acme.acting(), connection.cursor() as cursor:
            for company in (globex.company.pk, None):
                with pytest.raises(DatabaseError, match="company in context"), savepoint():
                    cursor.execute(FACT, [company, "export", "lead"])
            cursor.execute("SELECT set_config('app.company_id', '', true)")
            with pytest.raises(DatabaseError, match="company in context"), savepoint():
                cursor.execute(FACT, [globex.company.pk, "export", "lead"])


@pytest.mark.django_db(transaction=True)
def test_a_context_of_another_transaction_is_not_used() -> None:
    from tests.worlds import make_world

    acme = make_world("acme")
    with acme.acting("sales") as actor:
        tag = create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "first"}]), now=timezone.now()).one
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('app.context_id')")
            [theirs] = cursor.fetchone()
    with acme.acting("admin"), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.context_id', %s, true)", [theirs])
        cursor.execute("UPDATE crm_tag SET name = 'x' WHERE id = %s", [tag])
    assert last_entry()["actor"] == acme.users["admin"]
