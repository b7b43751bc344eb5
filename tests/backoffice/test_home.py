"""Home: every number is that of the list behind it, of one company and as the person may see."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from core.identity.operations import update_company
from crm.models import PipelineStage
from crm.operations import win_deal
from data_import.models import ImportJob, JobStatus
from tests.backoffice.conftest import text_of
from tests.factories.crm import make_account, make_activity, make_contact, make_deal, make_lead, make_task


def fill(world: Any) -> None:
    """Something of each state, of two owners, in a company whose month began before the server's did or after."""
    today = timezone.localdate(timezone=ZoneInfo("Pacific/Auckland"))
    with world.acting() as actor:
        update_company(actor, changes={"timezone": "Pacific/Auckland"}, now=timezone.now())
        owners = [world.users["admin"], world.users["sales"]]
        account = make_account(actor, owner=owners[1])
        second = PipelineStage.objects.filter(stage_type="open").order_by("order")[1]
        for number in range(5):
            owner = owners[number % 2]
            make_contact(actor, account=account.pk, owner=owner)
            make_lead(actor, owner=owner, status=("new", "contacted", "unqualified")[number % 3])
            make_deal(actor, owner=owner, amount="100", currency="USD")
            make_deal(actor, owner=owner, amount="7", currency="USD", stage=second.pk)
            make_activity(actor, owner=owner)
            due = today + timedelta(days=number * 3 - 3)
            make_task(actor, owner=owner, due_date=due.isoformat(), subject=f"Task {number}")
        make_task(actor, owner=owners[0], subject="Some day")
        first = datetime(today.year, today.month, 1, tzinfo=ZoneInfo("Pacific/Auckland"))
        for when, amount in ((first, "1000"), (first - timedelta(minutes=1), "400"), (timezone.now(), "20")):
            deal = make_deal(actor, owner=owners[1], amount=amount, currency="USD")
            win_deal(actor=actor, deal_id=deal.pk, now=when).raise_if_refused()


@pytest.fixture
def filled(acme, globex):
    fill(acme)
    fill(globex)


def count_of(client: Any, url: str) -> int:
    page = client.get(url)
    assert page.status_code == 200, url
    return int(page.context["cl"].result_count)


@pytest.mark.parametrize("role", ["admin", "sales", "viewer"])
class TestNumbers:
    def test_of_figures_are_those_of_their_lists(self, acme, filled, office, role):
        client = office(acme, role)
        figures = {item.label: item for item in client.get("/admin/").context["figures"]}
        counted = ("Live leads", "Accounts", "Contacts", "Open deals", "My tasks due")
        assert {label: int(figures[label].value) for label in counted} == {
            label: count_of(client, figures[label].url) for label in counted
        }
        if role == "admin":
            assert [figures[label].value for label in counted] == ["4", "1", "5", "10", "2"]
            assert figures["My tasks due"].note == "1 late"

    def test_of_the_pipeline_are_those_of_its_lists(self, acme, filled, office, role):
        client = office(acme, role)
        panels = {item.title: item for item in client.get("/admin/").context["panels"]}
        pipeline = panels["Open pipeline by stage"]
        assert len(pipeline.rows) == 2
        for url, (_, deals, _) in pipeline.rows:
            assert int(deals) == count_of(client, url)
        assert sum(int(cells[1]) for _, cells in pipeline.rows) == count_of(client, pipeline.url)
        assert [item["deals"] for item in pipeline.chart["data"]["values"]] == [
            int(cells[1]) for _, cells in pipeline.rows
        ]

    def test_of_the_month_are_the_sum_of_their_list(self, acme, filled, office, role):
        client = office(acme, role)
        [won] = [item for item in client.get("/admin/").context["figures"] if item.label == "Won this month"]
        deals = client.get(won.url).context["cl"].result_list
        assert (
            sum(deal.amount for deal in deals) == Decimal(re.sub(r"[^\d.]", "", won.value)) == Decimal(1020)
        )
        assert won.note == "+155 % against last month"
        assert won.is_good

    def test_of_tasks_are_those_of_their_list(self, acme, filled, office, role):
        client = office(acme, role)
        panels = {item.title: item for item in client.get("/admin/").context["panels"]}
        tasks = panels["My tasks due"]
        assert len(tasks.lines) == count_of(client, tasks.url)
        assert len(panels["Recent activity"].lines) == count_of(client, panels["Recent activity"].url)


class TestImports:
    def test_under_way_are_those_of_their_list(self, acme, globex, office):
        client = office(acme)
        for world in (acme, globex):
            with world.acting():
                for status in (JobStatus.IMPORTING, JobStatus.MAPPED, JobStatus.COMPLETED, JobStatus.FAILED):
                    ImportJob.objects.create(
                        company_id=world.company.pk,
                        owner_id=world.users["admin"],
                        entity_type="account",
                        file_size=1,
                        mode="create",
                        status=status,
                        file_name=f"{world.company.slug}-{status}.csv",
                    )
        page = client.get("/admin/")
        panels = {item.title: item for item in page.context["panels"]}
        lines = panels["Imports in progress"].lines
        assert {line.title for line in lines} == {"acme-importing.csv", "acme-mapped.csv"}
        assert count_of(client, panels["Imports in progress"].url) == 2
        assert "globex-importing.csv" not in text_of(page)


class TestEmptyCompany:
    def test_says_so_instead_of_showing_nothing(self, acme, globex, office):
        fill(globex)
        page = text_of(office(acme).get("/admin/"))
        assert "No open deals." in page
        assert "Nothing is due in the next seven days." in page
        assert "No leads yet" in text_of(office(acme).get("/admin/crm/lead/"))
        assert "Nothing matches" in text_of(office(acme).get("/admin/crm/lead/?rating=hot"))
