"""Rules put records into territories: when they come, when they change, and all at once when somebody asks for it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from core.changes import stream
from core.jobs.models import Job
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from territories.consumers import CONSUMER
from territories.models import TerritoryAssignment
from tests.worlds import World, make_world

ACCOUNTS, TERRITORIES, REASSIGN = "/api/v1/accounts/", "/api/v1/territories/", "/api/v1/territories/reassign/"


@pytest.fixture
def acme(transactional_db: None) -> World:
    made = make_world("acme")
    stream.run_consumer(CONSUMER, most_batches=1_000)
    return made


@pytest.fixture
def globex(acme: World) -> World:
    return make_world("globex")


def rule(world: World, territory: Any, field: str, value: Any, **more: Any) -> dict[str, Any]:
    body = {
        "name": f"{field} {value}",
        "entity_type": "account",
        "condition": {"field": field, "operator": "eq", "value": value},
        **more,
    }
    answer = world.client().post(f"{TERRITORIES}{territory['id']}/rules/", body)
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    return document


def account(world: World, **fields: Any) -> dict[str, Any]:
    answer = world.client().post(ACCOUNTS, {"name": "Northwind", **fields})
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    return document


def where(world: World, record: dict[str, Any]) -> Any:
    return world.client().get(f"{ACCOUNTS}{record['id']}/").json()["territory"]


def do_jobs() -> None:
    with system_context("jobs of a test"), unit_of_work():
        due = list(Job.objects.filter(state="open", kind="territories.reassign").values_list("pk", flat=True))
    for job_id in due:
        assert run_job(job_id)


@pytest.fixture
def read_stream() -> Callable[[], Any]:
    return lambda: stream.run_consumer(CONSUMER)


class TestRules:
    def test_decide_by_priority_then_by_depth(
        self, acme: World, globex: World, make_territory: Any, read_stream: Any
    ) -> None:
        world = make_territory("World")
        germany = make_territory("Germany", world)
        energy = make_territory("Energy")
        rule(acme, world, "billing_country", "DE", priority=50)
        rule(acme, germany, "billing_country", "DE", priority=50)
        rule(acme, energy, "industry", "energy", priority=10)
        plain, first, none = (
            account(acme, billing_country="DE"),
            account(acme, billing_country="DE", industry="energy"),
            account(acme, billing_country="FR"),
        )
        theirs = account(globex, billing_country="DE")
        read_stream()
        assert where(acme, plain) == germany["id"], "the deeper of two"
        assert where(acme, first) == energy["id"], "the lower number first"
        assert where(acme, none) is None
        assert where(globex, theirs) is None
        acme.client().patch(f"{ACCOUNTS}{none['id']}/", {"billing_country": "DE"})
        read_stream()
        assert where(acme, none) == germany["id"], "a change asks the rules again"
        history = acme.client().get(f"{TERRITORIES}assignments/?record_id={none['id']}").json()["results"]
        assert [(row["territory"], row["reason"]) for row in history] == [(germany["id"], "rule")]

    def test_leave_what_is_pinned(self, acme: World, make_territory: Any, read_stream: Any) -> None:
        germany, named = make_territory("Germany"), make_territory("Named")
        rule(acme, germany, "billing_country", "DE")
        mine = account(acme, billing_country="DE", territory=named["id"])
        assert mine["territory_pinned"], "set by hand"
        free = account(acme, billing_country="DE", territory=named["id"], territory_pinned=False)
        read_stream()
        assert (where(acme, mine), where(acme, free)) == (named["id"], germany["id"])
        acme.client().patch(f"{ACCOUNTS}{mine['id']}/", {"territory_pinned": False, "industry": "energy"})
        read_stream()
        assert where(acme, mine) == germany["id"]
        acme.client().patch(f"{ACCOUNTS}{mine['id']}/", {"territory": named["id"]})
        read_stream()
        assert where(acme, mine) == named["id"]
        history = acme.client().get(f"{TERRITORIES}assignments/?record_id={mine['id']}").json()["results"]
        assert [row["reason"] for row in history] == ["manual", "rule"]

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"entity_type": "product"}, "entity_type"),
            ({"condition": {"field": "nope", "operator": "eq", "value": 1}}, "condition.field"),
            ({"condition": "DE"}, "condition"),
            ({"owner_choice": "nobody"}, "owner_choice"),
        ],
    )
    def test_that_cannot_work_are_refused(
        self, acme: World, make_territory: Any, changes: dict[str, Any], path: str
    ) -> None:
        here = make_territory("Here")
        condition = {"field": "billing_country", "operator": "eq", "value": "DE"}
        body = {"name": "R", "entity_type": "account", "condition": condition, **changes}
        answer = acme.client().post(f"{TERRITORIES}{here['id']}/rules/", body)
        assert answer.status_code == 400, answer.content
        assert path in {fault["path"] for fault in answer.json()["errors"]}
        kept = rule(acme, here, "billing_country", "DE")
        if "condition" in changes:
            answer = acme.client().patch(f"/api/v1/territory-rules/{kept['id']}/", changes)
            assert answer.status_code == 400, answer.content

    def test_are_for_those_who_manage_territories(self, acme: World, make_territory: Any) -> None:
        here = make_territory("Here")
        body = {"name": "R", "entity_type": "account", "condition": {"field": "name", "operator": "is_null"}}
        for role in ("manager", "sales", "viewer"):
            client = acme.client(role)
            assert client.post(f"{TERRITORIES}{here['id']}/rules/", body).status_code == 403
            assert client.post(REASSIGN, {}).status_code == 403
            assert client.get(f"{TERRITORIES}{here['id']}/hierarchy/").status_code == 200


class TestOwners:
    @pytest.mark.parametrize("choice", ["round_robin", "least_loaded"])
    def test_come_in_turn(self, acme: World, make_territory: Any, read_stream: Any, choice: str) -> None:
        here = make_territory("Here")
        for role in ("sales", "manager", "viewer"):
            member = {"user": str(acme.users[role]), "role": "viewer" if role == "viewer" else "member"}
            acme.client().post(f"{TERRITORIES}{here['id']}/members/", member)
        rule(acme, here, "billing_country", "DE", owner_choice=choice)
        made = [account(acme, billing_country="DE") for _ in range(7)]
        read_stream()
        made += [account(acme, billing_country="DE") for _ in range(6)]
        read_stream()
        owners = Counter(acme.client().get(f"{ACCOUNTS}{one['id']}/").json()["owner"] for one in made)
        assert set(owners) == {str(acme.users["sales"]), str(acme.users["manager"])}, "viewers get nothing"
        assert max(owners.values()) - min(owners.values()) <= 1

    def test_are_the_manager_or_stay(self, acme: World, make_territory: Any, read_stream: Any) -> None:
        north = make_territory("North", manager=str(acme.users["manager"]))
        south = make_territory("South", manager=str(acme.users["manager"]))
        rule(acme, north, "billing_country", "DE", owner_choice="manager")
        rule(acme, south, "billing_country", "IT")
        one, two = account(acme, billing_country="DE"), account(acme, billing_country="IT")
        read_stream()
        seen = [acme.client().get(f"{ACCOUNTS}{item['id']}/").json()["owner"] for item in (one, two)]
        assert seen == [str(acme.users["manager"]), str(acme.users["admin"])]


class TestConversion:
    def test_stays_where_the_lead_was(self, acme: World, make_territory: Any) -> None:
        here, api = make_territory("Here"), acme.client()
        body = {"last_name": "Okafor", "company_name": "Okafor Ltd", "territory": here["id"]}
        lead = api.post("/api/v1/leads/", body).json()
        made = api.post(f"/api/v1/leads/{lead['id']}/convert/", {}).json()
        for kind in ("account", "contact", "deal"):
            record = api.get(f"/api/v1/{kind}s/{made[kind]}/").json()
            assert (record["territory"], record["territory_pinned"]) == (here["id"], True), kind


class TestReassignment:
    def test_is_previewed_and_then_done(self, acme: World, make_territory: Any, read_stream: Any) -> None:
        germany, italy = make_territory("Germany"), make_territory("Italy")
        made = [account(acme, billing_country=code) for code in ("DE", "DE", "IT", "FR")]
        read_stream()
        of_germany = rule(acme, germany, "billing_country", "DE")
        rule(acme, italy, "billing_country", "IT")
        preview = acme.client().post(REASSIGN, {}).json()
        assert (preview["moved"], preview["unchanged"], preview["unmatched"]) == (3, 0, 1)
        assert preview["moves"][0] == {
            "entity_type": "account",
            "from_territory": None,
            "to_territory": germany["id"],
            "rule": of_germany["id"],
            "count": 2,
        }
        assert [where(acme, one) for one in made] == [None] * 4, "a preview writes nothing"
        answer = acme.client().post(REASSIGN, {"preview": False, "entity_types": ["account"]})
        assert answer.status_code == 202, answer.content
        do_jobs()
        assert [where(acme, one) for one in made] == [germany["id"], germany["id"], italy["id"], None]
        job = acme.client().get(answer["Location"].partition("testserver")[2]).json()
        assert job["outcome"]["text"] == "3 of 4 records moved."
        again = acme.client().post(REASSIGN, {"territory": germany["id"]}).json()
        assert (again["moved"], again["unchanged"]) == (0, 2)
        with acme.acting():
            assert set(TerritoryAssignment.objects.values_list("reason", flat=True)) == {"reassignment"}

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({"entity_types": ["product"]}, "entity_types.0"),
            ({"territory": "01977c3e-5f5a-7c3a-9d6e-0d5c5b1f2a11"}, "territory"),
            ({"preview": "maybe"}, "preview"),
            ({"everything": True}, "everything"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, acme: World, body: dict[str, Any], path: str) -> None:
        answer = acme.client().post(REASSIGN, body)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, path)


class TestExplaining:
    def test_says_which_rule_decides_and_why_not_the_others(
        self, acme: World, make_territory: Any, read_stream: Any
    ) -> None:
        germany, energy = make_territory("Germany"), make_territory("Energy")
        rule(acme, germany, "billing_country", "DE", priority=20)
        rule(acme, energy, "industry", "energy", priority=10)
        one = account(acme, billing_country="DE", industry="retail")
        answer = (
            acme.client()
            .post(f"{TERRITORIES}explain/", {"entity_type": "account", "record_id": one["id"]})
            .json()
        )
        assert answer["to_territory"] == germany["id"]
        assert [(item["holds"], item["decides"]) for item in answer["rules"]] == [
            (False, False),
            (True, True),
        ]
        assert answer["rules"][0]["explanation"] == {
            "holds": False,
            "field": "industry",
            "operator": "eq",
            "actual": "retail",
        }

    def test_equals_what_is_done(self, acme: World, make_territory: Any, read_stream: Any) -> None:
        chance = random.Random(7)
        places = [make_territory(f"T{number}") for number in range(6)]
        for number in range(12):
            field, value = chance.choice(
                [
                    ("billing_country", chance.choice(["DE", "IT"])),
                    ("industry", chance.choice(["energy", "retail"])),
                ]
            )
            rule(acme, chance.choice(places), field, value, priority=chance.randrange(4), name=f"R{number}")
        made = [
            account(
                acme,
                billing_country=chance.choice(["DE", "IT", "FR"]),
                industry=chance.choice(["energy", "", "x"]),
            )
            for _ in range(25)
        ]
        told = {}
        for one in made:
            body = {"entity_type": "account", "record_id": one["id"]}
            told[one["id"]] = acme.client().post(f"{TERRITORIES}explain/", body).json()["to_territory"]
        read_stream()
        assert {one["id"]: where(acme, one) for one in made} == told
        assert any(told.values())


class TestRemoval:
    def test_needs_to_know_where_what_is_below_goes(self, acme: World, make_territory: Any) -> None:
        root, other = make_territory("Root"), make_territory("Other")
        middle = make_territory("Middle", root)
        child = make_territory("Child", middle)
        record = account(acme, territory=middle["id"])
        binned = account(acme, territory=middle["id"])
        acme.client().delete(f"{ACCOUNTS}{binned['id']}/")
        one = f"{TERRITORIES}{middle['id']}/"
        refused = acme.client().delete(one)
        assert refused.status_code == 409, refused.content
        below = acme.client().delete(f"{one}?reparent_to={child['id']}")
        assert (below.status_code, below.json()["errors"][0]["path"]) == (400, "reparent_to")
        assert acme.client("sales").delete(f"{one}?reparent_to={other['id']}").status_code == 403
        gone = acme.client().delete(f"{one}?reparent_to={other['id']}")
        assert gone.status_code == 204, gone.content
        assert acme.client().get(f"{TERRITORIES}{child['id']}/").json()["hierarchy_path"] == "/other/child/"
        assert where(acme, record) == other["id"]
        acme.client().post(f"{ACCOUNTS}{binned['id']}/restore/")
        assert where(acme, binned) == other["id"]
        assert acme.client().delete(f"{TERRITORIES}{root['id']}/").status_code == 204


class TestMetrics:
    def test_add_up_and_leave_out_whole_branches(self, acme: World, make_territory: Any) -> None:
        root = make_territory("Root")
        left, right = make_territory("Left", root), make_territory("Right", root, rollup_metrics=False)
        leaf, hidden = make_territory("Leaf", left), make_territory("Hidden", right)
        currency = acme.client().get("/api/v1/company/").json()["default_currency"]
        other = "JPY" if currency != "JPY" else "EUR"
        for place, amount, money in (
            (root, "10.00", currency),
            (left, "20.00", currency),
            (leaf, "40.00", currency),
            (leaf, "5000.00", other),
            (right, "80.00", currency),
            (hidden, "160.00", currency),
        ):
            deal = {"name": "D", "close_date": "2026-12-24", "amount": amount, "currency": money}
            made = acme.client().post("/api/v1/deals/", {**deal, "territory": place["id"]})
            assert made.status_code == 201, made.content
        figures = acme.client().get(f"{TERRITORIES}{root['id']}/metrics/?rollup=true").json()
        assert (figures["metrics"]["open_deals"], figures["metrics"]["pipeline_amount"]) == (4, "70.00")
        own = acme.client().get(f"{TERRITORIES}{root['id']}/metrics/").json()["metrics"]
        assert (own["open_deals"], own["pipeline_amount"], own["conversion_rate"]) == (1, "10.00", None)
        tree = acme.client().get(f"{TERRITORIES}tree/?metrics=true").json()
        assert tree["currency"] == currency
        [top] = tree["roots"]
        assert top["rolled_up"]["pipeline_amount"] == "70.00"
        by_code = {node["code"]: node for node in top["children"]}
        assert by_code["Right"]["rolled_up"]["pipeline_amount"] == "240.00", "by itself it has all of it"
        assert by_code["Left"]["children"][0]["own"]["open_deals"] == 2
        shallow = acme.client().get(f"{TERRITORIES}tree/?root={left['id']}&depth=0").json()["roots"]
        assert [(node["code"], node["children"]) for node in shallow] == [("Left", [])]

    def test_count_what_the_viewer_sees(self, acme: World, make_territory: Any) -> None:
        here = make_territory("Here")
        for owner in ("admin", "sales"):
            account(acme, territory=here["id"], owner=str(acme.users[owner]))
        found = {
            role: acme.client(role).get(f"{TERRITORIES}{here['id']}/metrics/").json()["metrics"]["accounts"]
            for role in ("admin", "sales", "viewer")
        }
        assert found == {"admin": 2, "sales": 1, "viewer": 2}

    def test_hierarchy_parents_and_children(self, acme: World, globex: World, make_territory: Any) -> None:
        root = make_territory("Root")
        middle = make_territory("Middle", root)
        leaf = make_territory("Leaf", middle)
        api = acme.client()
        shown = api.get(f"{TERRITORIES}{middle['id']}/hierarchy/").json()
        assert [item["code"] for item in shown["ancestors"]] == ["Root"]
        assert [child["code"] for child in shown["territory"]["children"]] == ["Leaf"]
        assert [one["code"] for one in api.get(f"{TERRITORIES}{leaf['id']}/parents/").json()["results"]] == [
            "Root",
            "Middle",
        ]
        children = api.get(f"{TERRITORIES}{root['id']}/children/").json()["results"]
        assert [one["code"] for one in children] == ["Middle"]
        assert [one["code"] for one in api.get(TERRITORIES).json()["results"]] == ["Root", "Middle", "Leaf"]
        moved = api.post(f"{TERRITORIES}{leaf['id']}/move/", {"parent_territory": root["id"]})
        assert moved.json()["hierarchy_path"] == "/root/leaf/"
        assert api.post(f"{TERRITORIES}{leaf['id']}/move/", {}).json()["hierarchy_path"] == "/leaf/"
        for tail in ("hierarchy", "parents", "metrics", "children"):
            assert globex.client().get(f"{TERRITORIES}{root['id']}/{tail}/").status_code == 404

    @pytest.mark.parametrize(
        ("query", "path"),
        [("period=soon", "period"), ("depth=-1", "depth"), ("root=x", "root"), ("metrics=1", "metrics")],
    )
    def test_refuse_what_they_do_not_know(self, acme: World, query: str, path: str) -> None:
        answer = acme.client().get(f"{TERRITORIES}tree/?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, path)


def test_records_take_a_territory_by_code_in_imports(acme: World, make_territory: Any) -> None:
    here = make_territory("Here", code="HERE")
    assert UUID(here["id"])
    found = acme.client().get(f"{ACCOUNTS}?territory.code=HERE").json()
    assert found["count"] == 0
    one = account(acme, territory=here["id"])
    shown = acme.client().get(f"{ACCOUNTS}?territory.code=HERE&expand=territory").json()["results"]
    assert [(row["id"], row["territory_detail"]["code"]) for row in shown] == [(one["id"], "HERE")]
