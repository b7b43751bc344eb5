"""Days are those of the company's time zone, over REST and in the back office."""

from __future__ import annotations

from typing import Any

from django.test import Client

from tests.worlds import World

DAY = "2026-03-10"


def _due(world: World, query: str) -> list[str]:
    answer = world.client().get(f"/api/v1/tasks/?ordering=due_at&{query}")
    assert answer.status_code == 200, answer.content
    return [task["subject"] for task in answer.json()["results"]]


def _put_tasks(world: World) -> None:
    client: Any = world.client()
    for subject, moment in (
        ("eve", "2026-03-10T03:59:59Z"),
        ("morning", "2026-03-10T04:00:00Z"),
        ("night", "2026-03-11T03:59:59Z"),
        ("after", "2026-03-11T04:00:00Z"),
    ):
        made = client.post("/api/v1/tasks/", {"subject": subject, "due_at": moment})
        assert made.status_code == 201, made.content


def test_a_day_begins_at_the_companys_midnight(acme: World, globex: World) -> None:
    changed = acme.client().patch("/api/v1/company/", {"timezone": "America/New_York"})
    assert changed.status_code == 200, changed.content
    for world in (acme, globex):
        _put_tasks(world)

    assert _due(acme, f"due_at__date={DAY}") == _due(acme, f"due_at={DAY}") == ["morning", "night"]
    assert _due(globex, f"due_at__date={DAY}") == ["eve", "morning"]
    key = acme.client().post("/api/v1/api-keys/", {"name": "reader", "scopes": ["read"]}).json()["key"]
    by_key = Client().get(f"/api/v1/tasks/?due_at__date={DAY}", headers={"Authorization": f"Api-Key {key}"})
    assert by_key.json()["count"] == 2
