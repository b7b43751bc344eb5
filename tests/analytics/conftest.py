"""Two companies with deals, accounts, products and rates; those of the neighbor are large, so that one of them would tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from core.tenancy.actors import Actor
from crm.models import Deal
from tests.factories.crm import make_account, make_deal, make_deal_product, make_product, stage
from tests.worlds import World, make_world

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
INDUSTRIES = ("technology", "finance", "retail", "")


def fill(actor: Actor, many: int, *, scale: int = 1, seed: int = 7) -> None:
    """Deals of all sorts: without an account, with lines that add up and with lines that do not, in two currencies."""
    chance = Random(seed)
    accounts = [
        make_account(actor, name=f"Account {scale} {number}", industry=INDUSTRIES[number % 4])
        for number in range(6)
    ]
    products = [
        make_product(actor, name=f"Product {scale} {number}", unit_price=Decimal(10)) for number in range(4)
    ]
    for number in range(many):
        account = chance.choice([*accounts, None])
        deal = make_deal(
            actor,
            now=NOW - timedelta(hours=chance.randrange(24 * 500)),
            name=f"Deal {number}",
            account=account.pk if account else None,
            amount=Decimal(chance.randrange(1, 100_000) * scale) / 100,
            currency=chance.choice(["USD", "USD", "EUR"]),
            close_date=(NOW + timedelta(days=chance.randrange(-500, 300))).date(),
            stage=stage(chance.choice(["prospecting", "proposal"])).pk,
            deal_type=chance.choice(["new_business", "renewal"]),
            source=chance.choice(["", "web", "referral"]),
            next_step_date=chance.choice([None, NOW.date()]),
        )
        for _ in range(chance.choice([0, 0, 1, 3])):
            make_deal_product(
                actor,
                deal=deal.pk,
                product=chance.choice(products).pk,
                quantity=Decimal(chance.randrange(1, 9)),
                unit_price=Decimal(chance.randrange(1, 5_000) * scale) / 100,
            )
    for deal in Deal.objects.order_by("pk")[:3]:
        # What no line explains.
        Deal.objects.filter(pk=deal.pk).update(amount=deal.amount + Decimal("12.34"))


@pytest.fixture
def rooms(db: None) -> tuple[World, World]:
    ours, theirs = make_world("acme"), make_world("globex")
    for world, scale in ((theirs, 1_000_000), (ours, 1)):
        with world.acting() as actor:
            fill(actor, 12 if scale > 1 else 60, scale=scale)
        for day, rate in (("2020-01-01", "1.10"), ("2026-03-01", "1.25")):
            client = world.client("admin")
            answer = client.post(
                "/api/v1/exchange-rates/", {"currency": "EUR", "rate": rate, "valid_from": day}
            )
            assert answer.status_code == 201, answer.content
    return ours, theirs


@pytest.fixture
def acme(rooms: tuple[World, World]) -> World:
    return rooms[0]


def preview(client: Any, **document: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/analytics/reports/preview/", {"data_source": "deals", **document})
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found
