"""What the health check says when a part is silent."""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg
import pytest
from django.db import connection, connections
from django.utils import timezone

from core.changes.stream import consumers
from core.jobs import operations
from core.jobs.health import health
from tests.owning import owner_connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def beating() -> None:
    # What other tests have written and nobody has read is no matter here.
    with owner_connection() as session:
        for name in consumers.names():
            session.execute(
                "INSERT INTO core_consumer (name, xid, log_id) SELECT %s, coalesce(max(xid), 0), coalesce(max(id), 0) "
                "FROM core_changelog ON CONFLICT (name) DO UPDATE SET xid = excluded.xid, log_id = excluded.log_id",
                [name],
            )
    for name in ("worker", "beat"):
        operations.beat(name, now=timezone.now())


def test_is_ok_when_everything_answers(beating):
    state = health(timezone.now())
    assert state.status == "ok"
    assert set(state.parts) == {"database", "redis", "worker", "beat", "stream"}


def test_names_the_worker_and_beat_that_have_gone_silent(beating):
    state = health(timezone.now() + timedelta(seconds=61))
    assert not state.ok
    assert {name for name, part in state.parts.items() if not part.ok} == {"worker", "beat"}


def test_names_them_when_they_never_came():
    assert health(timezone.now()).parts["beat"].detail == "Beat has not shown itself yet."


def test_names_redis_within_two_seconds(beating, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"
    started = time.monotonic()
    state = health(timezone.now())
    assert time.monotonic() - started < 2
    assert [name for name, part in state.parts.items() if not part.ok] == ["redis"]
    assert "nobody.sock" not in state.parts["redis"].detail


def test_over_http_names_the_database_that_is_away(client, monkeypatch):
    def refuse(params):
        raise psycopg.OperationalError("there is no server")

    connection.close()
    with monkeypatch.context() as patched:
        patched.setattr(connections["default"], "get_new_connection", refuse)
        answer = client.get("/api/v1/monitoring/health/")
        alive = client.get("/api/v1/monitoring/health/?live=1")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert not answer.json()["parts"]["database"]["ok"]
    assert alive.status_code == 200
