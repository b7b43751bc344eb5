"""Lists and pages cost the same whatever they hold, and filter as the API does."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from core.backoffice import lists
from core.backoffice.entity_admin import EntityAdmin
from core.entities import entities
from core.rest import listing
from crm.models import Account, Deal, Lead
from tests.backoffice.conftest import text_of
from tests.factories.crm import make_account, make_activity, make_contact, make_deal, make_lead, make_task


def url(model: Any, page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def cost(client: Client, address: str) -> tuple[int, str]:
    """How many statements a page takes, and what they are."""
    client.get(address)
    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200
    return len(queries), "\n".join(query["sql"] for query in queries)


def more_of_everything(actor: Any, owner: Any, count: int) -> tuple[Any, Any]:
    account = deal = None
    for _ in range(count):
        account = make_account(actor, owner=owner)
        make_contact(actor, account=account.pk, owner=owner)
        make_lead(actor, owner=owner)
        deal = make_deal(actor, account=account.pk, owner=owner)
        make_task(actor, deal=deal.pk, owner=owner)
        make_activity(actor, deal=deal.pk, owner=owner)
    return account, deal


class TestCost:
    def test_of_every_list_is_constant(self, acme, office):
        client = office(acme)
        with acme.acting() as actor:
            more_of_everything(actor, acme.users["sales"], 2)
        addresses = [url(entity.model, "changelist") for entity in entities]
        few = {address: cost(client, address)[0] for address in addresses}
        with acme.acting() as actor:
            more_of_everything(actor, acme.users["manager"], 10)
        many = {address: cost(client, address)[0] for address in addresses}
        assert many == few
        assert max(many.values()) <= 30

    def test_of_a_record_page_is_constant(self, acme, office):
        client = office(acme)
        with acme.acting() as actor:
            account, deal = more_of_everything(actor, acme.users["sales"], 1)
        pages = [url(Account, "record", account.pk), url(Deal, "record", deal.pk), "/admin/"]
        few = [cost(client, page)[0] for page in pages]
        with acme.acting() as actor:
            for _ in range(8):
                make_contact(actor, account=account.pk)
                make_deal(actor, account=account.pk)
                make_task(actor, deal=deal.pk)
                make_activity(actor, deal=deal.pk)
        assert [cost(client, page)[0] for page in pages] == few

    def test_of_counting_has_a_limit(self, acme, office, monkeypatch):
        with acme.acting() as actor:
            for _ in range(4):
                make_account(actor)
        monkeypatch.setattr(listing, "EXACT_COUNT_LIMIT", 2)
        monkeypatch.setattr(lists, "PAGE_SIZE", 2)
        _, statements = cost(office(acme), url(Account, "changelist"))
        counted = [
            line for line in statements.splitlines() if "COUNT(" in line.upper() and "crm_account" in line
        ]
        assert counted
        assert all("LIMIT 3" in line.upper() for line in counted)
        assert "EXPLAIN" in statements


class TestFilters:
    @pytest.fixture
    def leads(self, acme):
        with acme.acting() as actor:
            return {
                rating: make_lead(actor, last_name=rating, rating=rating, company_name=f"{rating} Ltd")
                for rating in ("hot", "warm", "cold")
            }

    def shown(self, client: Client, query: str) -> set[str]:
        page = client.get(url(Lead, "changelist") + f"?{query}")
        assert page.status_code == 200, page
        return {row.last_name for row in page.context["cl"].result_list}

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("rating__in=hot,warm", {"hot", "warm"}),
            ("rating=cold", {"cold"}),
            ("last_name__startswith=w", {"warm"}),
            ("created_at__gte=2100-01-01", set()),
            ("q=hot", {"hot"}),
            ("q=ltd&rating__in=hot,cold", {"hot", "cold"}),
            ("status_type=open", {"hot", "warm", "cold"}),
            ("rating__in=&status=", {"hot", "warm", "cold"}),
        ],
    )
    def test_are_those_of_the_api(self, acme, leads, office, query, found):
        assert self.shown(office(acme), query) == found

    def test_stay_shown_and_can_be_taken_back(self, acme, leads, office):
        page = text_of(office(acme).get(url(Lead, "changelist") + "?rating__in=hot"))
        assert 'value="hot" checked' in page
        assert "Filters (1)" in page

    def test_that_are_wrong_say_so(self, acme, leads, office):
        answer = office(acme).get(url(Lead, "changelist") + "?created_at__gte=some-day", follow=True)
        assert answer.redirect_chain[0][0].endswith("?e=1")
        assert any("created_at__gte" in str(message) for message in answer.context["messages"])

    def test_order_by_columns(self, acme, leads, office):
        client = office(acme)
        names = [
            [
                row.last_name
                for row in client.get(url(Lead, "changelist") + f"?o={order}").context["cl"].result_list
            ]
            for order in ("1", "-1")
        ]
        assert names == [["cold", "hot", "warm"], ["warm", "hot", "cold"]]

    @pytest.mark.parametrize("entity", entities, ids=lambda entity: entity.name)
    def test_order_by_every_field_that_can_be_a_column(self, entity, acme, leads, office, monkeypatch):
        """Also by a value that is no column of the table, such as a deal's days in its stage."""
        fields = [field for field in entity.fields.values() if field.sortable]
        monkeypatch.setattr(EntityAdmin, "listed_fields", lambda *_: fields)
        client = office(acme)
        for place, field in enumerate(fields, 1):
            sign = "-" if place % 2 else ""
            answer = client.get(url(entity.model, "changelist") + f"?o={sign}{place}")
            assert answer.status_code == 200, field.name
            assert [*answer.context["cl"].get_ordering_field_columns()] == [place], field.name
