"""A real worker and a real beat, killed the hard way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from core.jobs import enqueue
from core.jobs.health import health
from core.jobs.models import Heartbeat, Job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context, system_context
from tests.core.jobs.conftest import ROOT, child_environment, effects

PATIENCE = 30


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a part of Celery in its own session; all of them end with the test."""
    children: list[subprocess.Popen] = []

    def start_part(*arguments: str) -> subprocess.Popen:
        child = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "tests.core.jobs.celery_app", *arguments],
            env=child_environment(LOG_LEVEL="ERROR"),
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        children.append(child)
        return child

    yield start_part
    for child in children:
        child.kill()
        child.wait(timeout=10)


WORKER = ("worker", "--pool", "solo", "--without-gossip", "--without-mingle")
BEAT = ("beat", "--pidfile", "")


def chunks_done(job_id) -> int:
    with system_context("test"), unit_of_work():
        return Job.objects.get(id=job_id).progress.get("done", 0)


def test_a_job_outlives_its_worker_and_redis(company, silent_broker, start):
    """Killed in the middle, Redis emptied: a second worker and beat's sweep bring it to its end, each chunk once."""
    with company_context(company.id), unit_of_work():
        job_id = enqueue(kind="test.chunks", payload={"pause": 0.2})
    first = start(*WORKER)
    wait_for(lambda: chunks_done(job_id) >= 3)
    first.kill()
    first.wait(timeout=10)
    assert chunks_done(job_id) < 10
    silent_broker.flushdb()
    with company_context(company.id), unit_of_work():
        # What was due long ago is rung for at once.
        Job.objects.filter(id=job_id).update(rung_at=timezone.now() - timedelta(minutes=1))
    start(*WORKER)
    start(*BEAT)
    start(*BEAT)
    wait_for(lambda: chunks_done(job_id) == 10)
    assert effects(company, "chunk") == 10
    wait_for(lambda: Heartbeat.objects.count() == 2)
    state = health(timezone.now())
    assert (state.status, state.ok) == ("ok", True)
