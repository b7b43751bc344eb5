"""Retention: what may go goes, and only that; the seals still hold, and know retention from tampering."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.models import AuditLog, AuditRemoval
from audit.operations.retention import apply_retention, drop_empty_partitions
from audit.operations.seals import seal_new
from audit.sealing import proofs
from audit.sealing.verifying import Verified, verify_company, write_bundle
from core.changes.facts import record_fact
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import database_owner
from tests.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)
OLD, YOUNG = timedelta(days=100), timedelta(days=20)
POLICIES = "/api/v1/audit/policies/"


def tamper(sql: str, *params: Any) -> None:
    with database_owner(), system_context("tampering"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


def account(world: World, name: str) -> str:
    record = str(world.client().post("/api/v1/accounts/", {"name": name}).json()["id"])
    world.client().patch(f"/api/v1/accounts/{record}/", {"name": f"{name} Inc"})
    return record


def age(by: timedelta) -> None:
    """Everything there is now happened so long ago, and was sealed then."""
    tamper("UPDATE core_changelog SET at = at - %s WHERE at > now() - interval '1 hour'", by)
    seal_new(now=lambda: timezone.now() - by)


def policy(world: World, name: str, days: int | None, **values: Any) -> None:
    body = {"name": name, "rules": [{"condition": "action == 'none'"}], "retention_days": days, **values}
    answer = world.client().post(POLICIES, body)
    assert answer.status_code == 201, answer.content


def retain(world: World) -> int:
    return apply_retention(world.company.pk, now=timezone.now, batch=3)


def verify(world: World) -> Verified:
    with system_context("test"), unit_of_work():
        return verify_company(world.company.pk)


def held(world: World, record: str) -> list[str]:
    with world.acting():
        return list(AuditLog.objects.filter(entity_id=record).order_by("pk").values_list("action", flat=True))


def test_removes_what_no_policy_asks_for_any_more(acme: World, globex: World) -> None:
    old, theirs = account(acme, "Old"), account(globex, "Theirs")
    age(OLD)
    young = account(acme, "Young")
    age(YOUNG)
    policy(acme, "Accounts", 60, applies_to_entities=["account"])
    policy(acme, "Deletions", 3_650, applies_to_actions=["delete"])
    policy(globex, "Accounts", 3_650, applies_to_entities=["account"])
    assert retain(acme) == 2
    assert retain(globex) == 0
    assert held(acme, old) == []
    assert held(acme, young) == held(globex, theirs) == ["create", "update"]
    # Of what no policy speaks stays.
    with acme.acting():
        assert AuditLog.objects.filter(entity_type="membership").exists()
        [entry] = AuditLog.objects.filter(action="retention")
        assert (entry.new_values["count"], entry.new_values["entity_types"]) == (2, ["account"])
        assert not AuditLog.objects.filter(context__isnull=False, context__company__isnull=True).exists()


def test_keeps_for_the_longest_of_the_policies(acme: World) -> None:
    record = account(acme, "Old")
    age(OLD)
    policy(acme, "All", 60)
    policy(acme, "Updates", 365, applies_to_entities=["account"], applies_to_actions=["update"])
    retain(acme)
    assert held(acme, record) == ["update"]
    assert verify(acme).is_intact


def test_keeps_what_is_not_sealed(acme: World) -> None:
    record = account(acme, "Old")
    tamper("UPDATE core_changelog SET at = at - interval '100 days'")
    policy(acme, "All", 60)
    assert retain(acme) == 0
    assert held(acme, record) == ["create", "update"]


def test_leaves_the_seals_whole_and_tampering_found(acme: World, tmp_path: Path) -> None:
    record = account(acme, "Old")
    age(OLD)
    policy(acme, "Accounts", 60, applies_to_entities=["account"])
    retain(acme)
    seal_new(now=timezone.now)
    found = verify(acme)
    assert (found.is_intact, found.removed) == (True, 2)
    bundle = tmp_path / "bundle"
    with bundle.open("w") as file, system_context("test"), unit_of_work():
        write_bundle(acme.company.pk, file)
    command = [sys.executable, proofs.__file__, str(bundle)]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "intact\n"
    # A list of removed entries that the log does not bear out excuses nothing.
    lines = bundle.read_text().splitlines()
    forged = [line for line in lines if '"removal"' not in line]
    bundle.write_text("\n".join(forged))
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout.count("it was removed") == 2
    with acme.acting():
        other = AuditLog.objects.filter(entity_type="membership").order_by("pk")[0].pk
    tamper("DELETE FROM core_changelog WHERE id = %s", other)
    [problem] = verify(acme).problems
    assert (problem.kind, problem.log_id) == ("removed", other)
    tamper("DELETE FROM audit_auditremoval")
    assert len(verify(acme).problems) == 3
    assert held(acme, record) == []


def test_does_not_excuse_what_was_sealed_a_short_time_ago(acme: World) -> None:
    record = account(acme, "New")
    seal_new(now=timezone.now)
    with acme.acting():
        ids = list(AuditLog.objects.filter(entity_id=record).order_by("pk").values_list("pk", flat=True))
    packed = b"".join(log_id.to_bytes(8, "big") for log_id in ids)
    digest = proofs.ids_digest(packed)
    with acme.acting():
        entry = record_fact(action="retention", entity_type="audit_log", details={"digest": digest})
    with system_context("forging"), unit_of_work():
        AuditRemoval(
            company_id=acme.company.pk,
            log_id=entry,
            log_ids=packed,
            digest=digest,
            row_count=2,
            entity_types=["account"],
            newest_at=timezone.now(),
        ).save(force_insert=True)
    tamper("DELETE FROM core_changelog WHERE id = ANY(%s)", ids)
    assert {problem.log_id for problem in verify(acme).problems} == set(ids)


def test_a_record_is_not_made_up_for_times_that_are_gone(acme: World) -> None:
    record = account(acme, "Old")
    age(OLD)
    policy(acme, "Accounts", 60, applies_to_entities=["account"])
    retain(acme)

    def as_of(days: int) -> Any:
        at = (timezone.now() - timedelta(days=days)).isoformat()
        query = {"entity_type": "account", "entity_id": record, "at": at}
        return acme.client().get("/api/v1/audit/logs/as-of/", query)

    assert as_of(1).json()["values"]["name"] == "Old Inc"
    assert (as_of(101).status_code, as_of(101).json()["code"]) == (410, "not_kept")


def test_nobody_else_removes_entries(acme: World) -> None:
    record = account(acme, "New")
    with acme.acting(), connection.cursor() as cursor, pytest.raises(DatabaseError, match="permission"):
        cursor.execute("SELECT app_remove_log_entries(%s, ARRAY[1]::bigint[])", [acme.company.pk])
    with system_context("test"), unit_of_work(), connection.cursor() as cursor:
        # Not even retention's own role, while they are young.
        cursor.execute(
            "SELECT app_remove_log_entries(%s, (SELECT array_agg(id) FROM core_changelog))", [acme.company.pk]
        )
        assert cursor.fetchone()[0] == 0
    assert held(acme, record) == ["create", "update"]


def test_months_of_which_nothing_is_left_are_dropped(acme: World) -> None:
    tamper(
        "CREATE TABLE core_changelog_2020_01 PARTITION OF core_changelog "
        "FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
    )
    tamper(
        "CREATE TABLE core_changelog_2020_02 PARTITION OF core_changelog "
        "FOR VALUES FROM ('2020-02-01') TO ('2020-03-01')"
    )
    tamper(
        "INSERT INTO core_changelog (at, action, entity_type) VALUES ('2020-02-03', 'login_failed', 'user')"
    )
    with system_context("test"), unit_of_work():
        assert drop_empty_partitions(now=timezone.now()) == ["core_changelog_2020_01"]
    tamper("DROP TABLE core_changelog_2020_02")
