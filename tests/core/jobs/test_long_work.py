"""An app's own long work and list, from the request to the outcome."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.jobs import JobCanceled
from core.jobs.operations import claim
from core.jobs.registry import job_kinds
from core.jobs.running import run_job
from core.kernel.transactions import savepoint, unit_of_work
from core.tenancy.context import company_context, system_context
from tests.worlds import World

INVENTORY = "/api/v1/equipment-inventory/"
EQUIPMENT = "/api/v1/equipment/"


@pytest.mark.usefixtures("silent_broker")
class TestInspection:
    def test_is_accepted_followed_and_ends_with_its_outcome(self, acme: World, globex: World) -> None:
        client = acme.client()
        client.post(EQUIPMENT, {"name": "Drill", "condition": "broken"})
        client.post(EQUIPMENT, {"name": "Saw"})
        globex.client().post(EQUIPMENT, {"name": "Theirs", "condition": "broken"})
        answer = client.post(INVENTORY)
        assert answer.status_code == 202, answer.content
        assert int(answer["Retry-After"]) >= 1
        address = answer["Location"].removeprefix("http://testserver")
        assert client.get(address).json() == answer.json()
        assert globex.client().get(address).status_code == 404

        with system_context("a worker"):
            assert run_job(UUID(answer.json()["id"]), now=timezone.now() + timedelta(seconds=1))
        body = client.get(address).json()
        assert body["state"] == "done"
        assert body["outcome"]["text"] == "1 of 2 are broken."
        assert body["progress"] == {"done": 2, "total": 2, "percent": 100, "phase": "inspecting"}
        assert client.get(body["outcome"]["url"]).json()["count"] == 2

    def test_stops_where_it_is_when_it_is_canceled(self, acme: World) -> None:
        client = acme.client()
        client.post(EQUIPMENT, {"name": "Drill"})
        job = client.post(INVENTORY).json()["id"]
        with system_context("a worker"), unit_of_work():
            run = claim(UUID(job), now=timezone.now() + timedelta(seconds=1))
        assert run is not None
        assert client.get(f"/api/v1/jobs/{job}/").json()["state"] == "running"
        assert client.post(f"/api/v1/jobs/{job}/cancel/").status_code == 200
        with company_context(acme.company.pk), pytest.raises(JobCanceled), savepoint():
            job_kinds[run.kind].run(run)
        assert client.get(f"/api/v1/jobs/{job}/").json()["state"] == "canceled"


class TestInventory:
    def test_is_filtered_ordered_and_takes_constant_statements(self, acme: World) -> None:
        client = acme.client()

        def statements() -> int:
            with CaptureQueriesContext(connection) as seen:
                assert client.get(INVENTORY).status_code == 200
            return len(seen)

        client.post(EQUIPMENT, {"name": "Drill", "region": "south"})
        statements()
        few = statements()
        for name in ("Saw", "Hammer", "Drill bit"):
            client.post(EQUIPMENT, {"name": name})
        assert statements() == few

        def names(query: str) -> list[str]:
            return [row["name"] for row in client.get(f"{INVENTORY}?{query}").json()["results"]]

        assert names("") == ["Drill", "Drill bit", "Hammer", "Saw"]
        assert names("name__startswith=dri&ordering=-name") == ["Drill bit", "Drill"]
        assert names("region=south") == ["Drill"]
