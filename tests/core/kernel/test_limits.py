"""Nothing waits for ever: locks held by another, statements that take long, migrations under traffic, a dying COMMIT."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone

from config.env import process_kind
from config.settings.base import startup_options
from core.identity.models import Role
from core.kernel.transactions import OutcomeUnknown, limits, retried, unit_of_work
from core.rest.problems import as_domain_error
from core.tenancy.context import company_context
from core.tenancy.postgresql.base import database
from tests.owning import owner_connection
from tests.worlds import World, make_world

RIVALS = 6


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world("acme")


@pytest.fixture
def as_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections of threads to come have the limits of the web server, with a shorter wait for locks."""
    said = startup_options("request").replace("lock_timeout=2000", "lock_timeout=300")
    options = {**connections.settings["default"]["OPTIONS"], "options": said}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", options)


def in_threads(works: list[Callable[[], Any]]) -> list[Any]:
    def closed(work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(closed, works))


class TestKinds:
    def test_are_told_by_the_entry_of_the_process(self) -> None:
        assert process_kind({"CRM_PROCESS": "request"}, "celery") == "request"
        assert process_kind({}, "/srv/.venv/bin/celery") == "job"
        assert process_kind({}, "/srv/.venv/lib/celery/__main__.py") == "job"
        assert process_kind({}, "manage.py") == "command"

    def test_have_limits_that_a_connection_starts_with(self, as_requests: None, db: None) -> None:
        def shown() -> list[str]:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), "
                    "current_setting('idle_in_transaction_session_timeout')"
                )
                return list(cursor.fetchone())

        assert in_threads([shown]) == [["30s", "300ms", "10min"]]


class TestLockedRecord:
    def test_is_busy_for_its_rivals_and_stops_nobody_else(self, world: World, as_requests: None) -> None:
        client = world.client()
        lead: UUID = client.post("/api/v1/leads/", {"last_name": "Held"}).json()["id"]
        token = world.token()

        def patch() -> Any:
            return type(client)(token).patch(f"/api/v1/leads/{lead}/", {"last_name": "Changed"})

        def read() -> Any:
            return type(client)(token).get("/api/v1/leads/")

        with owner_connection() as rival, rival.transaction():
            rival.execute("SELECT 1 FROM crm_lead WHERE id = %s FOR UPDATE", [lead])
            started = time.monotonic()
            *refused, other = in_threads([patch] * RIVALS + [read])
            assert time.monotonic() - started < 10
        assert other.status_code == 200
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (409, "busy"), answer.content
            assert int(answer["Retry-After"]) >= 1
        assert patch().status_code == 200


class TestLongStatement:
    def test_ends_with_a_code_of_its_own(self, world: World) -> None:
        with (
            company_context(world.company.pk),
            pytest.raises(OperationalError) as caught,
            unit_of_work(),
            limits(statement_seconds=0.05),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT pg_sleep(5)")
        problem = as_domain_error(caught.value)
        assert (problem.status, problem.code, problem.extra["retry_after"]) == (503, "timeout", 1)

    def test_limits_hold_for_their_block_alone(self, world: World) -> None:
        def shown() -> str:
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('lock_timeout')")
                return str(cursor.fetchone()[0])

        with company_context(world.company.pk), unit_of_work():
            before = shown()
            with limits(lock_seconds=7):
                assert shown() == "7s"
            assert shown() == before


class TestMigrationUnderTraffic:
    def test_is_noticed_by_nobody_whose_statement_was_prepared(self, world: World) -> None:
        with owner_connection() as rival:
            rival.execute("CREATE TABLE scratch (value varchar(10)); GRANT SELECT ON scratch TO crm_app")
            rival.execute("INSERT INTO scratch VALUES ('kept')")
            try:

                def read() -> list[tuple[Any, ...]]:
                    with company_context(world.company.pk):
                        return database().fetch_prepared("SELECT value FROM scratch")

                for _ in range(3):
                    assert retried(read) == [("kept",)]
                rival.execute("ALTER TABLE scratch ALTER COLUMN value TYPE text")
                assert retried(read) == [("kept",)]
            finally:
                connection.close()
                rival.execute("DROP TABLE scratch")


class TestConnectionThatDiesDuringCommit:
    def test_leaves_an_outcome_that_is_said_to_be_unknown(self, world: World) -> None:
        with owner_connection() as rival:
            rival.execute(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
                "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; "
                "CREATE CONSTRAINT TRIGGER die AFTER INSERT ON core_role DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION die()"
            )
            try:

                def work() -> None:
                    with company_context(world.company.pk):
                        Role.objects.create(company_id=world.company.pk, name=f"at {timezone.now()}")

                with pytest.raises(OutcomeUnknown) as caught:
                    retried(work)
            finally:
                connection.close()
                rival.execute("DROP TRIGGER die ON core_role; DROP FUNCTION die()")
        assert (caught.value.status, caught.value.code) == (503, "outcome_unknown")
        assert "Idempotency-Key" in caught.value.detail
