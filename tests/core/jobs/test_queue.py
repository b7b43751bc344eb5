"""The queue of record: what is enqueued is done once, whoever dies."""

from __future__ import annotations

import json
import signal
import threading
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone
from redis import Redis

from core.changes.stream import TASK
from core.identity.models import Company
from core.jobs import JobCanceled, LeaseLost, NewJob, cancel, enqueue, enqueue_many, operations, retry
from core.jobs.models import Job
from core.jobs.running import run_job
from core.kernel.transactions import TransactionMissing, unit_of_work
from core.tenancy.context import company_context, system_context
from tests.core.jobs import kinds
from tests.core.jobs.conftest import effects

SECOND = timedelta(seconds=1)


def put(company: Company, kind: str = "test.effect", **options):
    with company_context(company.id), unit_of_work():
        return enqueue(kind=kind, payload=options.pop("payload", {}), **options)


def stored(job_id) -> Job:
    with system_context("test"), unit_of_work():
        return Job.objects.get(id=job_id)


def sweep(now=None) -> int:
    with system_context("test"), unit_of_work():
        return operations.sweep(now=now or timezone.now())


class TestEnqueue:
    def test_needs_a_transaction(self, company):
        with company_context(company.id), pytest.raises(TransactionMissing):
            enqueue(kind="test.effect", payload={})

    def test_runs_the_job_after_the_commit_and_not_before(self, company):
        with company_context(company.id), unit_of_work():
            job_id = enqueue(kind="test.effect", payload={"a": 1})
            assert kinds.runs == []
        assert [(run.id, run.payload, run.company_id) for run in kinds.runs] == [
            (job_id, {"a": 1}, company.id)
        ]
        assert stored(job_id).state == "done"
        assert effects(company) == 1

    def test_leaves_nothing_when_the_transaction_is_rolled_back(self, company, silent_broker):
        def fails():
            with company_context(company.id), unit_of_work():
                enqueue(kind="test.effect", payload={})
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fails()
        with system_context("test"), unit_of_work():
            assert Job.objects.count() == 0
        assert silent_broker.llen("jobs") == 0

    def test_refuses_an_unknown_kind(self, company):
        with pytest.raises(KeyError):
            put(company, "test.unknown")

    def test_is_idempotent_by_key_while_the_job_is_open(self, company, other_company, silent_broker):
        first = put(company, key="one")
        assert put(company, key="one") == first
        assert put(company, key="two") != first
        assert put(other_company, key="one") != first
        assert run_job(first)
        assert put(company, key="one") != first

    def test_makes_one_job_of_twenty_concurrent_requests_with_one_key(self, company, silent_broker):
        made = []

        def work():
            made.append(put(company, key="once"))
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 20
        assert len(set(made)) == 1

    def test_rings_with_the_id_only(self, company, silent_broker):
        job_id = put(company, payload={"secret": "canary-text"})
        message = json.loads(silent_broker.lindex("jobs", 0))
        assert message["headers"]["task"] == "core.run_job"
        assert json.loads(b64decode(message["body"]))[0] == [str(job_id)]

    def test_survives_a_broker_that_is_away(self, company, silent_broker, tmp_path):
        address = current_app.conf.broker_url
        current_app.conf.broker_url = f"redis+socket://{tmp_path}/nobody.sock"
        try:
            job_id = put(company)
        finally:
            current_app.conf.broker_url = address
        assert silent_broker.llen("jobs") == 0
        assert stored(job_id).state == "open"

    def test_writes_many_with_one_statement(self, company, silent_broker, django_assert_num_queries):
        jobs = [NewJob({"n": number}) for number in range(250)]
        with company_context(company.id), unit_of_work():
            with django_assert_num_queries(1):
                made = enqueue_many(kind="test.effect", jobs=jobs)
            assert len(made) == 250
        # One message, for the sweep.
        assert (silent_broker.llen("clock"), silent_broker.llen("jobs")) == (1, 0)

    def test_leaves_a_job_that_is_due_later_alone(self, company):
        job_id = put(company, due_at=timezone.now() + timedelta(hours=1))
        assert not run_job(job_id)
        assert run_job(job_id, now=timezone.now() + timedelta(hours=2))


class TestRunning:
    def test_takes_the_correlation_id_along(self, company, silent_broker):
        from core.observability.correlation import correlation

        with correlation("abc-123"):
            job_id = put(company)
        run_job(job_id)
        assert kinds.runs[0].correlation_id == "abc-123"
        with company_context(company.id), unit_of_work(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT c.correlation_id, c.source FROM core_changelog l JOIN core_changecontext c "
                "ON c.id = l.context_id WHERE l.entity_type = 'role'"
            )
            assert cursor.fetchall() == [("abc-123", "task")]

    def test_does_a_job_once_for_many_messages_at_once(self, company, silent_broker):
        job_id = put(company)
        done = []

        def work():
            done.append(run_job(job_id))
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(done) == [False] * 7 + [True]
        assert effects(company) == 1

    def test_undoes_a_failed_attempt_and_waits_longer_each_time(self, company, silent_broker):
        job_id = put(company, "test.broken")
        assert not run_job(job_id)
        first = stored(job_id)
        assert (first.state, first.attempts, first.error) == ("open", 1, "RuntimeError: no luck")
        assert timedelta(seconds=4) < first.due_at - timezone.now() < timedelta(seconds=7)
        assert effects(company) == 0
        assert not run_job(job_id), "it is not due yet"
        assert not run_job(job_id, now=first.due_at)
        assert stored(job_id).due_at - timezone.now() > timedelta(seconds=9)

    def test_gives_up_after_the_last_attempt_and_says_so(self, company, silent_broker):
        job_id = put(company, "test.broken")
        for _ in range(5):
            run_job(job_id, now=timezone.now() + timedelta(days=1))
        dead = stored(job_id)
        assert (dead.state, dead.attempts) == ("failed", 3)
        assert kinds.failures == ["RuntimeError: no luck"]
        with company_context(company.id):
            assert retry(job_id, now=timezone.now())
        assert (stored(job_id).state, stored(job_id).attempts) == ("open", 0)

    def test_gives_up_at_once_when_the_handler_says_so(self, company, silent_broker):
        job_id = put(company, "test.broken", payload={"hopeless": True})
        run_job(job_id)
        assert stored(job_id).state == "failed"
        assert kinds.failures == ["GiveUp: hopeless"]

    def test_gives_up_on_a_job_that_kills_every_worker(self, company, silent_broker):
        job_id = put(company)
        now = timezone.now()
        for _ in range(3):
            now += timedelta(minutes=1)
            with system_context("test"), unit_of_work():
                assert operations.claim(job_id, now=now)
        assert not run_job(job_id, now=now + timedelta(minutes=1))
        assert stored(job_id).state == "failed"
        assert len(kinds.failures) == 1
        assert effects(company) == 0

    def test_refuses_the_effect_of_a_worker_that_was_taken_for_dead(self, company, silent_broker):
        job_id = put(company)
        with system_context("test"), unit_of_work():
            slow = operations.claim(job_id, now=timezone.now())
        assert run_job(job_id, now=timezone.now() + 10 * SECOND)

        def ends_late():
            with company_context(company.id), unit_of_work():
                kinds.effect(slow)
                operations.finish(slow, now=timezone.now())

        with pytest.raises(LeaseLost):
            ends_late()
        assert effects(company) == 1

    def test_keeps_another_companys_jobs_out_of_reach(self, company, other_company, silent_broker):
        job_id = put(company)
        with company_context(other_company.id):
            assert not cancel(job_id, now=timezone.now())
            with unit_of_work():
                assert not Job.objects.filter(id=job_id).exists()
        assert stored(job_id).state == "open"


class TestLongRunning:
    def test_shows_progress_and_resumes_where_it_stood(self, company, silent_broker, monkeypatch):
        job_id = put(company, "test.chunks")
        real, calls = kinds.JobRun.progress, []

        def dies_at_five(run, done, *rest):
            calls.append(done)
            if done == 5 and len(calls) == 5:
                raise RuntimeError("out of breath")
            real(run, done, *rest)

        monkeypatch.setattr(kinds.JobRun, "progress", dies_at_five)
        assert not run_job(job_id)
        assert stored(job_id).progress == {"done": 4, "total": 10, "phase": "copying"}
        assert run_job(job_id, now=timezone.now() + timedelta(minutes=1))
        assert calls == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]
        assert effects(company, "chunk") == 10

    def test_stops_when_canceled(self, company, silent_broker):
        job_id = put(company, "test.chunks")
        with system_context("test"), unit_of_work():
            run = operations.claim(job_id, now=timezone.now())
        with company_context(company.id):
            assert not run.is_canceled()
            assert cancel(job_id, now=timezone.now())
            assert run.is_canceled()
            with pytest.raises(JobCanceled), run.transaction():
                kinds.effect(run)
            assert not cancel(job_id, now=timezone.now())
        assert effects(company) == 0
        assert not run_job(job_id, now=timezone.now() + timedelta(minutes=1))

    def test_may_ask_to_be_called_again(self, company, silent_broker, monkeypatch):
        later = timezone.now() + timedelta(minutes=5)
        entry = kinds._kind("test.chunks", lambda run: later, transactional=False)
        monkeypatch.setitem(kinds.job_kinds._entries, "test.chunks", entry)
        job_id = put(company, "test.chunks")
        assert run_job(job_id)
        job = stored(job_id)
        assert (job.state, job.due_at, job.attempts) == ("open", later, 0)


class TestSweep:
    def test_finds_everything_again_after_redis_was_flushed(self, company, silent_broker: Redis):
        jobs = [put(company) for _ in range(5)]
        assert silent_broker.llen("jobs") == 5
        silent_broker.flushdb()
        assert sweep() == 0, "just rung"
        assert sweep(timezone.now() + operations.RING_AGAIN_AFTER) == 5
        assert silent_broker.llen("jobs") == 5
        for job_id in jobs:
            run_job(job_id)
        assert effects(company) == 5

    def test_rings_once_for_two_sweeps_at_once(self, company, silent_broker: Redis):
        for _ in range(20):
            put(company)
        silent_broker.flushdb()
        later = timezone.now() + operations.RING_AGAIN_AFTER
        rung = []

        def work():
            rung.append(sweep(later))
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(rung) == 20
        assert silent_broker.llen("jobs") == 20

    def test_does_not_ring_again_while_there_is_enough_to_read(self, company, silent_broker, monkeypatch):
        """Else a heap of jobs grows a greater heap of messages, and new jobs wait behind it."""
        monkeypatch.setattr(operations, "RING_AGAIN_UP_TO", 5)
        for _ in range(5):
            put(company)
        later = timezone.now() + operations.RING_AGAIN_AFTER
        put(company, due_at=later)
        assert sweep(later) == 1, "what became due and was never rung for"
        assert sweep(later) == 0
        with system_context("test"), unit_of_work():
            died = operations.claim(Job.objects.earliest("id").id, now=timezone.now())
        assert died is not None
        later += died.lease
        assert sweep(later) == 1, "its message was read, so it is lost"
        assert sweep(later) == 0
        silent_broker.rpop("jobs", 3)
        assert sweep(later) == 4
        assert silent_broker.llen("jobs") == 8

    def test_leaves_running_and_ended_jobs_alone(self, company, silent_broker):
        running, ended = put(company, "test.chunks"), put(company)
        run_job(ended)
        with system_context("test"), unit_of_work():
            assert operations.claim(running, now=timezone.now() + operations.RING_AGAIN_AFTER)
        assert sweep(timezone.now() + operations.RING_AGAIN_AFTER) == 0

    def test_reads_only_open_jobs_by_index(self, company, silent_broker):
        with system_context("test"), unit_of_work(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(
                "EXPLAIN SELECT id FROM core_job WHERE state = 'open' AND due_at <= now() ORDER BY due_at LIMIT 500"
            )
            assert "job_open_due" in str(cursor.fetchall())


class TestKilledWorker:
    @pytest.mark.parametrize(
        ("point", "effects_so_far"), [("job.claimed", 0), ("job.before_commit", 0), ("job.after_commit", 1)]
    )
    def test_has_each_effect_once(
        self, company, silent_broker, run_in_child: Callable[..., int], point, effects_so_far
    ):
        job_id = put(company)
        assert run_in_child(job_id, point) == -signal.SIGKILL
        assert effects(company) == effects_so_far
        later = timezone.now() + 10 * SECOND
        if not effects_so_far:
            # The sweep's message and the one that the broker delivers again.
            assert run_job(job_id, now=later)
        assert not run_job(job_id, now=later)
        assert effects(company) == 1
        assert stored(job_id).state == "done"


def test_a_heap_of_jobs_keeps_neither_the_stream_nor_the_clock_waiting() -> None:
    queues = {entry.name for entry in current_app.conf.task_queues}
    queue_of = {
        name: current_app.amqp.router.route({}, name)["queue"].name
        for name in ("core.run_job", TASK, "core.tick", "core.sweep_jobs", "core.worker_heartbeat")
    }
    assert set(queue_of.values()) == queues
    assert queue_of["core.run_job"] not in (queue_of[TASK], queue_of["core.tick"])


def test_a_worker_reads_the_clock_first_and_the_other_queues_in_turn(silent_broker: Redis) -> None:
    """In turn with a heap of jobs, the clock's messages would expire before they are read."""
    read: list[str] = []

    def note(_: Any, message: Any) -> None:
        read.append(message.delivery_info["routing_key"])
        message.ack()

    with current_app.connection_for_read() as link:
        producer = link.Producer()
        for queue in ("jobs", "stream", "clock") * 3:
            producer.publish({}, exchange="", routing_key=queue)
        with link.Consumer(list(current_app.amqp.queues.values()), callbacks=[note]):
            while len(read) < 9:
                link.drain_events(timeout=5)
    assert read[:3] == ["clock"] * 3
    assert read[3:5] == read[5:7] == read[7:], "the others take turns"
