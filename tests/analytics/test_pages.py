"""Reports and dashboards in the back office."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from tests.worlds import PASSWORD, World

pytestmark = pytest.mark.django_db
BODY: dict[str, Any] = {
    "data_source": "deals",
    "pivot_rows": ["stage"],
    "pivot_columns": [{"field": "close_date", "bucket": "year"}],
    "pivot_values": [{"field": "amount", "aggregation": "sum"}, {"field": "count", "aggregation": "count"}],
    "chart_config": {"type": "bar"},
}


def office(world: World, role: str = "admin") -> Client:
    client = Client(raise_request_exception=False)
    client.post("/admin/login/", {"username": world.email(role), "password": PASSWORD, "next": "/admin/"})
    return client


def send(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/admin/reports/{path}/", json.dumps(body), content_type="application/json")


def saved(client: Client, **values: Any) -> str:
    answer = send(client, "save", {**BODY, "name": "Mine", **values})
    assert answer.status_code == 200, answer.content
    return str(answer.json()["url"])


def test_every_company_starts_with_reports_and_a_dashboard_that_can_be_shown(acme: World) -> None:
    client = office(acme)
    page = client.get("/admin/reports/").content.decode()
    links = set(re.findall(r"/admin/reports/[0-9a-f-]{36}/", page))
    assert len(links) == 10
    for link in links:
        shown = client.get(link)
        assert shown.status_code == 200
        state = json.loads(
            re.search(r'<script id="rp-state"[^>]*>(.*?)</script>', shown.content.decode(), re.S)[1]
        )  # type: ignore[index]
        answer = send(client, "preview", {**state["document"], "id": state["id"], "is_saved": True})
        assert answer.status_code == 200, answer.content
        assert "<table" in answer.json()["html"]
        assert answer.json()["chart"]["$schema"]
    [dashboard] = set(
        re.findall(r"/admin/dashboards/[0-9a-f-]{36}/", client.get("/admin/dashboards/").content.decode())
    )
    shown = client.get(dashboard).content.decode()
    assert shown.count("data-report-chart") == 6


def test_a_report_is_built_saved_and_leads_to_its_records(acme: World) -> None:
    client = office(acme)
    url = saved(client)
    report_id = url.split("/")[-2]
    answer = send(client, "preview", {**BODY, "id": report_id, "is_saved": True}).json()
    cells = re.findall(r'href="([^"]*/records/\?[^"]*)">([^<]*)</a>', answer["html"])
    assert cells
    total, shown = cells[-1]
    page = client.get(total.replace("&amp;", "&")).content.decode()
    assert shown == "60"
    assert "60 deals are behind this cell" in page
    assert client.get(total.split("?")[0] + "?row=nonsense").status_code == 302
    assert client.post(f"{url}file/", {"format": "pdf"}).headers["Location"].startswith("/admin/jobs/")


def test_what_is_wrong_is_said_and_nothing_is_kept(acme: World) -> None:
    client = office(acme)
    answer = send(client, "preview", {**BODY, "pivot_rows": ["tags"]})
    assert answer.status_code == 400
    assert "more than once" in answer.json()["problem"]
    answer = send(client, "save", {**BODY, "name": ""})
    assert answer.status_code == 400
    assert answer.json()["problem"]
    assert client.post("/admin/reports/preview/", "[", content_type="application/json").status_code == 400


def test_others_reports_are_not_there(rooms: Any) -> None:
    url = saved(office(rooms[0]))
    theirs = office(rooms[1])
    assert theirs.get(url).status_code == 404
    assert theirs.get(f"{url}records/").status_code == 404
    assert theirs.post(f"{url}file/", {"format": "pdf"}).status_code == 404
    answer = send(theirs, "save", {**BODY, "id": url.split("/")[-2], "name": "Stolen"})
    assert answer.status_code == 404
