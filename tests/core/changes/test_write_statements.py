"""Shapes of the write statement that keep large writes fast, whatever PostgreSQL's statistics know."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.db import connection

from core.changes import statements
from core.changes.statements import WriteSpec
from core.tenancy.context import system_context
from crm.models import Contact
from tests.worlds import World

pytestmark = pytest.mark.django_db
SPEC = WriteSpec(Contact)
RELATION = "SELECT 0 AS ord, uuidv7() AS id, ''::text AS title"


class TestStatements:
    """What was seen to turn quadratic right after a company's first load, before statistics knew of it."""

    @pytest.mark.parametrize("all_or_none", [True, False])
    def test_settle_each_row_before_anything_is_looked_up_for_it(self, all_or_none: bool) -> None:
        inserting = statements.insert_sql(SPEC, RELATION, ("id", "title"), False, all_or_none)
        updating = statements.update_sql(SPEC, RELATION, ("id", "title"), False, False, all_or_none)
        erasing = statements.erase_sql(SPEC, RELATION, False, all_or_none)

        for sql in (inserting, updating, erasing):
            steps = re.findall(r"^(?:WITH )?(\w+) AS ([A-Z ]*)\(", sql, re.MULTILINE)
            assert [name for name, kept in steps if kept != "MATERIALIZED "] == ["written"]

    def test_hide_the_company_where_records_are_looked_up_by_id(self) -> None:
        updating = statements.update_sql(SPEC, RELATION, ("id", "title"), False, False, True)
        erasing = statements.erase_sql(SPEC, RELATION, False, True)

        for sql in (updating, erasing):
            compared = re.findall(r"t\.company_id = (.{9})", sql)
            assert compared == ["(SELECT %", "(SELECT %"]


class TestGeneratedColumns:
    """An update that changes none of their sources sets one of these to itself, which spares PostgreSQL a detour."""

    def test_keep_a_source_in_the_statement(self) -> None:
        [busy] = statements.kept_busy(Contact, ["birth_date"])

        assert busy not in ("birth_date", "id")
        assert statements.kept_busy(Contact, [busy, "birth_date"]) == []

    def test_are_as_they_were_and_nothing_else_is_said_to_have_changed(self, acme: World) -> None:
        client = acme.client()
        made = client.post("/api/v1/contacts/", {"last_name": "Doe", "email": "Ida@Doe.example"}).json()
        place = f"/api/v1/contacts/{made['id']}/"
        assert client.patch(place, {"birth_date": "1990-01-31"}).status_code == 200
        with system_context("what the log says"):
            changed = connection.fetch_prepared(  # type: ignore[attr-defined]
                "SELECT changed_fields FROM core_changelog WHERE entity_id = %s AND action = 'update'",
                [UUID(made["id"])],
            )
        with acme.acting():
            found = Contact.objects.values_list("email", "email_norm").get()

        assert changed == [(["birth_date"],)]
        assert found == ("Ida@Doe.example", "ida@doe.example")
