"""A company whose workflows run within the test: the stream is read and the jobs are done when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from core.changes import stream
from core.jobs.models import Job
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import World, make_world

CONSUMER = "workflow.triggers"


@pytest.fixture
def acme(transactional_db: None) -> World:
    made = make_world("acme")
    stream.run_consumer(CONSUMER, most_batches=1_000)
    return made


@pytest.fixture
def globex(acme: World) -> World:
    return make_world("globex")


def due_jobs(now: Any) -> list[Any]:
    with system_context("what is due"), unit_of_work():
        return list(
            Job.objects.filter(state="open", kind__startswith="workflow.", due_at__lte=now)
            .order_by("due_at", "created_at")
            .values_list("pk", flat=True)
        )


@pytest.fixture
def settle() -> Callable[..., int]:
    """Read the stream and do the jobs of workflows until nothing is left to do; how many jobs that were."""

    def run(now: Any = None, rounds: int = 20) -> int:
        done = 0
        for _ in range(rounds):
            stream.run_consumer(CONSUMER)
            jobs = due_jobs(now or timezone.now())
            if not jobs:
                return done
            for job in jobs:
                run_job(job, now=now or timezone.now())
                done += 1
        raise AssertionError("it goes on for ever")

    return run


def workflow(client: Any, **document: Any) -> dict[str, Any]:
    """Make a workflow over the API."""
    answer = client.post(
        "/api/v1/workflows/", {"name": "W", "workflow_type": "automation", "status": "active", **document}
    )
    assert answer.status_code == 201, answer.content
    return answer.json()


def lead(client: Any, **values: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/leads/", {"last_name": "Lovelace", **values})
    assert answer.status_code == 201, answer.content
    return answer.json()


def get(client: Any, path: str) -> Any:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()
