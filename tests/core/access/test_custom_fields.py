"""A field that a provider adds for one company is a field like any other there, and none in other companies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from core.access import view
from core.conditions import compile_condition
from core.entities.custom import custom_field
from core.entities.kinds import Kind
from tests.seams.access.extensions import company_fields
from tests.worlds import World

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plugs")]

CONTACTS = "/api/v1/contacts/"


@pytest.fixture
def extended(acme: World, globex: World) -> World:
    company_fields.add(
        acme.company.pk,
        "contact",
        custom_field("grade", Kind.INTEGER, minimum=0),
        custom_field("budget", Kind.MONEY),
        custom_field("since", Kind.DATE),
        custom_field("seen_at", Kind.DATETIME),
        custom_field("level", Kind.CHOICE, choices=(("gold", "Gold"), ("tin", "Tin")), default="tin"),
        custom_field("badge", Kind.TEXT, search="A", identifies=True),
        custom_field("likes", Kind.TAGS),
        custom_field("sponsor", Kind.RELATION, to="account"),
    )
    return acme


VALUES = {
    "grade": 7,
    "budget": "1200.50",
    "since": "2026-02-28",
    "seen_at": "2026-03-01T10:00:00Z",
    "level": "gold",
    "badge": "XK-9041",
    "likes": ["tea", "chess"],
    "sponsor": None,
}


def made(world: World, name: str = "Ada", **custom: Any) -> dict[str, Any]:
    body = {"last_name": name, "custom_fields": custom}
    answer = world.client().post(CONTACTS, body)
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    return document


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [item["last_name"] for item in answer.json()["results"]]


def faults(answer: Any) -> set[tuple[str, str]]:
    return {(fault["path"], fault["code"]) for fault in answer.json()["errors"]}


class TestWriting:
    def test_a_record_keeps_what_was_sent_with_its_kind(self, extended: World) -> None:
        document = made(extended, **VALUES)
        assert document["custom_fields"] == VALUES
        again = extended.client().get(f"{CONTACTS}{document['id']}/").json()
        assert again["custom_fields"] == VALUES

    def test_a_default_is_set_when_nothing_is_sent(self, extended: World) -> None:
        assert made(extended)["custom_fields"]["level"] == "tin"

    def test_a_change_keeps_the_keys_it_does_not_name_and_null_removes_one(self, extended: World) -> None:
        client = extended.client()
        path = f"{CONTACTS}{made(extended, **VALUES)['id']}/"
        answer = client.patch(path, {"custom_fields": {"grade": 8, "badge": None}})
        assert answer.json()["custom_fields"] == {**VALUES, "grade": 8, "badge": None}
        # The same again changes nothing.
        assert client.patch(path, {"custom_fields": {"badge": None}}).json()["version"] == 2

    def test_put_replaces_all(self, extended: World) -> None:
        path = f"{CONTACTS}{made(extended, **VALUES)['id']}/"
        answer = extended.client().put(path, {"last_name": "Ada", "custom_fields": {"grade": 1}})
        blank = dict.fromkeys(VALUES)
        assert answer.json()["custom_fields"] == {**blank, "grade": 1, "level": "tin"}

    def test_bulk_takes_them(self, extended: World) -> None:
        first = made(extended, **VALUES)
        rows = [
            {"op": "create", "last_name": "New", "custom_fields": {"grade": 3}},
            {"op": "update", "id": first["id"], "custom_fields": {"grade": 4}},
            {"op": "create", "last_name": "Plain"},
            {"op": "create", "last_name": "Bad", "custom_fields": {"grade": "x"}},
        ]
        answer = extended.client().post(f"{CONTACTS}bulk/", {"operations": rows}).json()
        assert [item["status"] for item in answer["results"]] == [201, 200, 201, 400]
        found = extended.client().get(f"{CONTACTS}?custom_fields.grade__in=3,4&ordering=custom_fields.grade")
        assert names(found) == ["New", "Ada"]
        kept = extended.client().get(f"{CONTACTS}{first['id']}/").json()["custom_fields"]
        assert kept == {**VALUES, "grade": 4}

    def test_what_does_not_fit_is_named(self, extended: World, globex: World) -> None:
        with globex.acting():
            pass
        custom = {
            "grade": -1,
            "since": "soon",
            "level": "iron",
            "nothing": 1,
            "sponsor": str(globex.company.pk),
        }
        answer = extended.client().post(CONTACTS, {"last_name": "Ada", "custom_fields": custom})
        assert answer.status_code == 400
        assert faults(answer) == {
            ("custom_fields.grade", "too_small"),
            ("custom_fields.since", "not_a_date"),
            ("custom_fields.level", "not_a_choice"),
            ("custom_fields.nothing", "unknown_field"),
        }
        flat = extended.client().post(CONTACTS, {"last_name": "Ada", "custom_fields.grade": 1})
        assert faults(flat) == {("custom_fields.grade", "unknown_field")}

    def test_a_reference_leads_to_a_record_that_is_there(self, extended: World) -> None:
        custom = {"sponsor": str(extended.company.pk)}
        answer = extended.client().post(CONTACTS, {"last_name": "Ada", "custom_fields": custom})
        assert faults(answer) == {("custom_fields.sponsor", "does_not_exist")}


class TestReading:
    @pytest.fixture
    def three(self, extended: World) -> World:
        made(extended, "Low", grade=1, badge="alpha-1", likes=["tea"], since="2026-01-01")
        made(extended, "High", grade=9, badge="beta-2", level="gold", budget="10.00")
        made(extended, "None")
        return extended

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("custom_fields.grade__gte=5", {"High"}),
            ("custom_fields.grade__isnull=true", {"None"}),
            ("custom_fields.grade__ne=1", {"High", "None"}),
            ("custom_fields.level=gold", {"High"}),
            ("custom_fields.badge__contains=ALPHA", {"Low"}),
            ("custom_fields.likes__contains=tea", {"Low"}),
            ("custom_fields.since__lt=2026-01-02", {"Low"}),
            ("custom_fields.budget=10", {"High"}),
            ("search=beta", {"High"}),
            ("search=High+beta", {"High"}),
            ("search=Low", {"Low"}),
        ],
    )
    def test_lists_are_filtered_and_searched(self, three: World, query: str, found: set[str]) -> None:
        assert set(names(three.client().get(f"{CONTACTS}?{query}"))) == found

    def test_lists_are_ordered_page_by_page(self, three: World) -> None:
        client, url, walked = (
            three.client(),
            f"{CONTACTS}?ordering=-custom_fields.grade&cursor=&page_size=1",
            [],
        )
        while url:
            page = client.get(url).json()
            walked += [item["last_name"] for item in page["results"]]
            url = page["next"]
        # Nulls count as larger than everything.
        assert walked == ["None", "High", "Low"]
        assert names(client.get(f"{CONTACTS}?ordering=custom_fields.grade")) == ["Low", "High", "None"]

    def test_fields_are_chosen_and_expanded(self, three: World) -> None:
        client = three.client()
        account = client.post("/api/v1/accounts/", {"name": "Contoso"}).json()["id"]
        made(three, "With", sponsor=account)
        chosen = client.get(f"{CONTACTS}?last_name=High&fields=custom_fields.grade,id").json()["results"]
        assert [list(item) for item in chosen] == [["id", "custom_fields"]]
        assert chosen[0]["custom_fields"] == {"grade": 9}
        whole = client.get(f"{CONTACTS}?last_name=High&fields=custom_fields").json()["results"][0]
        assert set(whole["custom_fields"]) == set(VALUES)
        url = f"{CONTACTS}?last_name=With&fields=custom_fields.sponsor&expand=custom_fields.sponsor"
        expanded = client.get(url).json()["results"][0]["custom_fields"]
        assert expanded["sponsor_detail"]["name"] == "Contoso"

    def test_a_condition_means_the_same_in_both_back_ends(self, three: World) -> None:
        with three.acting() as actor:
            contacts = view("contact", actor)
            document = {
                "or": [
                    {"field": "custom_fields.grade", "operator": "lt", "value": 5},
                    {"field": "custom_fields.budget", "operator": "gte", "value": "10"},
                ]
            }
            condition = compile_condition(document, contacts)
            now = timezone.now()
            every = [json.loads(text) for text in contacts.output().texts(contacts.records())]
            matching = {item["last_name"] for item in every if condition.matches(item, now=now)}
            selected = contacts.records().filter(condition.to_q(now=now)).values_list("last_name", flat=True)
            assert matching == set(selected) == {"Low", "High"}

    def test_metadata_describe_them(self, extended: World) -> None:
        fields = extended.client().get("/api/v1/metadata/entities/contact/fields/").json()["results"]
        found = {field["name"]: field for field in fields if field["name"].startswith("custom_fields.")}
        assert set(found) == {f"custom_fields.{key}" for key in VALUES}
        assert found["custom_fields.level"]["choices"][0]["value"] == "gold"
        assert found["custom_fields.grade"]["mode"] == "edit"

    def test_a_value_that_does_not_fit_its_kind_reads_as_nothing(self, extended: World) -> None:
        document = made(extended, grade=7)
        with extended.acting() as actor:
            view("contact", actor).records().filter(pk=document["id"]).update(
                custom_fields={"grade": "seven"}
            )
        answer = extended.client().get(f"{CONTACTS}?custom_fields.grade__isnull=true").json()["results"]
        assert [item["custom_fields"]["grade"] for item in answer] == [None]


class TestOtherCompanies:
    def test_have_no_such_field(self, extended: World, globex: World) -> None:
        client = globex.client()
        document = client.post(CONTACTS, {"last_name": "Eve"}).json()
        assert "custom_fields" not in document
        assert client.get(f"{CONTACTS}?custom_fields.grade=1").status_code == 400
        assert client.get(f"{CONTACTS}?ordering=custom_fields.grade").status_code == 400
        answer = client.post(CONTACTS, {"last_name": "Eve", "custom_fields": {"grade": 1}})
        assert faults(answer) == {("custom_fields.grade", "unknown_field")}
        kinds = client.get("/api/v1/metadata/entities/contact/fields/").content
        assert b"custom_fields" not in kinds
