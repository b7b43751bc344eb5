"""Lists, the recycle bin and home of a large company: as many statements as for a small one, and none reads it whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.utils import timezone

from core.changes import Rows
from core.rest import listing
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import DatabaseWrapper
from crm import operations
from crm.models import PipelineStage
from tests.owning import owning
from tests.worlds import PASSWORD, World, make_world

FEW, MANY = 300, 6_000
IN_BIN = 5
# Leads contacted and deals open: one in so many.
RARE = 20
PAGES = (
    "/api/v1/leads/",
    "/api/v1/leads/?page=3",
    "/api/v1/leads/?cursor=",
    "/api/v1/leads/?ordering=created_at",
    "/api/v1/leads/?status=contacted&page_size=10",
    "/api/v1/leads/?search=given77",
    "/api/v1/leads/?email=given77@some.example",
    "/api/v1/leads/?expand=owner",
    "/api/v1/deals/",
    "/api/v1/deals/?status=open&page_size=10",
    "/api/v1/deals/?search=offer77",
    "/api/v1/deals/?expand=stage,owner",
    "/api/v1/recycle-bin/",
    "/admin/crm/lead/",
    "/admin/crm/lead/?p=3",
    "/admin/crm/lead/?q=given7",
    "/admin/crm/lead/?status__in=contacted&q=given77",
    "/admin/crm/deal/",
    "/admin/crm/deal/?q=offer7",
    "/admin/crm/deal/?status__in=open",
    "/admin/recycle-bin/",
    "/admin/",
)


def fill(world: World, count: int) -> None:
    """Leads of whom few are contacted, deals of which few are open."""
    now = timezone.now() - timedelta(days=100)
    with world.acting() as actor:
        won = PipelineStage.objects.get(stage_type="won").pk
        leads = Rows.select(
            "SELECT g - 1 AS ord, uuidv7() AS id, 'Given' || g AS first_name, 'Family' || g %% 500 AS last_name, "
            f"'given' || g || '@some.example' AS email, CASE WHEN g %% {RARE} = 0 THEN 'contacted' ELSE 'new' END AS status "
            "FROM generate_series(1, %s) g",
            (count,),
            ("first_name", "last_name", "email", "status"),
        )
        made = operations.create_leads(actor=actor, rows=leads, now=now)
        in_bin = Rows.select(
            "SELECT (place - 1)::int AS ord, id FROM unnest(%s::uuid[]) WITH ORDINALITY AS t(id, place)",
            (list(made.ids.values())[:IN_BIN],),
            (),
        )
        operations.delete_leads(actor=actor, rows=in_bin, now=now).raise_if_refused()
        deals = Rows.select(
            "SELECT g - 1 AS ord, uuidv7() AS id, 'Offer' || g AS name, g::numeric AS amount, current_date AS close_date "
            "FROM generate_series(1, %s) g",
            (count,),
            ("name", "amount", "close_date"),
        )
        operations.create_deals(actor=actor, rows=deals, now=now).raise_if_refused()
        closing = Rows.select(
            "SELECT (row_number() OVER (ORDER BY id) - 1)::int AS ord, id, %s::uuid AS stage_id FROM crm_deal "
            f"WHERE company_id = %s AND amount::int %% {RARE} > 0",
            (won, world.company.pk),
            ("stage_id",),
        )
        operations.update_deals(actor=actor, rows=closing, now=now).raise_if_refused()


@dataclass
class Visit:
    """A company as its admin sees it."""

    world: World
    api: Client
    office: Client

    def get(self, path: str) -> Any:
        answer = (self.office if path.startswith("/admin") else self.api).get(path)
        assert answer.status_code == 200, (path, answer.content)
        return answer


def visit(world: World) -> Visit:
    office = Client()
    office.post("/admin/login/", {"username": world.email("admin"), "password": PASSWORD, "next": "/admin/"})
    return Visit(world, world.client("admin"), office)


@pytest.fixture(scope="module")
def companies(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[Visit, Visit]]:
    """One with few records and one with many, of which PostgreSQL knows; gone with the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        small, large = make_world("small"), make_world("large")
        fill(small, FEW)
        fill(large, MANY)
        with system_context("statistics for a test"), owning(), connection.cursor() as cursor:
            cursor.execute("ANALYZE crm_lead, crm_deal")
        yield visit(small), visit(large)
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def capped_counts(monkeypatch: Any) -> None:
    """Totals are exact up to ten, so that both companies have more."""
    monkeypatch.setattr(listing, "EXACT_COUNT_LIMIT", 10)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What is asked of the database inside, with its parameters."""
    asked: list[tuple[str, Any]] = []
    execute, fetch_prepared = CursorWrapper.execute, DatabaseWrapper.fetch_prepared
    with pytest.MonkeyPatch.context() as patch:

        def executed(cursor: Any, sql: str, params: Any = None) -> Any:
            asked.append((sql, params))
            return execute(cursor, sql, params)

        def fetched(wrapper: Any, sql: str, params: Any = None, **options: Any) -> Any:
            asked.append((sql, params))
            return fetch_prepared(wrapper, sql, params, **options)

        patch.setattr(CursorWrapper, "execute", executed)
        patch.setattr(DatabaseWrapper, "fetch_prepared", fetched)
        yield asked


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def most_read(world: World, sql: str, params: Any) -> int:
    """How many leads or deals the statement reads in one go, found or not."""
    with world.acting():
        [(plan,)] = connection.fetch_prepared(  # type: ignore[attr-defined]
            f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, prepare=False
        )
    plan = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return max(
        (
            node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            for node in nodes(plan)
            if node.get("Relation Name") in ("crm_lead", "crm_deal")
        ),
        default=0,
    )


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
class TestLargeCompany:
    def test_takes_no_more_statements(self, path: str, companies: tuple[Visit, Visit]) -> None:
        asked_of = []
        for company in companies:
            company.get(path)
            with statements() as asked:
                company.get(path)
            asked_of.append([sql for sql, _ in asked])

        assert len(asked_of[0]) == len(asked_of[1]) > 1, asked_of

    def test_is_never_read_whole(self, path: str, companies: tuple[Visit, Visit]) -> None:
        _, large = companies
        with statements() as asked:
            large.get(path)
        read = {
            sql: most_read(large.world, sql, params)
            for sql, params in asked
            if sql.lstrip(" (").startswith("SELECT") and ("crm_lead" in sql or "crm_deal" in sql)
        }

        assert read
        assert max(read.values()) <= MANY / 5, max(read.items(), key=lambda item: item[1])
