"""Every declared action: its declaration fits its operation, its right and its answer hold on every channel."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from core.access import view
from core.access.actions import perform
from core.entities import ACTIONS, Action, entities
from core.entities.actions import parameter_of
from core.identity.rights import covers, is_permission
from core.kernel.errors import Forbidden, Invalid
from tests.conformance.operations import operations

PASSED = {"actor", "now", "expected_version"}


def every_action() -> Any:
    return pytest.mark.parametrize("action", list(ACTIONS), ids=lambda action: action.key)


class TestActions:
    def test_are_found_at_all(self) -> None:
        assert {"lead.convert", "deal.win", "equipment.inspect"} <= set(ACTIONS.names())

    @every_action()
    def test_pass_their_operation_what_it_takes(self, action: Action) -> None:
        given = {parameter_of(field) for field in action.input} | PASSED | {f"{action.entity}_id"}
        for run in (action.run, action.dry_run):
            if run is None:
                continue
            parameters = inspect.signature(run).parameters
            takes_any = any(item.kind is item.VAR_KEYWORD for item in parameters.values())
            assert takes_any or given <= set(parameters), given - set(parameters)
            needed = {
                name
                for name, item in parameters.items()
                if item.default is item.empty and item.kind is item.KEYWORD_ONLY
            }
            always = PASSED | {f"{action.entity}_id"}
            always |= {parameter_of(field) for field in action.input if field.required}
            assert needed <= always, needed - always

    @every_action()
    def test_name_entities_that_exist(self, action: Action) -> None:
        assert action.entity in entities
        for field in (*action.input, *action.output):
            assert not field.is_relation or field.to in entities, field.name

    @every_action()
    def test_are_served(self, action: Action) -> None:
        path = f"POST /{entities[action.entity].path}/{{pk}}/{action.path}/"
        assert path in {operation.name for operation in operations()}

    @every_action()
    def test_have_a_permission_word_that_their_verb_includes(self, action: Action) -> None:
        assert is_permission(action.word)
        assert covers([f"{action.verb}:{action.entity}"], action.word)
        assert not covers(["read"], action.word)


class TestInspect:
    """One action that only the registries know of, from below HTTP."""

    @pytest.fixture
    def piece(self, acme: Any) -> Any:
        made = acme.client("admin").post("/api/v1/equipment/", {"name": "Van"})
        assert made.status_code == 201, made.content
        return made.json()["id"]

    def test_answers_over_http_what_it_declares(self, acme: Any, piece: str) -> None:
        client = acme.client("admin")
        url = f"/api/v1/equipment/{piece}/inspect/"
        tried = client.post(url, {"condition": "broken", "dry_run": True})
        assert tried.json() == {"equipment": piece, "is_working": False, "replacement": None}
        assert client.get(f"/api/v1/equipment/{piece}/").json()["condition"] == "working"
        assert client.post(url, {"condition": "broken"}).status_code == 200
        assert client.get(f"/api/v1/equipment/{piece}/").json()["condition"] == "broken"
        refused = client.post(url, {"condition": "broken"})
        assert (refused.status_code, refused.json()["code"]) == (409, "already_broken")

    def test_says_every_fault_at_once(self, acme: Any, piece: str) -> None:
        answer = acme.client("admin").post(
            f"/api/v1/equipment/{piece}/inspect/", {"replacement": "x", "nope": 1, "expected_version": 0}
        )
        assert {(fault["path"], fault["code"]) for fault in answer.json()["errors"]} == {
            ("condition", "required"),
            ("replacement", "not_an_id"),
            ("nope", "unknown_field"),
            ("expected_version", "too_small"),
        }

    def test_keeps_to_the_version_that_was_read(self, acme: Any, piece: str) -> None:
        client, url = acme.client("admin"), f"/api/v1/equipment/{piece}/inspect/"
        assert client.post(url, {"condition": "broken"}, HTTP_IF_MATCH='"7"').status_code == 412
        differing = client.post(url, {"condition": "broken", "expected_version": 1}, HTTP_IF_MATCH='"2"')
        assert (differing.status_code, differing.json()["code"]) == (400, "bad_if_match")

    def test_is_allowed_by_its_own_word_alone(self, acme: Any, piece: str) -> None:
        with acme.acting("admin") as actor:
            narrow = replace(
                actor, rights=replace(actor.rights, permissions=frozenset({"read", "inspect:equipment"}))
            )
            seen = view("equipment", narrow)
            done = perform(seen, "inspect", piece, {"condition": "working"}, now=timezone.now())
            assert str(done.record_id) == piece
            reader = replace(actor, rights=replace(actor.rights, permissions=frozenset({"read"})))
            with pytest.raises(Forbidden):
                perform(
                    view("equipment", reader), "inspect", piece, {"condition": "working"}, now=timezone.now()
                )

    def test_refuses_references_to_what_the_actor_does_not_see(
        self, acme: Any, globex: Any, piece: str
    ) -> None:
        theirs = globex.client("admin").post("/api/v1/equipment/", {"name": "Crane"}).json()["id"]
        with acme.acting("admin") as actor:
            narrow = replace(actor, rights=replace(actor.rights, record_scope="own"))
            document = {"condition": "working", "replacement": theirs}
            with pytest.raises(Invalid) as refusal:
                perform(view("equipment", narrow), "inspect", piece, document, now=timezone.now())
        assert [fault.code for fault in refusal.value.faults] == ["does_not_exist"]
