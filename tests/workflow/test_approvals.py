"""Requests go from step to step: votes, rejections, handing over, locks, escalation. Over the API, two companies in the room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connections
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.changes import stream
from core.delivery.models import Notification
from tests.workflow.conftest import get
from tests.worlds import World
from workflow.approvals import operations
from workflow.approvals.models import ApprovalEvent, ApprovalRequest

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "workflow/approval-requests/"


def post(client: Any, path: str, body: Any, status: int = 200) -> Any:
    answer = client.post(f"/api/v1/{path}", body)
    assert answer.status_code == status, answer.content
    return answer.json()


def deal(world: World, role: str = "sales") -> str:
    client = world.client(role)
    values: dict[str, Any] = {"name": "Big one", "amount": "1000.00", "close_date": "2027-01-15"}
    return str(post(client, "deals/", values, 201)["id"])


def process(world: World, **values: Any) -> str:
    document = {
        "name": "Large discount",
        "process_type": "multi_step",
        "entity_type": "deal",
        "steps": [
            {"step": 1, "name": "Manager", "approvers": [world.email("manager")], "type": "sequential"}
        ],
        **values,
    }
    return str(post(world.client(), "workflow/approval-processes/", document, 201)["id"])


def submit(world: World, process_id: str, record: str, status: int = 201) -> Any:
    body = {"process": process_id, "entity_type": "deal", "entity_id": record, "comment": "Please."}
    return post(world.client("sales"), BASE, body, status)


def vote(world: World, role: str, request: Any, verb: str = "approve", status: int = 200) -> Any:
    return post(world.client(role), f"{BASE}{request['id']}/{verb}/", {"comment": "So be it."}, status)


def kinds(world: World, request: Any) -> list[str]:
    found = get(world.client(), f"{BASE}{request['id']}/history/")["events"]
    return [event["kind"] for event in found]


class TestSteps:
    def test_the_body_of_a_process_with_addresses_is_taken_as_it_stands(self, acme: World) -> None:
        made = process(
            acme,
            steps=[
                {
                    "step": 1,
                    "name": "Line manager",
                    "approvers": [acme.email("manager")],
                    "type": "sequential",
                },
                {
                    "step": 2,
                    "name": "Directors",
                    "approvers": [acme.email("admin"), acme.email("viewer")],
                    "type": "parallel",
                    "require_all": False,
                },
            ],
            require_all_approvers=False,
            enable_escalation=True,
            escalation_after_hours=24,
            escalation_chain=[acme.email("manager"), acme.email("admin")],
        )
        request = submit(acme, made, deal(acme))
        assert (request["status"], request["current_step"], request["due_at"] is None) == (
            "pending",
            1,
            False,
        )
        assert get(acme.client("viewer"), "workflow/approval-inbox/")["results"] == []
        second = vote(acme, "manager", request)
        assert (second["status"], second["current_step"]) == ("pending", 2)
        waiting = get(acme.client("viewer"), "workflow/approval-inbox/")["results"]
        assert [item["request"]["id"] for item in waiting] == [request["id"]]
        assert get(acme.client("viewer"), "workflow/approval-inbox/counts/") == {"open": 1, "overdue": 0}
        done = vote(acme, "viewer", request)
        assert (done["status"], done["due_at"]) == ("approved", None)
        late = vote(acme, "admin", request, status=409)
        assert (late["code"], late["outcome"]) == ("already_decided", "approved")
        assert kinds(acme, request) == [
            "submitted", "step_opened", "approved", "step_opened", "approved", "request_approved",
        ]  # fmt: skip
        with acme.acting():
            told = Notification.objects.filter(kind__startswith="approval.")
            assert set(told.values_list("recipient_id", "kind")) == {
                (acme.users["manager"], "approval.asked"),
                (acme.users["admin"], "approval.asked"),
                (acme.users["viewer"], "approval.asked"),
                (acme.users["sales"], "approval.decided"),
            }

    def test_a_step_whose_condition_does_not_hold_is_skipped_as_the_simulation_says(
        self, acme: World
    ) -> None:
        large = {"field": "amount", "operator": "gte", "value": 5000}
        steps = [
            {"step": 1, "approvers": [{"kind": "manager"}], "type": "sequential"},
            {"step": 2, "approvers": [acme.email("viewer")], "condition": large},
            {"step": 3, "approvers": [{"kind": "role", "role": "admin"}]},
        ]
        made, record = process(acme, steps=steps), deal(acme)
        foreseen = post(
            acme.client("sales"), f"workflow/approval-processes/{made}/simulate/", {"entity_id": record}
        )
        assert [(item["step"], item["skipped"]) for item in foreseen["steps"]] == [
            (1, False),
            (2, True),
            (3, False),
        ]
        people = [[one["person"] for one in item["approvers"]] for item in foreseen["steps"]]
        request = submit(acme, made, record)
        vote(acme, "manager", request)
        done = vote(acme, "admin", request)
        assert done["status"] == "approved"
        asked = {(task["step"], task["approver"]) for task in done["tasks"]}
        assert asked == {(1, people[0][0]), (3, people[2][0])}
        assert people == [[str(acme.users["manager"])], [], [str(acme.users["admin"])]]
        assert "step_skipped" in kinds(acme, request)

    def test_one_after_the_other(self, acme: World) -> None:
        approvers = [acme.email("manager"), acme.email("viewer")]
        request = submit(
            acme, process(acme, steps=[{"step": 1, "approvers": approvers, "type": "sequential"}]), deal(acme)
        )
        early = vote(acme, "viewer", request, status=404)
        assert early["code"] == "not_found"
        assert vote(acme, "manager", request)["status"] == "pending"
        assert vote(acme, "manager", request, status=409)["code"] == "already_voted"
        assert vote(acme, "viewer", request)["status"] == "approved"

    def test_nobody_left_is_a_refusal_and_never_a_silent_pass(self, acme: World) -> None:
        own = process(acme, steps=[{"step": 1, "approvers": [acme.email("sales")]}])
        record = deal(acme)
        assert submit(acme, own, record, 422)["code"] == "no_approver"
        chained = process(
            acme,
            name="Chained",
            steps=[{"step": 1, "approvers": [{"kind": "owner"}]}],
            escalation_chain=[acme.email("manager")],
        )
        request = submit(acme, chained, record)
        assert [task["approver"] for task in request["tasks"]] == [str(acme.users["manager"])]
        assert request["escalation_level"] == 1

    def test_faults_of_a_process_come_all_at_once_with_their_paths(self, acme: World, globex: World) -> None:
        document = {
            "name": "Wrong",
            "entity_type": "deal",
            "steps": [
                {"step": 1, "approvers": [globex.email("manager")]},
                {"step": 1, "approvers": [acme.email("admin")], "require": {"count": 2}},
                {
                    "step": 3,
                    "approvers": [{"kind": "field", "field": "amount"}],
                    "condition": {"field": "amount", "operator": "gt", "value": "much"},
                },
            ],
            "locked_fields": ["amount", "no_such"],
            "enable_escalation": True,
        }
        refused = post(acme.client(), "workflow/approval-processes/", document, 400)
        found = {(fault["path"], fault["code"]) for fault in refused["errors"]}
        assert found >= {
            ("steps.0.approvers.0", "does_not_exist"),
            ("steps.1.step", "not_unique"),
            ("steps.1.require", "impossible_quorum"),
            ("steps.2.approvers.0.field", "unknown_field"),
            ("locked_fields.1", "unknown_field"),
            ("escalation_after_hours", "required"),
        }
        assert any(path.startswith("steps.2.condition") for path, _ in found)

    def test_a_changed_process_leaves_requests_under_way_alone(self, acme: World) -> None:
        made = process(acme)
        request = submit(acme, made, deal(acme))
        answer = acme.client().patch(
            f"/api/v1/workflow/approval-processes/{made}/",
            {"steps": [{"step": 1, "approvers": [acme.email("viewer")]}]},
        )
        assert answer.status_code == 200, answer.content
        assert vote(acme, "manager", request)["status"] == "approved"
        assert submit(acme, made, deal(acme))["tasks"][0]["approver"] == str(acme.users["viewer"])


class TestRejecting:
    def steps(self, world: World, on_reject: str) -> list[dict[str, Any]]:
        return [
            {"step": 1, "approvers": [world.email("manager")]},
            {"step": 2, "approvers": [world.email("viewer")], "on_reject": on_reject},
        ]

    def test_ends_the_request(self, acme: World) -> None:
        request = submit(acme, process(acme, steps=self.steps(acme, "stop")), deal(acme))
        vote(acme, "manager", request)
        assert vote(acme, "viewer", request, "reject")["status"] == "rejected"

    def test_asks_the_step_before_again(self, acme: World) -> None:
        request = submit(acme, process(acme, steps=self.steps(acme, "back_to_previous")), deal(acme))
        vote(acme, "manager", request)
        again = vote(acme, "viewer", request, "reject")
        assert (again["status"], again["current_step"]) == ("pending", 1)
        vote(acme, "manager", request)
        assert vote(acme, "viewer", request)["status"] == "approved"

    @pytest.mark.parametrize(("how", "step"), [("restart", 1), ("resume", 2)])
    def test_sends_it_back_and_it_comes_again(self, acme: World, how: str, step: int) -> None:
        made = process(acme, steps=self.steps(acme, "back_to_submitter"), on_resubmit=how)
        request = submit(acme, made, deal(acme))
        vote(acme, "manager", request)
        assert vote(acme, "viewer", request, "reject")["status"] == "draft"
        assert vote(acme, "manager", request, "resubmit", 404)["code"] == "not_found"
        again = vote(acme, "sales", request, "resubmit")
        assert (again["status"], again["current_step"]) == ("pending", step)


class TestHandingOver:
    def test_a_part_is_given_on_once_and_not_to_the_submitter(self, acme: World, globex: World) -> None:
        request = submit(acme, process(acme), deal(acme))
        path = f"{BASE}{request['id']}/delegate/"
        manager = acme.client("manager")
        assert post(manager, path, {"to": str(acme.users["sales"])}, 422)["code"] == "own_request"
        foreign = post(manager, path, {"to": str(globex.users["admin"])}, 400)
        assert foreign["errors"][0]["code"] == "does_not_exist"
        given = post(manager, path, {"to": str(acme.users["viewer"])})
        [task] = given["tasks"]
        assert (task["approver"], task["delegated_from"]) == (
            str(acme.users["viewer"]),
            str(acme.users["manager"]),
        )
        assert vote(acme, "manager", request, status=403)["code"] == "not_an_approver"
        moved = post(
            acme.client(),
            f"{BASE}{request['id']}/reassign/",
            {"task": task["id"], "to": str(acme.users["admin"])},
        )
        assert moved["tasks"][0]["approver"] == str(acme.users["admin"])
        assert vote(acme, "admin", request)["status"] == "approved"

    def test_recalled_by_who_submitted_it_and_unseen_by_others(self, acme: World, globex: World) -> None:
        request = submit(acme, process(acme), deal(acme))
        assert globex.client().get(f"/api/v1/{BASE}{request['id']}/").status_code == 404
        assert vote(globex, "admin", request, status=404)["code"] == "not_found"
        assert acme.client("viewer").get(f"/api/v1/{BASE}{request['id']}/").status_code == 404
        assert vote(acme, "sales", request, "recall")["status"] == "recalled"
        assert vote(acme, "manager", request, status=409)["outcome"] == "recalled"

    def test_several_are_approved_each_for_itself(self, acme: World) -> None:
        made = process(acme)
        first, second = submit(acme, made, deal(acme)), submit(acme, made, deal(acme))
        vote(acme, "sales", second, "recall")
        found = post(acme.client("manager"), f"{BASE}bulk-approve/", {"ids": [first["id"], second["id"]]})
        outcomes = {item["id"]: (item["status"], item["error_code"]) for item in found["results"]}
        assert outcomes == {first["id"]: ("approved", ""), second["id"]: ("", "already_decided")}


class TestLock:
    def test_holds_at_every_door_while_the_request_is_pending(self, acme: World) -> None:
        made, record = process(acme, locked_fields=["amount"]), deal(acme)
        request = submit(acme, made, record)
        path = f"/api/v1/deals/{record}/"
        for role in ("sales", "admin"):
            refused = acme.client(role).patch(path, {"amount": "1.00"})
            assert (refused.status_code, refused.json()["code"]) == (423, "locked_by_approval")
        before = acme.client().get(path).json()["amount"]
        bulk = acme.client().post(
            "/api/v1/deals/bulk/", {"operations": [{"op": "update", "id": record, "amount": "1.00"}]}
        )
        assert "locked_by_approval" in bulk.content.decode()
        assert acme.client().get(path).json()["amount"] == before
        assert acme.client().delete(path).status_code == 423
        assert acme.client().patch(path, {"name": "Bigger one"}).status_code == 200
        vote(acme, "manager", request)
        assert acme.client().patch(path, {"amount": "1.00"}).status_code == 200

    def test_values_changed_all_the_same_start_the_request_again(self, acme: World) -> None:
        made, record = process(acme, locked_fields=["amount"]), deal(acme)
        request = submit(acme, made, record)
        with acme.acting():
            # As if the change had slipped through while the request was being submitted.
            ApprovalRequest.objects.filter(pk=request["id"]).update(digest="0" * 64)
        assert vote(acme, "manager", request, status=409)["code"] == "values_changed"
        stream.run_consumer("workflow.approvals", most_batches=1_000)
        assert acme.client().patch(f"/api/v1/deals/{record}/", {"name": "Touched"}).status_code == 200
        stream.run_consumer("workflow.approvals", most_batches=1_000)
        assert kinds(acme, request).count("voided") == 1
        assert vote(acme, "manager", request)["status"] == "approved"


class TestEscalation:
    def escalating(self, world: World, **values: Any) -> Any:
        made = process(
            world,
            enable_escalation=True,
            escalation_after_hours=24,
            escalation_chain=[world.email("viewer"), world.email("admin")],
            **values,
        )
        return submit(world, made, deal(world))

    @pytest.mark.parametrize(("end", "status"), [("expire", "expired"), ("approve", "approved")])
    def test_each_level_once_and_then_the_end(self, acme: World, end: str, status: str) -> None:
        request = self.escalating(acme, at_chain_end=end)
        now, key = timezone.now(), UUID(request["id"])
        for day, raised in ((0.5, 0), (1.1, 1), (1.1, 0), (2.2, 1), (2.2, 0), (3.3, 1), (9, 0)):
            with acme.acting():
                assert operations.escalate_due([key], now=now + timedelta(days=day)) == raised
        found = get(acme.client(), f"{BASE}{request['id']}/")
        assert (found["status"], found["escalation_level"]) == (status, 2)
        assert [(task["round"], task["approver"]) for task in found["tasks"]] == [
            (1, str(acme.users["manager"])),
            (2, str(acme.users["viewer"])),
            (3, str(acme.users["admin"])),
        ]

    def test_two_workers_raise_one_level(self, acme: World) -> None:
        request = self.escalating(acme)
        later, raised, gate = timezone.now() + timedelta(days=2), [], threading.Barrier(2)

        def work() -> None:
            try:
                gate.wait()
                with acme.acting():
                    raised.append(operations.escalate_due([UUID(request["id"])], now=later))
            finally:
                connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(raised) == [0, 1]
        with acme.acting():
            assert ApprovalEvent.objects.filter(request_id=request["id"], kind="escalated").count() == 1

    def test_by_hand_whoever_it_went_up_to_decides_alone(self, acme: World) -> None:
        request = self.escalating(acme)
        assert vote(acme, "manager", request, "escalate", 200)["escalation_level"] == 1
        assert vote(acme, "manager", request, status=403)["code"] == "not_an_approver"
        assert vote(acme, "viewer", request)["status"] == "approved"
        assert vote(acme, "sales", request, "escalate", 409)["code"] == "already_decided"


def test_a_workflow_submits_and_says_beforehand_who_would_be_asked(
    acme: World, globex: World, settle: Callable[..., int]
) -> None:
    made, foreign, client = process(acme), process(globex), acme.client()
    document = {
        "name": "Ask",
        "workflow_type": "manual",
        "status": "active",
        "entity_type": "deal",
        "run_as": str(acme.users["sales"]),
        "actions": [{"action_type": "submit_for_approval", "payload": {"process": foreign}}],
    }
    refused = post(client, "workflows/", document, 400)
    assert refused["errors"][0]["path"] == "actions.0.payload.process"
    document["actions"] = [{"action_type": "submit_for_approval", "payload": {"process": made}}]
    path, record = f"workflows/{post(client, 'workflows/', document, 201)['id']}/execute/", deal(acme)
    dry = post(client, path, {"record_ids": [record], "dry_run": True})
    assert dry["plans"][0]["actions"][0]["would"]["steps"][0]["approvers"] == [str(acme.users["manager"])]
    assert get(client, BASE)["results"] == []
    post(client, path, {"record_ids": [record]}, 202)
    settle()
    [request] = get(client, BASE)["results"]
    assert (request["entity_id"], request["submitted_by"]) == (record, str(acme.users["sales"]))
    assert vote(acme, "manager", request)["status"] == "approved"


def test_votes_that_race_settle_once(acme: World) -> None:
    approvers = [acme.email("manager"), acme.email("viewer"), acme.email("admin")]
    steps = [{"step": 1, "approvers": approvers, "require": "any"}]
    request = submit(acme, process(acme, steps=steps), deal(acme))
    clients = [acme.client(role) for role in ("manager", "viewer", "admin")]
    answers, gate = [], threading.Barrier(3)

    def work(client: Any) -> None:
        try:
            gate.wait()
            answers.append(
                client.post(f"/api/v1/{BASE}{request['id']}/approve/", {"comment": ""}).status_code
            )
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409]
    assert kinds(acme, request).count("request_approved") == 1


STEP_APPROVERS = st.lists(
    st.sampled_from(["manager", "admin", "viewer", "sales"]), min_size=1, max_size=3, unique=True
)
STEPS = st.lists(
    st.tuples(
        STEP_APPROVERS,
        st.sampled_from(["sequential", "parallel"]),
        st.sampled_from(["all", "any", "majority"]),
        # Whether the step's condition holds of a deal of 1,000; none: there is no condition.
        st.sampled_from([None, True, False]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_what_the_simulation_says_is_what_happens(acme: World, steps: list[Any]) -> None:
    name = f"Random {uuid4()}"
    documents: list[dict[str, Any]] = []
    for number, (roles, kind, require, holds) in enumerate(steps, 1):
        step = {
            "step": number,
            "type": kind,
            "approvers": [acme.email(role) for role in roles],
            "require": require,
        }
        if holds is not None:
            step["condition"] = {"field": "amount", "operator": "gte" if holds else "lt", "value": 500}
        documents.append(step)
    made, record = process(acme, name=name, steps=documents), deal(acme)
    path = f"workflow/approval-processes/{made}/simulate/"
    foreseen = post(acme.client("sales"), path, {"entity_id": record})["steps"]
    body = {"process": made, "entity_type": "deal", "entity_id": record}
    answer = acme.client("sales").post(f"/api/v1/{BASE}", body)
    faced = [item for item in foreseen if not item["skipped"]]
    if faced and faced[0]["error_code"]:
        assert (answer.status_code, answer.json()["code"]) == (422, faced[0]["error_code"])
        return
    assert answer.status_code == 201, answer.content
    by_id = {str(person): role for role, person in acme.users.items()}
    request, refused = answer.json(), ""
    while answer.status_code < 400 and request["status"] == "pending":
        # Everybody agrees, one after the other.
        task = next(item for item in request["tasks"] if item["status"] == "open")
        answer = acme.client(by_id[task["approver"]]).post(f"/api/v1/{BASE}{request['id']}/approve/", {})
        refused = "" if answer.status_code == 200 else answer.json()["code"]
        request = request if refused else answer.json()
    would_refuse = [item["error_code"] for item in foreseen if item["error_code"]]
    assert would_refuse == ([refused] if refused else [])
    asked: dict[int, list[str]] = {}
    for task in request["tasks"]:
        asked.setdefault(task["step"], []).append(task["approver"])
    assert asked == {
        item["step"]: [one["person"] for one in item["approvers"]] for item in faced if not item["error_code"]
    }
