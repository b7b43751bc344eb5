"""A chain of causes is told in the log step by step, through consumers and jobs, and ends where it runs in a circle."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from core.changes import Rows, stream
from core.changes.causes import MAX_DEPTH, LoopDetected
from core.changes.models import ChangeContext, ChangeLog, ParkedChange
from core.changes.stream import Batch
from core.identity.models import Membership
from core.identity.queries import find_actor
from core.jobs.operations import enqueue
from core.jobs.registry import JobKind, JobRun, job_kinds
from core.jobs.running import run_job
from core.tenancy.context import current
from crm.models import Lead, Tag
from crm.operations import create_leads, create_tags, update_tags
from tests.worlds import World, make_world

pytestmark = pytest.mark.django_db(transaction=True)
NOW = timezone.now()


@pytest.fixture
def acme(transactional_db: None) -> World:
    return make_world("acme")


def chain(acme: World, entity_type: str) -> list[tuple[int | None, int]]:
    """Cause and depth of the changes of these records, in their order."""
    with acme.acting():
        logged = ChangeLog.objects.filter(entity_type=entity_type).order_by("id")
        return list(logged.values_list("context__cause", "context__depth"))


def log_ids(acme: World, entity_type: str) -> list[int]:
    with acme.acting():
        return list(
            ChangeLog.objects.filter(entity_type=entity_type).order_by("id").values_list("id", flat=True)
        )


def make_leads(acme: World, count: int) -> None:
    with acme.acting() as actor:
        create_leads(actor=actor, rows=Rows.of(Lead, [{"last_name": f"D{n}"} for n in range(count)]), now=NOW)


class TestConsumers:
    def test_stamp_each_effect_with_its_own_cause(self, acme: World, add: Any) -> None:
        def tag(batch: Batch) -> None:
            for change in batch.changes:
                with batch.caused_by(change) as actor:
                    rows = Rows.of(Tag, [{"name": f"t{change.log_id}"}])
                    create_tags(actor=actor, rows=rows, now=NOW).raise_if_refused()

        add(tag, events=["lead.created"])
        make_leads(acme, 2)
        stream.run_consumer("test")
        assert chain(acme, "lead") == [(None, 0), (None, 0)]
        assert chain(acme, "tag") == [(log_id, 1) for log_id in log_ids(acme, "lead")]

    def test_act_for_a_person_in_the_same_chain(self, acme: World, add: Any) -> None:
        def tag(batch: Batch) -> None:
            person = find_actor(acme.users["sales"], batch.company_id)
            with batch.caused_by(batch.changes[0], person) as actor:
                assert current().actor is actor
                assert actor.rights.record_scope == "own"
                create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "t"}]), now=NOW).raise_if_refused()

        add(tag, events=["lead.created"])
        make_leads(acme, 1)
        stream.run_consumer("test")
        with acme.acting():
            context = ChangeContext.objects.get(changes__entity_type="tag")
        assert (context.actor_id, context.depth) == (acme.users["sales"], 1)

    def test_that_feed_themselves_are_stopped_and_parked_for_good(self, acme: World, add: Any) -> None:
        def rename(batch: Batch) -> None:
            for change in batch.changes:
                with batch.caused_by(change) as actor:
                    rows = Rows.of(Tag, [{"id": change.entity_id, "name": f"n{change.log_id}"}])
                    update_tags(actor=actor, rows=rows, now=NOW).raise_if_refused()

        add(rename, entity_types=["tag"])
        with acme.acting() as actor:
            create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "first"}]), now=NOW)
        for _ in range(MAX_DEPTH + 5):
            stream.run_consumer("test")
        assert [depth for _, depth in chain(acme, "tag")] == list(range(MAX_DEPTH + 1))
        parked = ParkedChange.objects.get()
        assert parked.next_try_at is None
        assert parked.error.startswith(LoopDetected.__name__)


class TestJobs:
    def test_go_on_in_the_chain_of_whoever_made_them(self, acme: World, add: Any) -> None:
        def work(run: JobRun) -> None:
            actor = current().actor
            assert actor is not None
            create_tags(actor=actor, rows=Rows.of(Tag, [{"name": "t"}]), now=NOW).raise_if_refused()

        kind = JobKind("test.chain", work, "company", True, 1, stream.timedelta(seconds=15))
        job_kinds._entries[kind.name] = kind
        jobs = []

        def enqueues(batch: Batch) -> None:
            with batch.caused_by(batch.changes[0]):
                jobs.append(enqueue(kind=kind.name, payload={}))

        try:
            add(enqueues, events=["lead.created"])
            make_leads(acme, 1)
            stream.run_consumer("test")
            # Unless a worker has done it already.
            run_job(jobs[0])
        finally:
            del job_kinds._entries[kind.name]
        assert chain(acme, "tag") == [(log_ids(acme, "lead")[0], 1)]


class TestFindActor:
    def test_has_the_rights_of_this_moment(self, acme: World) -> None:
        found = find_actor(acme.users["sales"], acme.company.pk)
        assert found == acme.actor("sales")

    def test_is_none_for_who_left_and_for_strangers(self, acme: World) -> None:
        globex = make_world("globex")
        assert find_actor(globex.users["sales"], acme.company.pk) is None
        with acme.acting():
            Membership.objects.filter(user_id=acme.users["sales"]).update(is_active=False)
        assert find_actor(acme.users["sales"], acme.company.pk) is None
