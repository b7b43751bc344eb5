"""The change stream: every committed change reaches each consumer, in order, and its effect happens once."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from core.changes import stream
from core.changes.models import Consumer, ParkedChange
from core.changes.stream import Batch, ConsumerEntry, consumers
from core.identity.models import Company, Role
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context, current, system_context
from tests.core.jobs.conftest import ROOT, child_environment, make_company
from tests.owning import owner_connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def company() -> Company:
    return make_company("acme")


@pytest.fixture
def other_company() -> Company:
    return make_company("globex")


def role(company: Company, name: str) -> UUID:
    with company_context(company.id, source="api"), unit_of_work():
        return Role.objects.create(company_id=company.id, name=name).id


def roles(company: Company, prefix: str) -> list[str]:
    with company_context(company.id), unit_of_work():
        return sorted(Role.objects.filter(name__startswith=prefix).values_list("name", flat=True))


class Seen(list):
    """A consumer that remembers."""

    def __call__(self, batch: Batch) -> None:
        assert current().company_id == batch.company_id
        assert current().source == "task"
        self.extend(batch.changes)


class TestReading:
    def test_hands_over_changes_in_order_with_who_and_what(self, company, add):
        seen = Seen()
        add(seen)
        first = role(company, "one")
        with company_context(company.id, source="api"), unit_of_work():
            Role.objects.filter(id=first).update(name="uno")
        stream.run_consumer("test")
        assert [(change.events, change.entity_id) for change in seen] == [
            (("role.created",), first),
            (("role.updated",), first),
        ]
        assert (seen[1].changed, seen[1].old, seen[1].new) == ({"name"}, {"name": "one"}, {"name": "uno"})
        assert seen[1].source == "api"

    def test_hands_each_change_over_once(self, company, add):
        seen = Seen()
        add(seen)
        role(company, "one")
        assert stream.run_consumer("test") == 1
        assert stream.run_consumer("test") == 0
        assert len(seen) == 1

    def test_walks_through_more_than_a_batch(self, company, add):
        seen = Seen()
        add(seen)
        with company_context(company.id), unit_of_work():
            Role.objects.bulk_create(Role(company_id=company.id, name=f"r{n:02}") for n in range(25))
        assert stream.run_consumer("test", limit=10) == 25
        ids = [change.log_id for change in seen]
        assert len(ids) == 25
        assert ids == sorted(ids)

    def test_keeps_companies_apart(self, company, other_company, add):
        batches = []
        add(lambda batch: batches.append(batch))
        for name in ("one", "two"):
            role(company, name)
            role(other_company, name)
        stream.run_consumer("test")
        assert sorted((batch.company_id, len(batch.changes)) for batch in batches) == sorted(
            [(company.id, 2), (other_company.id, 2)]
        )

    @pytest.mark.parametrize(
        ("wish", "count"),
        [
            ({"entity_types": ["role"]}, 2),
            ({"entity_types": ["membership"]}, 0),
            ({"events": ["role.created"]}, 1),
            ({"events": ["role.deleted"], "entity_types": ["role"]}, 2),
        ],
    )
    def test_passes_over_what_the_consumer_did_not_ask_for(self, company, add, wish, count):
        seen = Seen()
        add(seen, **wish)
        made = role(company, "one")
        with company_context(company.id), unit_of_work():
            Role.objects.filter(id=made).update(name="uno")
        assert stream.run_consumer("test") == 2
        assert len(seen) == count

    def test_never_skips_a_transaction_that_commits_late(self, company, add):
        """The early transaction has the lower number and the lower log id, and commits after the consumer ran."""
        seen = Seen()
        add(seen)
        with owner_connection() as early:
            early.execute("BEGIN")
            early.execute(
                "INSERT INTO core_role (id, company_id, name, permissions) VALUES (uuidv7(), %s, 'early', '{}')",
                [company.id],
            )
            late = role(company, "late")
            stream.run_consumer("test")
            assert seen == [], "what is newer than a running transaction waits"
            early.execute("COMMIT")
        stream.run_consumer("test")
        assert len(seen) == 2
        assert seen[1].entity_id == late

    def test_forgets_what_was_rolled_back(self, company, add):
        seen = Seen()
        add(seen)
        with owner_connection() as other:
            other.execute("BEGIN")
            other.execute(
                "INSERT INTO core_role (id, company_id, name, permissions) VALUES (uuidv7(), %s, 'never', '{}')",
                [company.id],
            )
            other.execute("ROLLBACK")
        role(company, "kept")
        stream.run_consumer("test")
        assert len(seen) == 1

    def test_reads_by_index(self, add):
        with system_context("test"), unit_of_work(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(
                "EXPLAIN " + stream._READ, {"types": ["role"], "xid": 5, "log_id": 5, "limit": 500}
            )
            plan = str(cursor.fetchall())
        assert re.search(r"Index Cond: \(\(ROW\((l(_\d)?\.)?xid, (l(_\d)?\.)?id\) > ROW\(", plan)
        assert "->  Sort" not in plan.partition("->  Limit")[2]


class TestEffects:
    def test_run_once_although_many_run_the_consumer(self, company, add):
        add(echo, entity_types=["role"])
        for number in range(10):
            role(company, f"r{number}")

        def work():
            stream.run_consumer("test")
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.run_consumer("test")
        assert roles(company, "echo") == [f"echo r{number}" for number in range(10)]

    def test_park_a_poison_change_and_go_on(self, company, add):
        def picky(batch: Batch) -> None:
            echo(batch)
            if any(change.entity_id == bad for change in batch.changes):
                raise ValueError("indigestible\nDETAIL: a secret")

        entry = add(picky)
        role(company, "r1")
        bad = role(company, "r2")
        role(company, "r3")
        stream.run_consumer("test")
        assert roles(company, "echo") == ["echo r1", "echo r3"]
        parked = ParkedChange.objects.get()
        assert (parked.consumer_id, parked.company_id, parked.attempts) == ("test", company.id, 1)
        assert parked.error == "ValueError: indigestible"

        assert stream.retry_parked(now=timezone.now()) == 0, "its time has not come"
        assert stream.retry_parked(now=parked.next_try_at) == 0
        parked.refresh_from_db()
        assert parked.attempts == 2

        consumers._entries["test"] = ConsumerEntry("test", echo, entry.entity_types, entry.events, True)
        assert stream.retry_parked(now=parked.next_try_at) == 1
        assert not ParkedChange.objects.exists()
        assert roles(company, "echo") == ["echo r1", "echo r2", "echo r3"]

    def test_park_a_change_whose_effect_breaks_a_reference(self, company, add):
        """References are checked at the end of a transaction: the culprit is found all the same."""

        def stray(batch: Batch) -> None:
            for change in batch.changes:
                owner = change.entity_id if change.entity_id == bad else None
                Role.objects.create(company_id=company.id, name=f"x{change.log_id}", created_by_id=owner)

        role(company, "r1")
        add(stray, events=["role.updated"])
        good, bad = role(company, "r2"), role(company, "r3")
        with company_context(company.id), unit_of_work():
            Role.objects.filter(id__in=[good, bad]).update(is_builtin=True)
        stream.run_consumer("test")
        assert ParkedChange.objects.count() == 1
        assert len(roles(company, "x")) == 1

    def test_are_given_up_for_good_only_after_eight_attempts_and_may_be_released(self, company, add):
        def never(batch: Batch) -> None:
            raise ValueError

        add(never)
        role(company, "r1")
        stream.run_consumer("test")
        now = timezone.now()
        for _ in range(20):
            now += timedelta(days=1)
            stream.retry_parked(now=now)
        parked = ParkedChange.objects.get()
        assert (parked.attempts, parked.next_try_at) == (8, None)
        assert stream.release(parked.id, now=now)
        parked.refresh_from_db()
        assert parked.next_try_at == now

    def test_of_one_broken_consumer_do_not_stop_the_others(self, company, add, monkeypatch):
        seen = Seen()
        add(Seen(), name="aaa")
        add(seen, name="test")
        real = stream._run_batch

        def break_one(entry, limit):
            if entry.name == "aaa":
                raise RuntimeError("cannot even read")
            return real(entry, limit)

        monkeypatch.setattr(stream, "_run_batch", break_one)
        role(company, "r1")
        stream.run_consumers()
        assert len(seen) == 1

    @pytest.mark.parametrize(
        ("point", "so_far"),
        [("stream.before_call", 0), ("stream.before_offset", 0), ("stream.after_offset", 3)],
    )
    def test_happen_once_when_the_consumer_is_killed(self, company, add, tmp_path, point, so_far):
        add(echo)
        for number in range(3):
            role(company, f"r{number}")
        plan = tmp_path / "plan"
        plan.write_text(f"{point} 1\n")
        code = (
            "import django; django.setup()\n"
            "from core.changes import stream\n"
            "from tests.core.changes.test_stream import echo\n"
            "entry = stream.ConsumerEntry('test', echo, frozenset(), frozenset(), True)\n"
            "stream.consumers._entries['test'] = entry\n"
            "stream.run_consumer('test')\n"
        )
        environment = child_environment(CRM_FAULT_PLAN=str(plan))
        child = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, timeout=60)
        assert child.returncode == -9
        assert len(roles(company, "echo r")) == so_far
        stream.run_consumer("test")
        stream.run_consumer("test")
        assert roles(company, "echo") == ["echo r0", "echo r1", "echo r2"]


def echo(batch: Batch) -> None:
    """One role for each role that a request made; not for its own."""
    for change in batch.changes:
        if change.source == "api" and change.action == "create":
            name = Role.objects.get(id=change.entity_id).name
            Role.objects.create(company_id=batch.company_id, name=f"echo {name}")


class TestWaking:
    def test_runs_the_consumers_after_the_commit(self, company, add):
        seen = Seen()
        add(seen)
        with company_context(company.id), unit_of_work():
            Role.objects.create(company_id=company.id, name="one")
            stream.wake_stream()
            stream.wake_stream()
            assert len(connection.run_on_commit) == 1
            assert seen == []
        assert len(seen) == 1

    def test_does_nothing_for_a_transaction_that_failed(self, company, add):
        seen = Seen()
        add(seen)

        def fails():
            with company_context(company.id), unit_of_work():
                Role.objects.create(company_id=company.id, name="one")
                stream.wake_stream()
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fails()
        assert seen == []


class TestLag:
    def test_counts_what_is_not_read_and_what_is_parked(self, company, add):
        add(Seen())
        for number in range(3):
            role(company, f"r{number}")
        (before,) = (
            lag for lag in stream.lag(now=timezone.now() + timedelta(seconds=60)) if lag.name == "test"
        )
        assert (before.entries, before.parked) == (3, 0)
        assert 59 < before.seconds < 75
        stream.run_consumer("test")
        (after,) = (lag for lag in stream.lag(now=timezone.now()) if lag.name == "test")
        assert (after.entries, after.seconds) == (0, 0.0)
        assert Consumer.objects.get(name="test").updated_at
