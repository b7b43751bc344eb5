"""Activities, tasks and notes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from core.changes import Rows
from core.changes.models import ChangeLog
from core.identity.operations.companies import update_company
from crm.models import Activity, ActivityParticipant, Note, Task
from crm.operations import (
    create_activities,
    create_activity_participants,
    create_notes,
    create_tasks,
    update_notes,
)
from crm.operations.engagement import render_markdown
from tests.crm.conftest import codes
from tests.factories.crm import (
    NOW,
    make_account,
    make_activity,
    make_activity_participant,
    make_contact,
    make_deal,
    make_lead,
    make_note,
    make_task,
)

pytestmark = pytest.mark.django_db


class TestActivities:
    def test_begin_now_where_nothing_is_said(self, actor):
        activity = make_activity(actor)
        assert (activity.start_at, activity.status, activity.direction) == (NOW, "planned", "outbound")

    def test_have_an_end_or_a_duration_and_know_the_other(self, actor):
        by_duration = make_activity(actor, duration_minutes=30)
        assert by_duration.end_at == NOW + timedelta(minutes=30)
        by_end = make_activity(actor, end_at=(NOW + timedelta(minutes=45)).isoformat())
        assert by_end.duration_minutes == 45

    def test_move_as_a_whole(self, actor, change):
        activity = make_activity(actor, duration_minutes=30)
        change(activity, start_at=(NOW + timedelta(days=1)).isoformat())
        assert activity.end_at == NOW + timedelta(days=1, minutes=30)

    def test_do_not_end_before_they_start_nor_last_another_time(self, actor):
        rows = [
            {"type": "call", "subject": "a", "end_at": (NOW - timedelta(hours=1)).isoformat()},
            {
                "type": "call",
                "subject": "b",
                "end_at": (NOW + timedelta(hours=1)).isoformat(),
                "duration_minutes": 5,
            },
        ]
        outcome = create_activities(actor=actor, rows=Rows.of(Activity, rows), now=NOW, all_or_none=False)
        assert ("end_at", "ends_before_start") in codes(outcome, 0)
        assert codes(outcome, 1) == {("duration_minutes", "inconsistent")}

    def test_need_a_type_that_exists(self, actor):
        rows = [{"subject": "a"}, {"subject": "b", "type": "seance"}]
        outcome = create_activities(actor=actor, rows=Rows.of(Activity, rows), now=NOW, all_or_none=False)
        assert ("type", "required") in codes(outcome, 0)
        assert codes(outcome, 1) == {("type", "not_a_choice")}

    def test_that_were_held_touch_what_they_are_about(self, actor, change):
        account, contact, lead, deal = (
            make_account(actor),
            make_contact(actor),
            make_lead(actor),
            make_deal(actor),
        )
        about = {"account": account.pk, "contact": contact.pk, "lead": lead.pk, "deal": deal.pk}
        yesterday = NOW - timedelta(days=1)
        activity = make_activity(actor, start_at=yesterday.isoformat(), **about)
        logged = ChangeLog.objects.filter(entity_id=lead.pk).count()
        account.refresh_from_db()
        assert account.last_activity_at is None
        change(activity, status="held")
        for record, name in (
            (account, "last_activity_at"),
            (contact, "last_contacted_at"),
            (lead, "last_activity_at"),
            (deal, "last_activity_at"),
        ):
            record.refresh_from_db()
            assert getattr(record, name) == yesterday
            # Bookkeeping: nobody's edit is stale because of it.
            assert record.version == 1
        assert ChangeLog.objects.filter(entity_id=lead.pk).count() == logged
        assert activity.completed_at == NOW
        # An older touch does not turn it back.
        make_activity(actor, start_at=(NOW - timedelta(days=9)).isoformat(), status="held", **about)
        lead.refresh_from_db()
        assert lead.last_activity_at == yesterday

    def test_that_do_not_count_touch_nothing(self, actor):
        lead = make_lead(actor)
        make_activity(actor, lead=lead.pk, status="held", counts_as_touch=False)
        lead.refresh_from_db()
        assert lead.last_activity_at is None

    def test_refuse_records_of_another_company(self, actor, acme, globex):
        with globex.acting() as other:
            foreign = make_lead(other).pk
        with acme.acting() as actor:
            rows = [{"type": "call", "subject": "a", "lead": foreign}]
            outcome = create_activities(actor=actor, rows=Rows.of(Activity, rows), now=NOW)
            assert codes(outcome) == {("lead", "does_not_exist")}


class TestParticipants:
    def test_are_of_the_kind_that_is_given(self, actor, acme):
        activity = make_activity(actor).pk
        given = {
            "user": acme.users["sales"],
            "contact": make_contact(actor).pk,
            "lead": make_lead(actor).pk,
            "email": "guest@example.com",
        }
        for kind, value in given.items():
            made = make_activity_participant(actor, activity=activity, **{kind: value})
            assert (made.kind, made.response, made.is_organizer) == (kind, "none", False)

    def test_are_exactly_one(self, actor):
        activity, contact = make_activity(actor).pk, make_contact(actor).pk
        rows = [
            {"activity": activity},
            {"activity": activity, "contact": contact, "email": "guest@example.com"},
            {"activity": activity, "contact": contact, "kind": "lead"},
        ]
        for row in rows:
            outcome = create_activity_participants(
                actor=actor, rows=Rows.of(ActivityParticipant, [row]), now=NOW
            )
            assert codes(outcome) == {("kind", "not_exactly_one")}

    def test_come_once_and_one_of_them_organizes(self, actor):
        activity, contact = make_activity(actor).pk, make_contact(actor).pk
        make_activity_participant(actor, activity=activity, contact=contact, is_organizer=True)
        make_activity_participant(actor, activity=activity, email="Guest@example.com")
        rows = [
            {"activity": activity, "contact": contact},
            {"activity": activity, "email": "guest@EXAMPLE.com"},
            {"activity": activity, "email": "other@example.com", "is_organizer": True},
        ]
        found = [
            codes(
                create_activity_participants(actor=actor, rows=Rows.of(ActivityParticipant, [row]), now=NOW)
            )
            for row in rows
        ]
        assert found == [{("contact", "taken")}, {("email", "taken")}, {("is_organizer", "taken")}]

    def test_may_become_of_another_kind_but_stay_with_the_activity(self, actor, change):
        participant = make_activity_participant(
            actor, activity=make_activity(actor).pk, email="guest@example.com"
        )
        change(participant, email="", lead=make_lead(actor).pk)
        assert participant.kind == "lead"
        assert codes(change(participant, activity=make_activity(actor).pk)) == {("activity", "read_only")}


class TestTasks:
    def test_know_their_day_from_their_moment_in_the_companys_zone(self, acme, globex):
        with acme.acting() as actor:
            update_company(actor, changes={"timezone": "Pacific/Auckland"}, now=NOW)
            task = make_task(actor, due_at="2026-05-20T13:00:00Z")
        assert task.due_date == date(2026, 5, 21)

    def test_lose_the_moment_when_only_the_day_changes(self, actor, change):
        task = make_task(actor, due_at="2026-05-20T13:00:00Z")
        change(task, due_date="2026-06-01")
        assert (task.due_date, task.due_at) == (date(2026, 6, 1), None)
        change(task, due_at="2026-06-02T08:00:00Z")
        assert (task.due_date, task.due_at) == (date(2026, 6, 2), datetime(2026, 6, 2, 8, tzinfo=UTC))

    def test_refuse_a_day_that_is_not_the_moments(self, actor):
        rows = [{"subject": "a", "due_at": "2026-05-20T13:00:00Z", "due_date": "2026-05-22"}]
        outcome = create_tasks(actor=actor, rows=Rows.of(Task, rows), now=NOW)
        assert codes(outcome) == {("due_date", "inconsistent")}

    def test_are_completed_by_the_server_clock(self, actor, change):
        task = make_task(actor)
        change(task, status="completed", now=NOW + timedelta(hours=1))
        assert task.completed_at == NOW + timedelta(hours=1)
        change(task, subject="Renamed", now=NOW + timedelta(hours=2))
        assert task.completed_at == NOW + timedelta(hours=1)
        change(task, status="in_progress")
        assert task.completed_at is None


class TestNotes:
    def test_render_markdown_without_what_could_run(self, actor):
        lead = make_lead(actor)
        note = make_note(
            actor,
            lead=lead.pk,
            body="**Hi** <script>alert(1)</script> [x](javascript:alert(1)) [y](https://example.com)",
        )
        assert "<strong>Hi</strong>" in note.body_html
        assert "<script" not in note.body_html
        assert 'href="javascript' not in note.body_html
        assert 'href="https://example.com"' in note.body_html

    def test_are_about_something(self, actor):
        outcome = create_notes(actor=actor, rows=Rows.of(Note, [{"body": "x"}]), now=NOW)
        assert codes(outcome) == {("account", "required")}

    def test_remember_that_they_were_edited(self, actor, change):
        note = make_note(actor, lead=make_lead(actor).pk)
        assert note.edited_at is None
        change(note, is_pinned=True)
        assert note.edited_at is None
        change(note, body="*new*", now=NOW + timedelta(hours=1))
        assert (note.edited_at, note.body_html) == (NOW + timedelta(hours=1), "<p><em>new</em></p>\n")

    def test_keep_their_html_when_rows_of_one_write_give_different_fields(self, actor):
        lead = make_lead(actor).pk
        first, second = make_note(actor, lead=lead, body="one"), make_note(actor, lead=lead, body="two")
        rows = [{"id": first.pk, "body": "three"}, {"id": second.pk, "is_pinned": True}]
        update_notes(actor=actor, rows=Rows.of(Note, rows), now=NOW).raise_if_refused()
        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.body_html, second.body_html) == (render_markdown("three"), render_markdown("two"))
        assert second.is_pinned
