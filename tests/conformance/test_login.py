"""Whoever gets SQL past everything finds a login with no rights: `RESET ROLE` gains nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from psycopg import errors, sql

from config.home import PROJECT_DIR
from core.tenancy.postgresql.login import faults_of_login
from tests.core.jobs.conftest import child_environment
from tests.owning import owner_connection

ROLES = ("crm_app", "crm_platform", "none")
ESCAPES = (
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER ROLE crm SUPERUSER",
    "ALTER ROLE crm BYPASSRLS",
    "CREATE ROLE mine SUPERUSER",
    "GRANT postgres TO crm",
    "GRANT pg_execute_server_program TO crm",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY core_user FROM PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/atrium-never'",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_export(1, '/tmp/atrium-never')",
    "CREATE EXTENSION vector",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
    "CREATE TABLE mine (id int)",
    "ALTER TABLE core_user DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE core_user DISABLE TRIGGER ALL",
    "DROP POLICY company ON core_company",
    "SET session_replication_role = replica",
    "ALTER SYSTEM SET archive_command = 'true'",
    "SELECT * FROM core_contextkey",
    "DELETE FROM core_changelog",
    "TRUNCATE core_user",
)


@pytest.fixture
def session(transactional_db: None) -> Iterator[psycopg.Connection]:
    """What the processes that serve have, with nothing of ours around it."""
    known = connection.settings_dict
    with psycopg.connect(
        host=known["HOST"], user=known["USER"], dbname=known["NAME"], autocommit=True
    ) as session:
        yield session


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", ESCAPES)
def test_no_role_that_the_login_has_can(session: psycopg.Connection, role: str, statement: str) -> None:
    session.execute(f"SET ROLE {role}")
    with pytest.raises(errors.InsufficientPrivilege):
        session.execute(statement)


@pytest.mark.parametrize("action", ["SELECT count(*) FROM {}", "DELETE FROM {}"])
def test_without_a_role_the_login_reads_and_writes_no_table(session: psycopg.Connection, action: str) -> None:
    tables = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert len(tables) > 30
    for (table,) in tables:
        with pytest.raises(errors.InsufficientPrivilege):
            session.execute(sql.SQL(action).format(sql.Identifier(table)))


class TestTheLook:
    def test_finds_nothing_wrong_with_the_login_that_serves(self, session: psycopg.Connection) -> None:
        assert faults_of_login(session.cursor()) == ""

    @pytest.mark.parametrize(
        ("made", "fault"),
        [
            ("SUPERUSER", "is a superuser"),
            ("BYPASSRLS", "passes by row-level security"),
            ("IN ROLE {owner}", "owns tables, or may become their owner"),
            ("IN ROLE pg_execute_server_program", "may become a role with such rights"),
        ],
    )
    def test_names_what_is_wrong(self, transactional_db: None, made: str, fault: str) -> None:
        owner = settings.DATABASE_OWNER["USER"]
        with owner_connection() as maker:
            maker.execute(f"CREATE ROLE wrong LOGIN {made.format(owner=owner)}")
            try:
                with psycopg.connect(
                    host=maker.info.host, user="wrong", dbname=maker.info.dbname, autocommit=True
                ) as session:
                    maker.execute("GRANT crm_app TO wrong")
                    # Hides the login from whoever asks for `current_user`.
                    session.execute("SET ROLE crm_app")
                    found = faults_of_login(session.cursor())
                    assert found.startswith("the database login wrong ")
                    assert fault in found
            finally:
                maker.execute("DROP ROLE wrong")

    def test_keeps_processes_from_serving(self, transactional_db: None) -> None:
        served = child_environment()
        owner = settings.DATABASE_OWNER["USER"]
        as_owner = {**served, "DATABASE_URL": served["DATABASE_URL"].replace("user=crm", f"user={owner}")}
        for entry in ("config.wsgi", "config.asgi", "config.rsgi"):
            refused = _run(f"import {entry}", as_owner)
            assert refused.returncode == 1
            assert f"The database login {owner} is a superuser" in refused.stderr
        assert _run("import config.wsgi", served).returncode == 0

    def test_is_part_of_the_checks_of_a_deployment(
        self, transactional_db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call_command("check", databases=["default"])
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "USER", settings.DATABASE_OWNER["USER"])
        try:
            for options in ({"databases": ["default"]}, {"deploy": True}):
                with pytest.raises(SystemCheckError, match="is a superuser"):
                    call_command("check", **options)
        finally:
            connection.close()


def _run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT_DIR,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
