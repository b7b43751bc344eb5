"""Starting by hand, dry runs, past events, reasons, figures, canceling and retrying; and the same from Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from core.kernel.errors import Invalid
from tests.workflow.conftest import get, lead, workflow
from tests.workflow.test_runs import note, runs, tag
from tests.worlds import World
from workflow.models import WorkflowRun
from workflow.services import WorkflowActionExecutor, WorkflowConditionEvaluator, WorkflowExecutionService

pytestmark = pytest.mark.django_db(transaction=True)

Settle = Callable[..., int]
LARGE = {"and": [{"field": "annual_revenue", "operator": "gte", "value": 1000}]}
ON_LARGE = [{"event_type": "lead.created", "conditions": LARGE}]


def post(client: Any, path: str, body: Any, status: int = 200) -> Any:
    answer = client.post(f"/api/v1/{path}", body)
    assert answer.status_code == status, answer.content
    return answer.json()


class TestCatalogs:
    def test_name_every_action_with_its_schema(self, acme: World) -> None:
        found = get(acme.client("viewer"), "workflows/action-types/")["action_types"]
        assert {item["name"] for item in found} >= {
            "update_field", "create_record", "create_task", "add_note", "assign_owner", "add_tag", "send_email",
            "send_notification", "call_webhook", "perform", "wait", "branch", "for_each", "stop",
        }  # fmt: skip
        assert all(item["payload_schema"]["type"] == "object" for item in found)

    def test_name_every_event(self, acme: World) -> None:
        found = {item["name"] for item in get(acme.client("viewer"), "workflows/event-types/")["event_types"]}
        assert found >= {"lead.created", "deal.stage_changed", "deal.won", "workflow.run_failed"}


class TestExecute:
    def test_says_what_it_would_do_and_then_does_it(self, acme: World, globex: World, settle: Settle) -> None:
        client = acme.client()
        made = workflow(
            client,
            workflow_type="manual",
            entity_type="lead",
            actions=[tag("seen"), note("About {{ record.last_name }}")],
        )
        record, foreign = lead(client), lead(globex.client())
        path = f"workflows/{made['id']}/execute/"
        dry = post(client, path, {"record_ids": [record["id"]], "dry_run": True})
        assert [item["action_type"] for item in dry["plans"][0]["actions"]] == ["add_tag", "add_note"]
        assert dry["plans"][0]["actions"][1]["would"]["values"]["body"] == "About Lovelace"
        assert runs(acme) == []
        assert get(client, f"leads/{record['id']}/")["tags"] == []
        refused = post(client, path, {"record_ids": [foreign["id"]]}, 400)
        assert refused["errors"][0]["path"] == "record_ids.0"
        started = post(client, path, {"record_ids": [record["id"]]}, 202)
        settle()
        timeline = get(client, f"workflow-runs/{started['run_ids'][0]}/")
        assert timeline["status"] == "succeeded"
        assert [step["summary"] for step in timeline["steps"]] == ["Add the tags seen", "Add a note"]
        assert len(get(client, f"workflows/{made['id']}/runs/")["results"]) == 1
        assert len(get(client, "workflow-runs/?status=succeeded")["results"]) == 1

    def test_refuses_what_is_not_active(self, acme: World) -> None:
        client = acme.client()
        made = workflow(
            client, status="draft", workflow_type="manual", entity_type="lead", actions=[tag("x")]
        )
        record = lead(client)
        refused = post(client, f"workflows/{made['id']}/execute/", {"record_ids": [record["id"]]}, 409)
        assert refused["code"] == "not_active"

    def test_shows_values_to_whoever_it_runs_as_and_administrators(self, acme: World, settle: Settle) -> None:
        client, manager = acme.client(), acme.client("manager")
        made = workflow(client, triggers=ON_LARGE, actions=[note("Secret {{ record.last_name }}")])
        lead(client, annual_revenue=5000)
        settle()
        [run] = runs(acme)
        assert get(client, f"workflow-runs/{run.pk}/")["steps"][0]["input"] == {"body": "Secret Lovelace"}
        assert get(manager, f"workflow-runs/{run.pk}/")["steps"][0]["input"] is None
        assert manager.post(f"/api/v1/workflows/{made['id']}/test/", {}).status_code == 403
        assert acme.client("sales").get("/api/v1/workflow-runs/").status_code == 403


class TestPastEvents:
    def test_match_as_the_live_stream_does(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        large = [lead(client, annual_revenue=value) for value in (500, 1000, 2000)][1:]
        # By now it is large; when it was made, it was not.
        grown = lead(client, annual_revenue=1)
        client.patch(f"/api/v1/leads/{grown['id']}/", {"annual_revenue": 9000})
        settle()
        made = workflow(client, triggers=ON_LARGE, actions=[tag("big")])
        path = f"workflows/{made['id']}/test/"
        tried = post(client, path, {"days": 1})
        assert [item["record_id"] for item in tried["matches"]] == [item["id"] for item in large]
        assert tried["matches"][0]["actions"][0]["summary"] == "Add the tags big"
        started = post(client, path, {"days": 1, "start": True})
        assert started["started"] == 2
        settle()
        assert {str(run.record_id) for run in runs(acme)} == {item["id"] for item in large}
        assert post(client, path, {"days": 1, "start": True})["started"] == 0

    def test_say_why_nothing_ran(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        made = workflow(client, triggers=ON_LARGE, actions=[tag("big")])
        small = lead(client, annual_revenue=10)
        settle()
        path = f"workflows/{made['id']}/why-not/?record={small['id']}"
        [reason] = get(client, path)["reasons"]
        assert reason["code"] == "condition_not_met"
        part = reason["explanation"]["parts"][0]
        assert (part["field"], float(part["actual"]), part["holds"]) == ("annual_revenue", 10, False)
        client.patch(f"/api/v1/workflows/{made['id']}/", {"status": "paused"})
        assert get(client, path)["reasons"][0]["code"] == "not_active"


class TestRuns:
    def test_can_be_canceled_while_they_wait(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        waiting = [{"action_type": "wait", "payload": {"days": 1}}, tag("late")]
        workflow(client, triggers=[{"event_type": "lead.created"}], actions=waiting)
        lead(client)
        settle()
        [run] = runs(acme)
        assert run.status == "waiting"
        assert post(client, f"workflow-runs/{run.pk}/cancel/", "")["status"] == "canceled"
        assert post(client, f"workflow-runs/{run.pk}/cancel/", "", 409)["code"] == "run_ended"

    def test_go_on_when_what_they_wait_for_happens(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        waiting = [
            {"action_type": "wait", "payload": {"event": "lead.status_changed", "timeout_hours": 5}},
            tag("moved"),
        ]
        workflow(client, triggers=[{"event_type": "lead.created"}], actions=waiting)
        made = lead(client)
        settle()
        assert runs(acme)[0].status == "waiting"
        client.patch(f"/api/v1/leads/{made['id']}/", {"status": "contacted"})
        settle()
        assert runs(acme)[0].status == "succeeded"
        assert get(client, f"leads/{made['id']}/")["tags"] == ["moved"]

    def test_are_tried_again_from_the_step_that_failed(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        actions = [
            note("once"),
            {"action_type": "update_field", "payload": {"field": "email", "value": "{{ record.title }}"}},
            tag("done"),
        ]
        made = workflow(client, triggers=[{"event_type": "lead.created"}], actions=actions)
        record = lead(client, title="no address")
        settle()
        [run] = runs(acme)
        assert run.status == "failed"
        stats = get(client, f"workflows/{made['id']}/stats/")
        assert (stats["runs"], stats["success_rate"], stats["by_status"]) == (1, 0.0, {"failed": 1})
        client.patch(f"/api/v1/leads/{record['id']}/", {"title": "ada@example.com"})
        assert post(client, f"workflow-runs/{run.pk}/retry/", "", 202)["status"] == "pending"
        settle()
        assert runs(acme)[0].status == "succeeded"
        assert len(get(client, "notes/")["results"]) == 1
        assert get(client, f"workflows/{made['id']}/stats/")["success_rate"] == 1.0

    def test_finish_on_the_version_they_began_with(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        made = workflow(
            client,
            triggers=[{"event_type": "lead.created"}],
            actions=[{"action_type": "wait", "payload": {"minutes": 1}}, tag("old")],
        )
        record = lead(client)
        settle()
        answer = client.patch(f"/api/v1/workflows/{made['id']}/", {"actions": [tag("new")]})
        assert answer.status_code == 200, answer.content
        with acme.acting():
            WorkflowRun.objects.update(resume_at=timezone.now() - timedelta(minutes=2))
            from core.jobs.models import Job

            Job.objects.filter(kind="workflow.advance").update(due_at=timezone.now() - timedelta(minutes=2))
            from workflow.models import WorkflowActionRun

            past = (timezone.now() - timedelta(minutes=2)).isoformat()
            WorkflowActionRun.objects.update(output={"until": past})
        settle()
        assert [run.status for run in runs(acme)] == ["succeeded"]
        assert get(client, f"leads/{record['id']}/")["tags"] == ["old"]


class TestPythonDoors:
    def test_start_workflows_by_an_event(self, acme: World, settle: Settle) -> None:
        client = acme.client()
        large, small = lead(client, annual_revenue=5000), lead(client, annual_revenue=1)
        settle()
        workflow(client, triggers=ON_LARGE, actions=[tag("called")])
        trigger = WorkflowExecutionService.trigger_workflow
        user = acme.users["admin"]
        assert trigger("lead.created", {"id": small["id"]}, acme.company, user) == []
        data = {"id": large["id"], "event_id": "e1"}
        [run] = trigger("lead_created", data, acme.company, user)
        assert trigger("lead.created", data, acme.company.pk, user) == []
        settle()
        assert get(client, f"leads/{large['id']}/")["tags"] == ["called"]
        assert run.record_id == UUID(large["id"])
        with pytest.raises(Invalid):
            trigger("lead.sneezed", {}, acme.company, user)

    def test_ask_conditions_and_do_single_actions(self, acme: World) -> None:
        made = lead(acme.client())
        ask = WorkflowConditionEvaluator("lead", acme.company)
        assert ask.evaluate(LARGE, {"annual_revenue": "5000.00"})
        assert not ask.evaluate(LARGE, {"annual_revenue": None})
        do = WorkflowActionExecutor(acme.company, acme.users["admin"])
        about = {"entity_type": "lead", "record_id": made["id"]}
        assert do.execute("add_tag", {"tag": "x"}, **about, dry_run=True)["tags"] == ["x"]
        assert get(acme.client(), f"leads/{made['id']}/")["tags"] == []
        do.execute("add_tag", {"tag": "x"}, **about)
        assert get(acme.client(), f"leads/{made['id']}/")["tags"] == ["x"]


class TestDueTimes:
    def test_start_schedules_once_for_each_slot(self, acme: World) -> None:
        from core.tenancy.context import system_context
        from workflow.models import WorkflowTrigger
        from workflow.operations.due import hand_on_due, start_due

        client = acme.client()
        workflow(
            client,
            workflow_type="scheduled",
            entity_type="lead",
            triggers=[{"schedule": {"cron": "0 9 * * *"}, "conditions": LARGE}],
            actions=[tag("daily")],
        )
        lead(client, annual_revenue=5000), lead(client, annual_revenue=1)
        with acme.acting():
            trigger = WorkflowTrigger.objects.get()
        then = trigger.next_due_at + timedelta(seconds=5)
        from core.kernel.transactions import unit_of_work

        with system_context("what is due"), unit_of_work():
            assert hand_on_due(now=then) == 1
        with acme.acting() as actor:
            assert start_due(actor.company_id, [trigger.pk], now=then) == 1
            assert start_due(actor.company_id, [trigger.pk], now=then) == 0

    def test_start_days_before_a_date_set_based(
        self, acme: World, django_assert_max_num_queries: Any
    ) -> None:
        from workflow.models import WorkflowTrigger
        from workflow.operations.due import start_due

        client = acme.client()
        workflow(
            client,
            workflow_type="scheduled",
            entity_type="task",
            triggers=[{"relative_to": {"field": "due_date", "offset_days": -3, "at": "06:00"}}],
            actions=[{"action_type": "update_field", "payload": {"field": "priority", "value": "urgent"}}],
        )
        with acme.acting():
            trigger = WorkflowTrigger.objects.get()
        day = trigger.next_due_at.date()
        for offset in (2, 3, 3, 3, 4):
            body = {"subject": "T", "due_date": (day + timedelta(days=offset)).isoformat()}
            post(client, "tasks/", body, 201)
        with acme.acting() as actor, django_assert_max_num_queries(20):
            assert start_due(actor.company_id, [trigger.pk], now=trigger.next_due_at) == 3
