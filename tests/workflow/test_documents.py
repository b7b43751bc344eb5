"""A workflow is one document: read with every fault at once, kept as versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workflow.conftest import workflow
from tests.worlds import World
from workflow.models import WorkflowAction, WorkflowTrigger, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)

QUALIFY: dict[str, Any] = {
    "name": "Qualify large leads",
    "workflow_type": "automation",
    "status": "active",
    "is_active": True,
    "triggers": [
        {
            "event_type": "lead.created",
            "conditions": {"and": [{"field": "annual_revenue", "operator": "gte", "value": 1000000}]},
            "priority": 10,
        }
    ],
    "actions": [
        {
            "action_type": "update_field",
            "payload": {"field": "status", "value": "qualified"},
            "ordering": 1,
            "allow_failure": False,
        }
    ],
}


def faults(client: Any, **document: Any) -> set[tuple[str, str]]:
    answer = client.post("/api/v1/workflows/", {**QUALIFY, "name": "X", **document})
    assert answer.status_code in (400, 403), answer.content
    return {(item["path"], item["code"]) for item in answer.json()["errors"]}


class TestDocuments:
    def test_are_taken_as_they_are_documented(self, acme: World) -> None:
        made = workflow(acme.client(), **QUALIFY)
        assert (made["entity_type"], made["current_version"]) == ("lead", 1)
        assert made["run_as"] == str(acme.users["admin"])
        assert made["triggers"] == QUALIFY["triggers"]

    def test_take_events_by_their_old_names(self, acme: World) -> None:
        workflow(acme.client(), **{**QUALIFY, "triggers": [{"event_type": "lead_created"}]})
        with acme.acting():
            assert WorkflowTrigger.objects.get().event_type == "lead.created"

    def test_tell_every_fault_with_its_path(self, acme: World) -> None:
        assert faults(
            acme.client(),
            triggers=[
                {
                    "event_type": "lead.created",
                    "conditions": {"and": [{"field": "annual_revenue", "operator": "gte", "value": "a lot"}]},
                },
                {"event_type": "deal.won"},
                {"schedule": {"cron": "never"}},
            ],
            actions=[
                {"action_type": "update_field", "payload": {"field": "status", "value": "great"}},
                {"action_type": "update_field", "payload": {"field": "color", "value": "red"}},
                {"action_type": "fly"},
            ],
        ) == {
            ("triggers.0.conditions.and.0.value", "not_a_number"),
            ("triggers.1.event_type", "other_entity"),
            ("triggers.2.schedule.cron", "bad_cron"),
        }
        assert faults(
            acme.client(),
            actions=[
                {"action_type": "update_field", "payload": {"field": "status", "value": "great"}},
                {"action_type": "update_field", "payload": {"field": "color", "value": "red"}},
                {"action_type": "fly"},
                {"action_type": "add_note", "payload": {"body": "Hi {{ record.shoe_size }}"}},
                {"action_type": "call_webhook", "payload": {"url": "https://127.0.0.1/"}},
                {
                    "action_type": "branch",
                    "payload": {"conditions": {"field": "status", "operator": "eq", "value": "new"}},
                    "then": [{"action_type": "add_note", "payload": {}}],
                },
            ],
        ) == {
            ("actions.0.payload.value", "not_a_choice"),
            ("actions.1.payload.field", "unknown_field"),
            ("actions.2.action_type", "not_a_choice"),
            ("actions.3.payload.body", "unknown_field"),
            ("actions.4.payload.url", "address_refused"),
            ("actions.5.then.0.payload.body", "required"),
        }

    @pytest.mark.parametrize(
        ("asked", "meant"), [("statu", "status"), ("event.typ", "type"), ("owner.emial", "email")]
    )
    def test_name_what_was_probably_meant(self, acme: World, asked: str, meant: str) -> None:
        condition = {"field": asked, "operator": "eq", "value": "new"}
        trigger = {"event_type": "lead.created", "conditions": condition}
        answer = acme.client().post(
            "/api/v1/workflows/", {"name": "W", "workflow_type": "automation", "triggers": [trigger]}
        )
        [fault] = answer.json()["errors"]
        assert (fault["code"], meant in fault["detail"].partition("Did you mean")[2]) == (
            "unknown_field",
            True,
        )

    def test_ask_an_active_workflow_for_what_it_needs(self, acme: World) -> None:
        assert faults(acme.client(), actions=[]) == {("actions", "required")}
        assert faults(acme.client(), triggers=[], entity_type="lead") == {("triggers", "required")}

    def test_have_at_most_so_many_actions(self, acme: World, settings: Any) -> None:
        settings.WORKFLOW_MAX_ACTIONS = 1
        assert faults(acme.client(), actions=QUALIFY["actions"] * 2) == {("actions", "too_many")}

    def test_become_versions_when_they_change(self, acme: World) -> None:
        client = acme.client()
        made = workflow(client, **QUALIFY)
        path = f"/api/v1/workflows/{made['id']}/"
        assert client.patch(path, {"description": "D"}).json()["current_version"] == 1
        action = {"action_type": "add_tag", "payload": {"tag": "big"}}
        changed = client.patch(path, {"actions": [action]})
        assert changed.status_code == 200, changed.content
        assert changed.json()["current_version"] == 2
        with acme.acting():
            assert WorkflowVersion.objects.count() == 2
            assert [t.of_version.number for t in WorkflowTrigger.objects.filter(is_current=True)] == [2]
            assert WorkflowAction.objects.count() == 2

    def test_can_be_removed(self, acme: World) -> None:
        client = acme.client()
        made = workflow(client, **QUALIFY)
        assert client.delete(f"/api/v1/workflows/{made['id']}/").status_code == 204
        with acme.acting():
            assert not WorkflowVersion.objects.exists()


class TestRights:
    def test_are_those_of_who_manages_settings(self, acme: World) -> None:
        assert acme.client("sales").post("/api/v1/workflows/", QUALIFY).status_code == 403
        assert acme.client("viewer").post("/api/v1/workflows/", QUALIFY).status_code == 403

    def test_keep_a_manager_from_acting_as_the_administrator(self, acme: World) -> None:
        made = workflow(acme.client(), **QUALIFY)
        path, manager = f"/api/v1/workflows/{made['id']}/", acme.client("manager")
        assert manager.patch(path, {"actions": []}).status_code == 403
        assert manager.patch(path, {"status": "paused"}).status_code == 200
        taken = manager.post(
            "/api/v1/workflows/", {**QUALIFY, "name": "Y", "run_as": str(acme.users["admin"])}
        )
        assert taken.status_code == 403
        own = manager.post("/api/v1/workflows/", {**QUALIFY, "name": "Y"})
        assert own.json()["run_as"] == str(acme.users["manager"])

    def test_end_at_the_company(self, acme: World, globex: World) -> None:
        made = workflow(acme.client(), **QUALIFY)
        assert globex.client().get(f"/api/v1/workflows/{made['id']}/").status_code == 404
