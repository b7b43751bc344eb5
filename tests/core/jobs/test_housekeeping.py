"""Tables that do not grow for ever, and a log that has a place for next month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import ProgrammingError, connection
from django.utils import timezone

from core.identity.models import LoginThrottle
from core.jobs import enqueue, housekeeping
from core.jobs.models import Job, Slot
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context, system_context
from core.tenancy.postgresql.base import database_owner


def test_removes_what_ended_long_ago_and_keeps_the_rest(company, silent_broker):
    with company_context(company.id), unit_of_work():
        done = enqueue(kind="test.effect", payload={})
        waiting = enqueue(kind="test.effect", payload={})
    run_job(done)
    now = timezone.now()
    for days in (1, 40, 50):
        Slot.objects.create(
            schedule="daily", due_at=now - timedelta(days=days), taken_at=now - timedelta(days=days)
        )
    # The only one this schedule has: the next is counted from it.
    Slot.objects.create(
        schedule="yearly", due_at=now - timedelta(days=300), taken_at=now - timedelta(days=300)
    )
    for key, days in (("account:old", 2), ("account:new", 0)):
        with system_context("test"), unit_of_work():
            LoginThrottle.objects.create(key=key, updated_at=now - timedelta(days=days))
    with system_context("test"):
        assert housekeeping.purge_old(now=now + timedelta(seconds=1)) == {
            "jobs": 0,
            "slots": 2,
            "registrations": 0,
            "sessions": 0,
            "throttles": 1,
        }
        assert housekeeping.purge_old(now=now + timedelta(days=15))["jobs"] == 1
        with unit_of_work():
            assert [job.id for job in Job.objects.all()] == [waiting]


@pytest.mark.django_db(transaction=True)
def test_makes_the_logs_partitions_and_gives_nobody_rights_on_them():
    day = datetime(2031, 11, 15, tzinfo=UTC)
    try:
        with system_context("making partitions"):
            housekeeping.ensure_log_partitions(now=day)
            housekeeping.ensure_log_partitions(now=day)
        with unit_of_work(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname, has_table_privilege('crm_app', oid, 'SELECT, INSERT, UPDATE, DELETE') FROM pg_class "
                "WHERE relname LIKE 'core_changelog_203_\\___' AND relkind = 'r' ORDER BY 1"
            )
            assert cursor.fetchall() == [
                ("core_changelog_2031_11", False),
                ("core_changelog_2031_12", False),
                ("core_changelog_2032_01", False),
            ]
        with pytest.raises(ProgrammingError), unit_of_work(), connection.cursor() as cursor:
            cursor.execute("CREATE TABLE mine (id int)")
    finally:
        with database_owner(), connection.cursor() as cursor:
            for month in ("2031_11", "2031_12", "2032_01"):
                cursor.execute(f"DROP TABLE IF EXISTS core_changelog_{month}")
