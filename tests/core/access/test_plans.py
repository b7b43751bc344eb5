"""Lists, searches and lookups below row-level security find their index: asserted on plans, never on times."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.utils import timezone

from core.access import view
from core.access.modes import FieldMode, Mode
from core.access.visibility import one_of
from core.entities import entities
from core.kernel.ids import uuid7
from core.rest.listing import read_list_query
from core.tenancy.context import actor_context, system_context
from tests.owning import owning
from tests.seams.access.extensions import forget, role_modes, role_sharing
from tests.worlds import World, make_world

ROWS = 10_000


@pytest.fixture(scope="module")
def book(django_db_setup: None, django_db_blocker: Any) -> Any:
    """A company with 10,000 contacts of whom PostgreSQL knows, gone with the module."""
    with django_db_blocker.unblock():
        connection.set_autocommit(False)
        try:
            world = make_world("planned")
            company, owner = world.company.pk, world.users["admin"]
            with actor_context(world.actor(), source="api"):
                connection.fetch_prepared(
                    "INSERT INTO crm_contact (id, company_id, owner_id, first_name, last_name, email, phone, tags) "
                    "SELECT uuidv7(), %s, %s, 'Given' || g, 'Family' || g, 'p' || g || '@example.com', "
                    "'+1' || 2000000 + g, ARRAY['t' || g %% 500]::varchar[] FROM generate_series(1, %s) g",
                    [company, owner, ROWS],
                )
                connection.fetch_prepared(
                    "INSERT INTO crm_tag (id, company_id, name) "
                    "SELECT uuidv7(), %s, 'Tag ' || g FROM generate_series(1, %s) g",
                    [company, ROWS],
                )
            with system_context("statistics for a test"), owning(), connection.cursor() as cursor:
                cursor.execute("ANALYZE crm_contact, crm_tag")
            yield world
        finally:
            connection.rollback()
            connection.set_autocommit(True)


def _plan(sql: str, params: Any) -> dict[str, Any]:
    [(plan,)] = connection.fetch_prepared(f"EXPLAIN (FORMAT JSON) {sql}", params, prepare=False)
    document: dict[str, Any] = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return document


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


def _plan_of_list(world: World, **parameters: str) -> dict[str, Any]:
    contacts = view("contact", world.actor())
    query = read_list_query(list(parameters.items()), contacts, timezone.now())
    sql, params = query.queryset()[:51].query.sql_with_params()
    return _plan(sql, params)


def _read_whole_table(plan: dict[str, Any]) -> bool:
    return any(
        node["Node Type"].endswith("Seq Scan") and node.get("Relation Name") == "crm_contact"
        for node in _nodes(plan)
    )


class TestPlans:
    @pytest.mark.parametrize(
        "parameters",
        [
            {},
            {"search": "Given77"},
            {"search": "p77@exam"},
            {"tags__contains": "t77"},
            {"search": "Given77", "tags__contains": "t77"},
        ],
        ids=urlencode,
    )
    def test_of_lists_use_an_index(self, book: World, parameters: dict[str, str]) -> None:
        with actor_context(book.actor(), source="api"):
            plan = _plan_of_list(book, **parameters)

        assert not _read_whole_table(plan), json.dumps(plan, indent=1)

    def test_of_the_newest_page_need_no_sort(self, book: World) -> None:
        with actor_context(book.actor(), source="api"):
            plan = _plan_of_list(book, ordering="-created_at")

        assert not any("Sort" in node["Node Type"] for node in _nodes(plan)), json.dumps(plan, indent=1)

    @pytest.mark.parametrize(
        ("condition", "value"),
        [("email_norm = %s", "p77@example.com"), ("phone_norm = %s", "12000077"), ("id = %s", uuid7())],
        ids=["mail", "phone", "id"],
    )
    def test_of_lookups_use_an_index(self, book: World, condition: str, value: Any) -> None:
        with actor_context(book.actor(), source="api"):
            sql = f"SELECT id FROM crm_contact WHERE company_id = %s AND {condition}"
            plan = _plan(sql, [book.company.pk, value])

        assert not _read_whole_table(plan), json.dumps(plan, indent=1)

    def test_of_shared_records_use_an_index(self, book: World) -> None:
        """Own ones and those of a subquery: each has its index, whatever stands beside them."""
        actor = book.actor("sales")
        try:
            with actor_context(actor, source="api"):
                mails = view("user", actor).records().values("email")
                role_sharing.share(actor.rights.role_id, "contact", one_of("email_norm", mails), "read")
                sql, params = view("contact", actor).records().order_by().query.sql_with_params()
                plan = _plan(sql, params)
        finally:
            forget()

        assert not _read_whole_table(plan), json.dumps(plan, indent=1)

    def test_of_searches_in_some_fields_use_the_index(self, book: World) -> None:
        actor = book.actor("viewer")
        role_modes.narrow(actor.rights.role_id, "contact", email=FieldMode(Mode.HIDDEN))
        try:
            with actor_context(actor, source="api"):
                contacts = view("contact", actor)
                found = contacts.search(contacts.records(), "Given77")[:51]
                plan = _plan(*found.query.sql_with_params())
        finally:
            forget()

        assert not _read_whole_table(plan), json.dumps(plan, indent=1)

    def test_of_names_in_any_case_use_an_index(self, book: World) -> None:
        with actor_context(book.actor(), source="api"):
            sql = (
                "SELECT k.name FROM unnest(%s::text[]) given(name) "
                "JOIN crm_tag k ON k.company_id = %s AND lower(k.name) = lower(given.name)"
            )
            plan = _plan(sql, [["tag 7", "TAG 8"], book.company.pk])

        conditions = [node["Index Cond"] for node in _nodes(plan) if "Index Cond" in node]
        assert any("lower" in condition for condition in conditions), json.dumps(plan, indent=1)


@pytest.mark.django_db
@pytest.mark.parametrize("entity", sorted(item.name for item in entities if item.is_soft_deleted))
def test_every_record_list_has_an_index_that_begins_with_its_company(entity: str) -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, entities[entity].table)

    assert any(
        item["index"] and item["columns"][:2] == ["company_id", "created_at"] for item in constraints.values()
    )
