"""What the registry says of the CRM: events, and values that are computed when they are read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.changes.models import ChangeLog
from core.entities import entities
from crm.operations import convert_lead
from tests.factories.crm import (
    lost_reason,
    make_account,
    make_activity,
    make_activity_participant,
    make_deal,
    make_lead,
    make_task,
    stage,
)

pytestmark = pytest.mark.django_db


def events_of(record: Any) -> set[str]:
    """The named events that the record's last change caused."""
    entry = ChangeLog.objects.filter(entity_id=record.pk, action="update").order_by("-id").first()
    changed = frozenset(entry.changed_fields)
    declared = entities[entry.entity_type].events
    return {
        name for name, happened in declared.items() if happened(changed, entry.old_values, entry.new_values)
    }


class TestEvents:
    def test_of_deals(self, actor, change):
        deal = make_deal(actor)
        change(deal, stage=stage("proposal").pk)
        assert events_of(deal) == {"stage_changed"}
        change(deal, amount="5", close_date="2027-01-01")
        assert events_of(deal) == {"amount_changed", "close_date_changed"}
        change(deal, stage=stage("closed_won").pk)
        assert events_of(deal) == {"stage_changed", "won"}
        change(deal, stage=stage("proposal").pk)
        assert events_of(deal) == {"stage_changed", "reopened"}
        change(deal, stage=stage("closed_lost").pk, lost_reason=lost_reason().pk)
        assert events_of(deal) == {"stage_changed", "lost"}

    def test_of_leads(self, actor, acme, change):
        lead = make_lead(actor)
        change(lead, status="contacted", owner=acme.users["sales"])
        assert events_of(lead) == {"status_changed", "assigned"}
        convert_lead(actor=actor, lead_id=lead.pk, now=timezone.now())
        assert events_of(lead) == {"status_changed", "converted"}

    def test_of_tasks(self, actor, acme, change):
        task = make_task(actor)
        change(task, status="completed")
        assert events_of(task) == {"completed"}
        change(task, owner=acme.users["sales"])
        assert events_of(task) == {"assigned"}


class TestComputedValues:
    def test_of_a_deal_that_stands_still(self, acme, globex):
        with acme.acting() as actor:
            old = timezone.now() - timedelta(days=40, hours=1)
            deal = make_deal(actor, now=old)
            fresh = make_deal(actor, now=timezone.now())
            pipeline = deal.pipeline
        client = acme.client()
        path = f"/api/v1/deals/{deal.pk}/"
        assert (client.get(path).json()["days_in_stage"], client.get(path).json()["is_stale"]) == (40, False)
        assert client.patch(f"/api/v1/pipelines/{pipeline.pk}/", {"rotting_days": 30}).status_code == 200
        assert client.get(path).json()["is_stale"] is True
        stale = client.get("/api/v1/deals/?is_stale=true").json()["results"]
        assert [item["id"] for item in stale] == [str(deal.pk)]
        assert client.get(f"/api/v1/deals/{fresh.pk}/").json()["is_stale"] is False

    @pytest.mark.parametrize("shape", ["page_size=500", "cursor="])
    @pytest.mark.parametrize("condition", ["", "&status=open"])
    def test_order_a_list(self, acme, globex, shape, condition):
        with acme.acting() as actor:
            for days in (3, 40, 7):
                make_deal(actor, now=timezone.now() - timedelta(days=days, hours=1))
        client = acme.client()
        for order, shown in (("days_in_stage", [3, 7, 40]), ("-days_in_stage", [40, 7, 3])):
            answer = client.get(f"/api/v1/deals/?ordering={order}&{shape}{condition}").json()
            assert [item["days_in_stage"] for item in answer["results"]] == shown

    def test_of_a_task_that_is_late(self, acme, globex):
        now = timezone.now()
        with acme.acting() as actor:
            late = make_task(actor, due_date=(now - timedelta(days=2)).date())
            make_task(actor, due_date=(now - timedelta(days=2)).date(), status="completed")
            make_task(actor, due_at=(now + timedelta(hours=1)).isoformat())
            make_task(actor)
        answer = acme.client().get("/api/v1/tasks/?is_overdue=true").json()
        assert [item["id"] for item in answer["results"]] == [str(late.pk)]

    def test_of_a_tag_counts_its_records(self, acme, globex):
        for world in (acme, globex):
            with world.acting() as actor:
                make_lead(actor, tags=["VIP"])
                make_account(actor, tags=["VIP", "Other"])
        answer = acme.client().get("/api/v1/tags/?name=VIP").json()
        assert [item["usage_count"] for item in answer["results"]] == [2]


class TestVisibility:
    def test_of_what_belongs_to_a_deal_follows_the_deal(self, acme, globex):
        with acme.acting() as actor:
            hidden = make_deal(actor)
            own = make_deal(actor, owner=acme.users["sales"])
        client = acme.client("sales")
        for tail in ("products", "contacts", "stage-history", "activities"):
            assert client.get(f"/api/v1/deals/{hidden.pk}/{tail}/").status_code == 404
            assert client.get(f"/api/v1/deals/{own.pk}/{tail}/").status_code == 200
        listed = client.get("/api/v1/deals/").json()["results"]
        assert [item["id"] for item in listed] == [str(own.pk)]

    def test_of_participants_follows_the_activity(self, acme, globex):
        with acme.acting() as actor:
            about = make_deal(actor, owner=acme.users["sales"])
            seen, hidden = make_activity(actor, deal=about.pk), make_activity(actor)
            for activity in (seen, hidden):
                make_activity_participant(actor, activity=activity.pk, email="guest@example.com")
        client = acme.client("sales")
        assert client.get(f"/api/v1/activities/{hidden.pk}/participants/").status_code == 404
        listed = client.get("/api/v1/activity-participants/").json()["results"]
        assert [item["activity"] for item in listed] == [str(seen.pk)]

    def test_lets_nobody_convert_into_an_account_they_do_not_see(self, acme, globex):
        with acme.acting() as actor:
            account = make_account(actor, name="Initech")
            lead = make_lead(actor, company_name="Initech", owner=acme.users["sales"])
        client = acme.client("sales")
        answer = client.post(f"/api/v1/leads/{lead.pk}/convert/", {"account": str(account.pk)})
        assert answer.json()["errors"][0]["code"] == "does_not_exist"
        made = client.post(f"/api/v1/leads/{lead.pk}/convert/").json()
        assert made["account"] != str(account.pk)
