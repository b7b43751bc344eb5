"""The sales data of a real exercise, file by file, by command: nothing is lost and every total comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from core.identity.models import Invitation, User
from core.identity.operations.invitations import _join
from core.kernel.transactions import unit_of_work
from core.tenancy.actors import Actor
from core.tenancy.context import actor_context, system_context
from crm.models import Account, Deal, DealProduct, Product
from tests.worlds import World

Command = Callable[..., tuple[int, dict[str, Any]]]

ACCOUNTS = (
    "--entity=account",
    "--map=account=name",
    "--map=sector=industry",
    "--map=revenue=annual_revenue",
    "--map=employees=number_of_employees",
    "--map=office_location=billing_country",
    "--map=subsidiary_of=parent",
    '--value-map=office_location={"Philipines": "PH", "Korea": "KR"}',
)
PRODUCTS = ("--entity=product", "--map=product=name", "--map=series=family", "--map=sales_price=unit_price")
MANAGERS = (
    "--entity=user",
    "--map=manager=full_name",
    "--set=email={manager}@sales.example",
    "--set=role=manager",
    "--mode=upsert",
    "--match-on=email",
)
AGENTS = (
    "--entity=user",
    "--map=sales_agent=full_name",
    "--map=manager=manager",
    "--set=email={sales_agent}@sales.example",
    "--set=role=sales",
)
DEALS = (
    "--entity=deal",
    "--map=opportunity_id=external_id",
    "--map=opportunity_id=name",
    "--map=sales_agent=owner",
    "--map=account=account",
    "--map=deal_stage=stage",
    "--map=deal_stage=lost_reason",
    "--map=close_date=close_date",
    "--map=close_date=closed_at",
    "--map=close_value=amount",
    '--value-map=stage={"Engaging": "qualification", "Won": "closed_won", "Lost": "closed_lost"}',
    '--value-map=lost_reason={"Lost": "No decision", "*": ""}',
    "--set=close_date=2018-03-31",
    "--set=external_source=maven",
    "--mode=upsert",
    "--match-on=external_id",
)
LINES = (
    "--entity=deal_product",
    "--map=opportunity_id=deal",
    "--map=product=product",
    "--map=close_value=unit_price",
    '--value-map=product={"GTXPro": "GTX Pro"}',
)


@pytest.fixture
def sales(
    acme: World, data_dir: Callable[[str], Path], command: Command
) -> Callable[[str, tuple[str, ...]], Any]:
    folder = data_dir("crm_sales")

    def imported(name: str, options: tuple[str, ...]) -> dict[str, Any]:
        code, summary = command(str(folder / name), "--company=acme", "--as=admin@acme.test", *options)
        assert code == 0, summary
        return summary

    return imported


def everybody_joins(world: World) -> None:
    """Accept every open invitation: only who has joined can own deals and manage others."""
    now = timezone.now()
    with world.acting():
        invited = list(Invitation.objects.filter(state="pending").select_related("company"))
    for invitation in invited:
        with system_context("accepting an invitation"), unit_of_work():
            user = User.objects.create(
                email=invitation.email, first_name=invitation.first_name, last_name=invitation.last_name
            )
        actor = Actor(world.company.pk, user.pk)
        with actor_context(actor, source="test"), unit_of_work():
            _join(actor, invitation, user, now)


@pytest.fixture
def book(acme: World, sales: Any, data_dir: Callable[[str], Path]) -> dict[str, Any]:
    """Everything but the lines, and the totals that are known."""
    sales("accounts.csv", ACCOUNTS)
    sales("products.csv", PRODUCTS)
    for team in (MANAGERS, AGENTS):
        sales("sales_teams.csv", team)
        everybody_joins(acme)
    sales("sales_pipeline.csv", DEALS)
    known: dict[str, Any] = json.loads((data_dir("crm_sales") / "known.json").read_text())
    return known


@pytest.mark.django_db
class TestSalesData:
    def test_accounts_come_with_their_parents(self, sales: Any, acting: World, data_dir: Any) -> None:
        known = json.loads((data_dir("crm_sales") / "known.json").read_text())
        summary = sales("accounts.csv", ACCOUNTS)
        assert (summary["total"], summary["created"]) == (85, 85)
        assert Account.objects.filter(parent__isnull=False).count() == 15
        sums = Account.objects.aggregate(Sum("annual_revenue"), Sum("number_of_employees"))
        assert float(sums["annual_revenue__sum"]) == known["accounts_revenue_musd_sum"]
        assert sums["number_of_employees__sum"] == known["accounts_employees_sum"]
        for parent, expected in known["won_sum_parent_rollup"].items():
            names = Account.objects.filter(parent__name=parent).values_list("name", flat=True)
            assert sorted(names, key=str.lower) == sorted(expected["subsidiaries"], key=str.lower)

    def test_teams_come_with_their_managers(self, sales: Any, acting: World) -> None:
        from core.identity.models import Person

        first = sales("sales_teams.csv", MANAGERS)
        assert (first["created"], first["skipped"]) == (6, 29)
        everybody_joins(acting)
        second = sales("sales_teams.csv", AGENTS)
        assert second["created"] == 35
        agent = Person.objects.get(email="mei.mei.johns@sales.example")
        assert (agent.first_name, agent.last_name) == ("Mei-Mei", "Johns")
        managers = Person.objects.filter(email__endswith="@sales.example", manager__isnull=True)
        assert managers.count() == 6

    def test_totals_are_the_known_ones(self, book: dict[str, Any], acting: World) -> None:
        won = Deal.objects.filter(is_won=True)
        assert won.aggregate(n=Count("id"), s=Sum("amount")) == {
            "n": book["won"]["count"],
            "s": book["won"]["sum"],
        }
        assert Deal.objects.filter(status="lost").count() == book["lost"]["count"]
        assert Deal.objects.filter(account=None).count() == book["blank_account"]["total"]
        by_quarter = {
            key: won.filter(Q(close_date__year=key[:4], close_date__quarter=key[-1])).aggregate(
                s=Sum("amount")
            )["s"]
            for key in book["won_sum_by_quarter"]
        }
        assert by_quarter == book["won_sum_by_quarter"]
        by_agent = won.values("owner").annotate(s=Sum("amount"), n=Count("id"))
        assert sorted(row["s"] for row in by_agent) == sorted(book["won_sum_by_agent"].values())
        by_sector = dict(won.values_list("account__industry").annotate(s=Sum("amount")))
        assert by_sector == book["won_sum_by_sector"]
        assert won.exclude(closed_at__date=F("close_date")).count() == 0

    def test_us_dates_are_the_same_records(self, book: dict[str, Any], sales: Any, acting: World) -> None:
        columns = (
            "external_id",
            "close_date",
            "closed_at",
            "amount",
            "stage_id",
            "account_id",
            "owner_id",
            "version",
        )
        before = sorted(Deal.objects.values_list(*columns))
        again = sales("sales_pipeline_us_dates.csv", DEALS)
        assert again["skipped"] == 8_800, "every row says what is there already"
        assert sorted(Deal.objects.values_list(*columns)) == before

    def test_products_become_lines(self, book: dict[str, Any], sales: Any, acting: World) -> None:
        summary = sales("sales_pipeline.csv", LINES)
        assert summary["created"] == 8_800
        won = DealProduct.objects.filter(deal__is_won=True)
        assert dict(won.values_list("product__name").annotate(s=Sum("total"))) == book["won_sum_by_product"]
        assert dict(won.values_list("product__family").annotate(s=Sum("total"))) == book["won_sum_by_series"]
        opened = book["open_pipeline_at_list_price"]
        for stage, name in (("prospecting", "Prospecting"), ("qualification", "Engaging")):
            found = Deal.objects.filter(stage__code=stage).aggregate(n=Count("id"), s=Sum("amount"))
            assert (found["n"], found["s"]) == (opened[name]["count"], opened[name]["sum"])
        assert Product.objects.count() == 7
