"""What happens to records starts workflows; their actions are done once, in order, with the rights of a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.changes import stream
from core.changes.models import ChangeLog, Consumer
from core.delivery.models import Notification, OutgoingEmail
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.workflow.conftest import get, lead, workflow
from tests.worlds import World
from workflow.models import RunStatus, WorkflowActionRun, WorkflowRun

pytestmark = pytest.mark.django_db(transaction=True)

Settle = Callable[..., int]
ON_CREATED = [{"event_type": "lead.created"}]


def runs(acme: World) -> list[Any]:
    with acme.acting():
        return list(WorkflowRun.objects.order_by("created_at", "pk"))


def steps(acme: World) -> list[tuple[str, str]]:
    with acme.acting():
        rows = WorkflowActionRun.objects.order_by("run__created_at", "run_id", "number")
        return list(rows.values_list("path", "status"))


def tag(name: str, **more: Any) -> dict[str, Any]:
    return {"action_type": "add_tag", "payload": {"tag": name}, **more}


def note(body: str, **more: Any) -> dict[str, Any]:
    return {"action_type": "add_note", "payload": {"body": body}, **more}


class TestTriggers:
    def test_start_on_what_meets_their_conditions(self, acme: World, globex: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=[
                {
                    "event_type": "lead.created",
                    "conditions": {"and": [{"field": "annual_revenue", "operator": "gte", "value": 1000000}]},
                    "priority": 10,
                }
            ],
            actions=[
                {
                    "action_type": "update_field",
                    "payload": {"field": "status", "value": "qualified"},
                    "ordering": 1,
                }
            ],
        )
        large, small = lead(client, annual_revenue=2000000), lead(client, annual_revenue=10)
        other = lead(globex.client(), annual_revenue=2000000)
        settle()
        assert get(client, f"leads/{large['id']}/")["status"] == "qualified"
        assert get(client, f"leads/{small['id']}/")["status"] == "new"
        assert get(globex.client(), f"leads/{other['id']}/")["status"] == "new"
        [run] = runs(acme)
        assert (run.status, str(run.record_id), run.event_type) == ("succeeded", large["id"], "lead.created")

    def test_start_once_for_each_event_however_often_it_is_read(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(client, triggers=ON_CREATED, actions=[note("n")])
        with system_context("where the reader stands"):
            before = Consumer.objects.filter(name="workflow.triggers").values("xid", "log_id").get()
        lead(client)
        settle()
        with system_context("it reads again"), unit_of_work():
            Consumer.objects.filter(name="workflow.triggers").update(**before)
        settle()
        assert len(runs(acme)) == 1
        assert len(get(client, "notes/")["results"]) == 1

    def test_ask_for_changes_and_for_the_event(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=[
                {
                    "event_type": "lead.updated",
                    "conditions": {
                        "and": [
                            {"field": "status", "operator": "changed_to", "value": "contacted"},
                            {"field": "old.status", "operator": "eq", "value": "new"},
                            {"field": "event.source", "operator": "eq", "value": "api"},
                            {"field": "event.depth", "operator": "eq", "value": 0},
                        ]
                    },
                }
            ],
            actions=[tag("touched")],
        )
        made = lead(client)
        client.patch(f"/api/v1/leads/{made['id']}/", {"title": "Countess"})
        settle()
        assert runs(acme) == []
        client.patch(f"/api/v1/leads/{made['id']}/", {"status": "contacted"})
        # What it is by now does not matter, but what it was then.
        client.patch(f"/api/v1/leads/{made['id']}/", {"status": "qualified"})
        settle()
        assert len(runs(acme)) == 1
        assert get(client, f"leads/{made['id']}/")["tags"] == ["touched"]

    def test_cost_the_same_number_of_statements_for_many_changes(
        self, acme: World, django_assert_max_num_queries: Any
    ) -> None:
        client = acme.client()
        for number in range(3):
            workflow(
                client,
                name=f"W{number}",
                triggers=[
                    {
                        "event_type": "lead.created",
                        "conditions": {"field": "owner.email", "operator": "contains", "value": "acme"},
                    }
                ],
                actions=[note("n")],
            )
        stream.run_consumer("workflow.triggers")
        for _ in range(25):
            lead(client)
        with django_assert_max_num_queries(32):
            stream.run_consumer("workflow.triggers")
        assert len(runs(acme)) == 75

    def test_start_nothing_while_the_engine_is_off(self, acme: World, settle: Settle, settings: Any) -> None:
        client = acme.client()
        workflow(client, triggers=ON_CREATED, actions=[note("n")])
        settings.WORKFLOW_ENGINE_ENABLED = False
        lead(client)
        settle()
        settings.WORKFLOW_ENGINE_ENABLED = True
        answer = client.patch("/api/v1/company/", {"settings": {"workflow_engine_enabled": False}})
        assert answer.status_code == 200, answer.content
        lead(client)
        settle()
        assert runs(acme) == []


class TestActions:
    def test_are_done_in_order_and_fill_in_what_the_record_says(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[
                note("second {{ record.status }}", ordering=2),
                {
                    "action_type": "update_field",
                    "payload": {
                        "fields": {
                            "status": "contacted",
                            "estimated_value": {"expression": "record.annual_revenue * 0.1 + 5"},
                            "title": '{{ record.first_name | default: "Dear" }} {{ record.last_name }}',
                        }
                    },
                    "ordering": 1,
                },
                {
                    "action_type": "create_task",
                    "payload": {"subject": "Call {{ record.last_name }}", "due_in_days": 3},
                },
                {
                    "action_type": "send_email",
                    "payload": {
                        "to": "{{ record.email }}",
                        "subject": "Hello {{ record.last_name }}",
                        "body": "Hi",
                        "html": "<p>{{ record.company_name }}</p>",
                    },
                    "ordering": 3,
                },
                {
                    "action_type": "send_notification",
                    "payload": {"recipients": ["owner"], "title": "New: {{ record.last_name }}"},
                    "ordering": 4,
                },
            ],
        )
        made = lead(client, annual_revenue=1000, email="ada@example.com", company_name="<b>A & B</b>")
        settle()
        found = get(client, f"leads/{made['id']}/")
        assert (found["status"], found["title"]) == ("contacted", "Dear Lovelace")
        assert float(found["estimated_value"]) == 105
        [run] = runs(acme)
        assert run.status == "succeeded", run.error
        [task] = get(client, f"tasks/?lead={made['id']}")["results"]
        assert (task["subject"], task["owner"]) == ("Call Lovelace", str(acme.users["admin"]))
        [said] = get(client, f"notes/?lead={made['id']}")["results"]
        assert said["body"] == "second contacted"
        with acme.acting():
            mail = OutgoingEmail.objects.get(kind="workflow")
            assert (mail.recipient, mail.subject) == ("ada@example.com", "Hello Lovelace")
            assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in mail.html
            assert Notification.objects.get().title == "New: Lovelace"
        assert [status for _, status in steps(acme)] == ["succeeded"] * 5

    def test_undo_what_a_failing_one_did_and_end_the_run(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[
                tag("one"),
                {
                    "action_type": "update_field",
                    "payload": {"field": "email", "value": "{{ record.last_name }}"},
                },
                tag("three"),
            ],
        )
        made = lead(client)
        settle()
        [run] = runs(acme)
        assert (run.status, run.error_code) == ("failed", "invalid")
        assert get(client, f"leads/{made['id']}/")["tags"] == ["one"]
        assert steps(acme) == [("a1", "succeeded"), ("a2", "failed")]
        with acme.acting():
            assert ChangeLog.objects.filter(action="run_failed", entity_type="workflow").count() == 1

    def test_go_on_behind_one_that_may_fail(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[
                {
                    "action_type": "update_field",
                    "payload": {"field": "email", "value": "{{ record.last_name }}"},
                    "allow_failure": True,
                },
                tag("after"),
            ],
        )
        made = lead(client)
        settle()
        assert runs(acme)[0].status == "succeeded"
        assert get(client, f"leads/{made['id']}/")["tags"] == ["after"]
        assert steps(acme) == [("a1", "failed"), ("a2", "succeeded")]

    def test_branch_loop_wait_and_stop(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[
                {
                    "action_type": "branch",
                    "payload": {"conditions": {"field": "rating", "operator": "eq", "value": "hot"}},
                    "then": [{"action_type": "create_task", "payload": {"subject": "Hurry"}}],
                    "else": [tag("slow"), {"action_type": "stop"}],
                },
                {"action_type": "wait", "payload": {"hours": 2}},
                {
                    "action_type": "for_each",
                    "payload": {"entity": "task", "relation": "lead"},
                    "actions": [
                        {"action_type": "update_field", "payload": {"field": "priority", "value": "urgent"}}
                    ],
                },
            ],
        )
        cold = lead(client, rating="cold")
        lead(client, rating="hot")
        settle()
        assert get(client, f"leads/{cold['id']}/")["tags"] == ["slow"]
        assert [run.status for run in runs(acme)] == ["succeeded", "waiting"]
        settle(timezone.now() + timedelta(hours=1))
        assert runs(acme)[1].status == "waiting"

    def test_act_with_the_rights_of_a_person(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            run_as=str(acme.users["sales"]),
            triggers=ON_CREATED,
            actions=[tag("seen")],
        )
        mine = lead(client, owner=str(acme.users["sales"]))
        theirs = lead(client)
        settle()
        assert [str(run.record_id) for run in runs(acme)] == [mine["id"]]
        assert get(client, f"leads/{theirs['id']}/")["tags"] == []

    def test_perform_what_is_declared_for_the_record(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[
                {
                    "action_type": "perform",
                    "payload": {
                        "action": "disqualify",
                        "input": {"status_reason": "Spam from {{ record.last_name }}"},
                    },
                }
            ],
        )
        made = lead(client)
        settle()
        [run] = runs(acme)
        assert run.status == "succeeded", run.error
        found = get(client, f"leads/{made['id']}/")
        assert (found["status"], found["status_reason"]) == ("unqualified", "Spam from Lovelace")

    def test_assign_owners_in_turn(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        people = [str(acme.users["sales"]), str(acme.users["manager"])]
        workflow(
            client,
            triggers=ON_CREATED,
            actions=[{"action_type": "assign_owner", "payload": {"round_robin": people}}],
        )
        made = [lead(client) for _ in range(3)]
        settle()
        owners = [get(client, f"leads/{item['id']}/")["owner"] for item in made]
        assert sorted(owners) == sorted([people[0], people[1], people[0]])


class TestCircles:
    def test_are_cut_and_say_their_way(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        trigger = [{"event_type": "lead.updated"}]
        count = {"expression": "coalesce(record.number_of_employees, 0) + 1"}
        grow = [{"action_type": "update_field", "payload": {"field": "number_of_employees", "value": count}}]
        workflow(client, name="A", triggers=trigger, actions=grow)
        workflow(client, name="B", triggers=trigger, actions=grow)
        made = lead(client)
        client.patch(f"/api/v1/leads/{made['id']}/", {"title": "x"})
        settle()
        found = runs(acme)
        assert sorted(run.status for run in found).count("succeeded") == 4
        held_back = {run.error for run in found if run.status == RunStatus.SKIPPED}
        assert "It would go round in a circle: A → B → A." in held_back
        assert "It would go round in a circle: A → A." in held_back
        assert get(client, f"leads/{made['id']}/")["number_of_employees"] == 4
