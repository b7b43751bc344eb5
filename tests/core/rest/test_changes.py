"""The feed of changes: everything that happened to what one sees, once, in the order of commit."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.access import view
from core.access.writing import write
from tests.worlds import World

FEED = "/api/v1/changes/"
ACCOUNTS = "/api/v1/accounts/"


def read(world: World, role: str = "admin", **asked: Any) -> dict[str, Any]:
    answer = world.client(role).get(FEED, asked)
    assert answer.status_code == 200, answer.content
    document: dict[str, Any] = answer.json()
    return document


def told(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["change"], entry["id"]) for entry in document["results"]]


@pytest.mark.django_db(transaction=True)
class TestFeed:
    def test_tells_each_change_once_and_ends_where_it_goes_on(self, acme: World, globex: World) -> None:
        start = read(acme, after="now")
        assert start["results"] == []
        api = acme.client()
        made = api.post(ACCOUNTS, {"name": "Northwind"}).json()
        globex.client().post(ACCOUNTS, {"name": "Elsewhere"})
        api.patch(f"{ACCOUNTS}{made['id']}/", {"industry": "energy", "owner": str(acme.users["sales"])})
        api.delete(f"{ACCOUNTS}{made['id']}/")
        first = read(acme, after=start["after"], limit=2, record=1)
        assert told(first) == [("created", made["id"]), ("updated", made["id"])]
        assert first["results"][1]["changed_fields"] == ["industry", "owner"]
        assert first["has_more"]
        assert first["results"][0]["record"] is None, "it is in the recycle bin by now"
        api.post(f"{ACCOUNTS}{made['id']}/restore/")
        second = read(acme, after=first["after"], record=1)
        assert told(second) == [("deleted", made["id"]), ("restored", made["id"])]
        assert second["results"][1]["record"]["industry"] == "energy"
        assert second["results"][1]["version"] == second["results"][1]["record"]["version"]
        assert not second["has_more"]
        assert told(read(acme, after=second["after"])) == []

    def test_passes_over_nothing_that_commits_late(self, acme: World) -> None:
        start, begun, go_on = read(acme, after="now"), threading.Event(), threading.Event()
        late: list[str] = []

        def slow() -> None:
            with acme.acting() as actor:
                outcome = write(view("account", actor), "create", [{"name": "Late"}], now=timezone.now())
                late.append(str(outcome.one))
                begun.set()
                go_on.wait(20)
            connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert begun.wait(20)
        early = acme.client().post(ACCOUNTS, {"name": "Early"}).json()["id"]
        during = read(acme, after=start["after"])
        go_on.set()
        thread.join()
        after = read(acme, after=during["after"])
        assert sorted(told(during) + told(after)) == sorted([("created", early), ("created", late[0])])

    def test_tells_what_one_sees_and_of_it_what_one_may(self, acme: World) -> None:
        start = read(acme, after="now")
        api = acme.client()
        theirs = api.post(ACCOUNTS, {"name": "Ours", "owner": str(acme.users["sales"])}).json()["id"]
        other = api.post(ACCOUNTS, {"name": "Other", "owner": str(acme.users["viewer"])}).json()["id"]
        api.delete(f"{ACCOUNTS}{theirs}/")
        api.delete(f"{ACCOUNTS}{other}/")
        seen = told(read(acme, "sales", after=start["after"], entity="account"))
        assert seen == [("created", theirs), ("deleted", theirs)]
        assert len(told(read(acme, after=start["after"], entity="account"))) == 4

    def test_tells_of_lines_that_are_gone_for_good_whoever_saw_their_deal(self, acme: World) -> None:
        api = acme.client()
        product = api.post("/api/v1/products/", {"name": "Seat", "unit_price": "10.00"}).json()["id"]
        lines = []
        for role in ("sales", "viewer"):
            deal = {"name": role, "close_date": "2026-12-24", "owner": str(acme.users[role])}
            deal_id = api.post("/api/v1/deals/", deal).json()["id"]
            line = api.post("/api/v1/deal-products/", {"deal": deal_id, "product": product, "quantity": 1})
            lines.append(line.json()["id"])
        start = read(acme, after="now")
        for line_id in lines:
            assert api.delete(f"/api/v1/deal-products/{line_id}/").status_code == 204
        of_lines = {"after": start["after"], "entity": "deal_product"}
        assert told(read(acme, "sales", **of_lines)) == [("deleted", lines[0])]
        assert told(read(acme, **of_lines)) == [("deleted", line_id) for line_id in lines]

    @pytest.mark.parametrize(
        ("asked", "path", "code"),
        [
            ({"after": "x"}, "after", "bad_cursor"),
            ({"entity": "account,unicorn"}, "entity", "not_a_choice"),
            ({"limit": "0"}, "limit", "not_an_integer"),
            ({"limit": "501"}, "limit", "too_large"),
            ({"record": "yes"}, "record", "not_a_choice"),
            ({"since": "1"}, "since", "unknown_parameter"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, acme: World, asked: Any, path: str, code: str) -> None:
        answer = acme.client().get(FEED, asked)
        assert answer.status_code == 400
        assert [(fault["path"], fault["code"]) for fault in answer.json()["errors"]] == [(path, code)]

    def test_takes_no_place_of_another_company(self, acme: World, globex: World) -> None:
        place = read(globex, after="now")["after"]
        assert acme.client().get(FEED, {"after": place}).status_code == 400
