"""Due times as rows: nothing due is lost, nothing is done twice."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from core.identity.models import Company
from core.jobs import take_slots
from core.jobs.models import Job, Slot
from core.jobs.schedules import due_times, last_slots, tick
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def take(due, *, now=NOON, **options):
    with unit_of_work():
        return take_slots("report:1", due, now=now, **options)


def missed() -> list[datetime]:
    return list(Slot.objects.filter(is_missed=True).order_by("due_at").values_list("due_at", flat=True))


@pytest.mark.django_db(transaction=True)
class TestTakeSlots:
    def test_gives_each_slot_once(self):
        assert take([NOON]) == [NOON]
        assert take([NOON]) == []

    def test_gives_each_slot_once_to_ten_beats_at_the_same_time(self):
        taken = []

        def work():
            taken.extend(take([NOON - HOUR, NOON], catch_up="all"))
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [NOON - HOUR, NOON]

    @pytest.mark.parametrize(
        ("policy", "acted", "noted"),
        [
            ("skip", [], [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR]),
            ("once", [NOON - HOUR], [NOON - 3 * HOUR, NOON - 2 * HOUR]),
            ("all", [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR], []),
        ],
    )
    def test_makes_up_for_three_missed_slots_as_the_policy_says(self, policy, acted, noted):
        due = [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR]
        assert take(due, catch_up=policy) == acted
        assert missed() == noted

    def test_leaves_the_future_alone(self):
        assert take([NOON + HOUR]) == []
        assert last_slots(["report:1"]) == {}

    def test_gives_a_slot_back_with_the_transaction(self):
        def fails():
            with unit_of_work():
                assert take_slots("report:1", [NOON], now=NOON) == [NOON]
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fails()
        assert take([NOON]) == [NOON]


class TestDueTimes:
    def test_lists_the_multiples_since_the_last_one(self):
        times = due_times(NOON - 3 * HOUR, every=HOUR, offset=timedelta(minutes=15), now=NOON)
        quarter = NOON.replace(minute=15)
        assert times == [quarter - 3 * HOUR, quarter - 2 * HOUR, quarter - HOUR]

    def test_starts_a_new_schedule_with_its_latest_time(self):
        assert due_times(None, every=HOUR, offset=timedelta(0), now=NOON + HOUR / 2) == [NOON]

    def test_ends_a_long_silence_with_a_hundred(self):
        times = due_times(NOON - 10_000 * HOUR, every=HOUR, offset=timedelta(0), now=NOON)
        assert (len(times), times[-1]) == (100, NOON)


class TestTick:
    def hourly_jobs(self) -> list[Job]:
        with system_context("test"), unit_of_work():
            return list(Job.objects.filter(kind="test.hourly"))

    def test_makes_one_job_for_each_active_company(self, company, other_company, silent_broker):
        with system_context("test"), unit_of_work():
            Company.objects.create(name="Gone", slug="gone", is_active=False)
        tick(now=NOON)
        assert {job.company_id for job in self.hourly_jobs()} == {company.id, other_company.id}

    def test_makes_it_once_for_five_beats_at_once(self, company, silent_broker):
        def work():
            tick(now=NOON)
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(self.hourly_jobs()) == 1

    def test_does_not_pile_up_behind_a_job_that_is_still_open(self, company, silent_broker):
        tick(now=NOON)
        tick(now=NOON + HOUR)
        assert len(self.hourly_jobs()) == 1

    def test_notes_what_was_missed_while_nobody_ticked(self, company, silent_broker):
        tick(now=NOON)
        tick(now=NOON + 4 * HOUR)
        hourly = Slot.objects.filter(schedule="job:test.hourly", is_missed=True)
        assert hourly.count() == 3
