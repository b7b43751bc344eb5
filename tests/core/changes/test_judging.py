"""What a write would do is what it does, said without a lock, a transaction id or a trace."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.changes import Rows
from core.kernel.ids import uuid7
from core.kernel.transactions import unit_of_work
from core.tenancy.context import actor_context
from crm.models import Deal, Lead, Tag
from crm.operations import (
    create_deals,
    create_leads,
    create_tags,
    judge_deals,
    judge_leads,
    judge_tags,
    update_leads,
)
from data_import.operations import staging
from tests.worlds import World, make_world

NOW = timezone.now()


@pytest.mark.django_db
class TestJudge:
    def test_tells_a_create_with_its_completed_values(self, acme: World) -> None:
        with acme.acting() as actor:
            rows = Rows.of(
                Lead,
                [{"last_name": "Doe", "estimated_value": "10.50"}, {"company_name": "X", "owner": uuid7()}],
            )
            judged = judge_leads("create", rows=rows, actor=actor, now=NOW)
            assert Lead.objects.count() == 0
            outcome = create_leads(actor=actor, rows=rows, now=NOW, all_or_none=False)
        assert [judged[0].effect, judged[1].effect] == ["create", "refused"]
        assert judged[0].new["owner"] == str(actor.user_id)
        assert judged[0].new["currency"] == "USD"
        assert judged[0].new["estimated_value"] == Decimal("10.50")
        assert {place: row.faults for place, row in judged.items() if row.faults} == outcome.refused
        assert judged[0].id == outcome.ids[0]

    def test_tells_an_update_by_what_differs(self, acme: World) -> None:
        with acme.acting() as actor:
            made = create_leads(
                actor=actor, rows=Rows.of(Lead, [{"last_name": "Doe", "city": "Rome"}] * 2), now=NOW
            ).ids
            rows = Rows.of(
                Lead,
                [
                    {"id": made[0], "city": "Oslo", "status": "qualified"},
                    {"id": made[1], "city": "Rome"},
                    {"id": uuid7(), "city": "Oslo"},
                ],
            )
            judged = judge_leads("update", rows=rows, actor=actor, now=NOW)
            outcome = update_leads(actor=actor, rows=rows, now=NOW, all_or_none=False)
        assert [row.effect for _, row in sorted(judged.items())] == ["update", "unchanged", "refused"]
        assert (judged[0].old["city"], judged[0].new["city"]) == ("Rome", "Oslo")
        assert set(judged[0].new) == {"city", "status", "qualified_at"}
        assert (judged[1].old, judged[1].new) == ({}, {})
        assert outcome.unchanged == {1}
        assert outcome.refused == {2: judged[2].faults}

    def test_tells_what_a_stage_would_demand(self, acme: World) -> None:
        with acme.acting() as actor:
            deal = create_deals(
                actor=actor, rows=Rows.of(Deal, [{"name": "D", "close_date": NOW.date()}]), now=NOW
            ).one
            lost = Deal.objects.get().pipeline.stages.get(stage_type="lost").pk
            rows = Rows.of(Deal, [{"id": deal, "stage": lost}])
            [judged] = judge_deals("update", rows=rows, actor=actor, now=NOW).values()
        assert [fault.code for fault in judged.faults] == ["lost_reason_required"]
        assert judged.new["status"] == "lost"

    def test_tells_deletions_of_both_kinds(self, acme: World) -> None:
        with acme.acting() as actor:
            lead = create_leads(actor=actor, rows=Rows.of(Lead, [{"last_name": "Doe"}]), now=NOW).one
            tag = create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "vip"}]), now=NOW).one
            [one] = judge_leads("delete", rows=Rows.of(Lead, [{"id": lead}]), actor=actor, now=NOW).values()
            [other] = judge_tags("delete", rows=Rows.of(Tag, [{"id": tag}]), actor=actor, now=NOW).values()
            [back] = judge_leads("restore", rows=Rows.of(Lead, [{"id": lead}]), actor=actor, now=NOW).values()
            assert (Lead.objects.filter(deleted_at=None).count(), Tag.objects.count()) == (1, 1)
        assert (one.effect, set(one.new)) == ("delete", {"deleted_at", "deleted_by"})
        assert (other.effect, other.old["name"]) == ("delete", "vip")
        assert [fault.code for fault in back.faults] == ["not_found"]


@pytest.mark.django_db(transaction=True)
def test_judging_takes_no_transaction_id_and_no_lock() -> None:
    acme = make_world("acme")
    with acme.acting() as actor:
        made = create_leads(actor=actor, rows=Rows.of(Lead, [{"last_name": "Doe"}]), now=NOW).one
    with actor_context(actor, source="test"), unit_of_work():
        rows = Rows.of(Lead, [{"id": made, "city": "Rome"}])
        assert judge_leads("update", rows=rows, actor=actor, now=NOW)[0].effect == "update"
        rows = Rows.of(Lead, [{"last_name": "Roe"}])
        assert judge_leads("create", rows=rows, actor=actor, now=NOW)[0].effect == "create"
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_current_xact_id_if_assigned() IS NULL, (SELECT count(*) FROM pg_locks "
                "WHERE pid = pg_backend_pid() AND mode LIKE 'Row%'), (SELECT xmax::text FROM crm_lead)"
            )
            assert cursor.fetchone() == (True, 0, "0")


@pytest.mark.django_db
class TestDryRun:
    """What rows of a file have to do with each other is told across batches."""

    @pytest.fixture(autouse=True)
    def _small_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(staging, "BATCH_ROWS", 2)

    def test_finds_a_key_that_a_row_of_another_batch_takes(self, run: Any, write: Any, acme: World) -> None:
        path = write("Name\nVIP\nA\nB\nC\nvip\n")
        planned, _ = run(path, "tag", field_mapping={"Name": "name"}, dry_run=True)
        done, _ = run(path, "tag", field_mapping={"Name": "name"})
        assert (planned.counts.valid, planned.counts.invalid) == (4, 1)
        assert (done.counts.created, done.counts.failed) == (4, 1)

    def test_knows_the_parents_that_the_file_creates(self, run: Any, write: Any, acme: World) -> None:
        path = write("Name,Parent\nA,C\nB,A\nC,\nD,B\nE,\n")
        mapping = {"Name": "name", "Parent": "parent"}
        planned, _ = run(path, "account", field_mapping=mapping, dry_run=True)
        assert (planned.counts.valid, planned.counts.invalid) == (5, 0)
        done, _ = run(path, "account", field_mapping=mapping)
        assert (done.counts.created, done.counts.failed) == (5, 0)

    def test_leaves_nothing_behind(self, run: Any, write: Any, acme: World) -> None:
        path = write("Name,Tags\nA,new\nB,other\n")
        run(path, "account", field_mapping={"Name": "name", "Tags": "tags"}, dry_run=True)
        with acme.acting():
            assert not Tag.objects.exists()
