"""Conditions over real entities, as their views show them."""

import json

import pytest
from django.utils import timezone

from core.access import view
from core.conditions import compile_condition, parse_params
from core.kernel.errors import Invalid
from tests.core.conditions.conftest import leaf


def emails(records, condition):
    return sorted(records.filter(condition.to_q(now=timezone.now())).values_list("email", flat=True))


class TestOverPeople:
    def test_a_relation_leads_to_another_entity(self, acme, globex):
        with acme.acting() as actor:
            people = view("user", actor)
            condition = compile_condition(leaf("role.name", "startswith", "s"), people)
            assert emails(people.records(), condition) == ["sales@acme.test"]

    def test_two_relations_follow_each_other(self, acme, globex):
        with acme.acting() as actor:
            people = view("user", actor)
            condition = parse_params([("manager.manager.email", "admin@acme.test")], people)
            assert emails(people.records(), condition) == ["sales@acme.test"]

    def test_another_company_is_never_reached(self, acme, globex):
        with acme.acting() as actor:
            people = view("user", actor)
            for document in (
                leaf("email", "contains", "globex"),
                leaf("manager.email", "contains", "globex"),
                leaf("manager", "eq", str(globex.users["admin"])),
            ):
                assert emails(people.records(), compile_condition(document, people)) == []

    def test_an_internal_column_is_no_field(self, acme):
        with acme.acting() as actor, pytest.raises(Invalid):
            compile_condition(leaf("membership_id", "is_not_null"), view("user", actor))

    def test_a_document_of_the_view_can_be_asked_in_memory(self, acme):
        with acme.acting() as actor:
            people = view("user", actor)
            condition = compile_condition(
                {"and": [leaf("role.name", "eq", "sales"), leaf("created_at", "eq", "today")]},
                people,
                zone=timezone.get_default_timezone(),
            )
            documents = people.output(expand=condition.relations).texts(people.records())
            matching = [
                record["email"]
                for record in map(json.loads, documents)
                if condition.matches(record, now=timezone.now())
            ]
            assert matching == emails(people.records(), condition) == ["sales@acme.test"]


class TestThroughTheApi:
    def test_a_list_is_filtered(self, acme):
        answer = acme.client().get("/api/v1/users/?role.name__in=sales,viewer&email__contains=SALES")
        assert [user["email"] for user in answer.json()["results"]] == ["sales@acme.test"]

    def test_an_unknown_filter_is_named(self, acme):
        answer = acme.client().get("/api/v1/users/?membership_id=1&is_active=perhaps")
        assert answer.status_code == 400
        assert {(fault["path"], fault["code"]) for fault in answer.json()["errors"]} == {
            ("membership_id", "unknown_filter"),
            ("is_active", "not_a_boolean"),
        }
