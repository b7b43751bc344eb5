"""What SQL sees as the application's role, inside a company: nobody's sessions, throttles or registrations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from core.identity.models import AuthSession, LoginThrottle, Registration
from core.kernel.transactions import savepoint, unit_of_work
from core.tenancy.context import system_context
from tests.worlds import Worlds, make_worlds

TABLES = ("core_authsession", "core_loginthrottle", "core_registration", "django_session")


@pytest.fixture
def worlds(db: None) -> Worlds:
    """Each table has a row of either company's people."""
    made = make_worlds()
    later = timezone.now() + timedelta(days=1)
    for world in (made.acme, made.globex):
        world.token("sales")
        slug = world.company.slug
        Session.objects.create(session_key=slug, session_data="", expire_date=later)
        with system_context("test"), unit_of_work():
            LoginThrottle.objects.create(key=f"account:sales@{slug}.test")
            Registration.objects.create(email=f"sales@{slug}.test", company_name=slug, expires_at=later)
    return made


def run(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.rowcount


@pytest.mark.parametrize("table", TABLES)
class TestInsideACompany:
    def test_reads_no_row(self, worlds: Worlds, table: str) -> None:
        for world in (worlds.acme, worlds.globex):
            with world.acting():
                assert run(f"SELECT * FROM {table}") == 0

    def test_changes_and_removes_no_row(self, worlds: Worlds, table: str) -> None:
        column = "session_data" if table == "django_session" else "key" if "throttle" in table else "id"
        with worlds.acme.acting():
            assert run(f"UPDATE {table} SET {column} = {column}") == 0
            assert run(f"DELETE FROM {table}") == 0
        with system_context("test"), unit_of_work():
            assert run(f"SELECT * FROM {table}") >= 2

    def test_writes_no_row(self, worlds: Worlds, table: str) -> None:
        company, user = worlds.acme.company.pk, worlds.acme.users["admin"]
        values = {
            "core_authsession": f"(id, user_id, company_id, refresh_serial, user_agent, expires_at, revoked_reason) "
            f"VALUES (gen_random_uuid(), '{user}', '{company}', 1, '', now(), '')",
            "core_loginthrottle": "(key, failures) VALUES ('account:x', 1)",
            "core_registration": "(id, email, company_name, slug, first_name, last_name, is_mailed, expires_at) "
            "VALUES (gen_random_uuid(), 'a@b.c', 'X', '', '', '', true, now())",
            "django_session": "(session_key, session_data, expire_date) VALUES ('x', '', now())",
        }
        with worlds.acme.acting(), pytest.raises(ProgrammingError, match="row-level security"), savepoint():
            run(f"INSERT INTO {table} {values[table]}")


class TestOutsideACompany:
    def test_sees_the_sessions_of_the_back_office_alone(self, worlds: Worlds) -> None:
        with transaction.atomic():
            found = {table: run(f"SELECT * FROM {table}") for table in TABLES}
        assert found.pop("django_session") == 2
        assert set(found.values()) == {0}

    def test_ends_sessions_of_members_all_the_same(self, worlds: Worlds) -> None:
        client = worlds.acme.client("sales")
        worlds.acme.client().delete(f"/api/v1/users/{worlds.acme.users['sales']}/")
        assert client.get("/api/v1/auth/me/").status_code == 401
        with system_context("test"), unit_of_work():
            assert AuthSession.objects.filter(revoked_reason="deactivated").exists()
