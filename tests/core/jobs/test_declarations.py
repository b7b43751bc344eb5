"""Every task and job says whose work it is."""

from __future__ import annotations

from io import StringIO

import pytest
from celery import current_app
from django.conf import settings
from django.core.management import call_command

from core.jobs.registry import job_kinds
from core.jobs.task import Task, task
from core.tenancy.context import current


def own_tasks() -> list:
    return [entry for name, entry in sorted(current_app.tasks.items()) if not name.startswith("celery.")]


@pytest.mark.parametrize("entry", own_tasks(), ids=lambda entry: entry.name)
def test_each_task_declares_its_tenancy(entry):
    assert isinstance(entry, Task)
    assert entry.tenancy in ("company", "platform")
    assert entry.acks_late
    assert entry.reject_on_worker_lost


def test_beat_rings_only_for_tasks_that_are_there_and_whose_messages_expire():
    assert settings.CELERY_BEAT_SCHEDULE
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["task"] in current_app.tasks
        assert entry["options"]["expires"] <= 30


@pytest.fixture
def company_task():
    def tell(company_id, text):
        return current().company_id, text

    entry = task("test.company", tenancy="company")(tell)
    yield current_app.tasks[entry.name]
    current_app.tasks.unregister("test.company")


def test_a_companys_task_runs_inside_it(company_task):
    company_id = "01a1fbec-efc3-7060-9da1-fc24385e3f5b"
    bound, text = company_task.apply((company_id, "hello")).get()
    assert (str(bound), text) == (company_id, "hello")
    assert current().company_id is None


@pytest.mark.parametrize(
    ("subject", "line"),
    [("jobs", "core.purge_old\tplatform\tlong-running"), ("tasks", "core.run_job\tplatform")],
)
def test_describe_lists_what_is_declared(subject, line):
    output = StringIO()
    call_command("describe", subject, stdout=output)
    assert line in output.getvalue()
    assert len(output.getvalue().splitlines()) >= (len(job_kinds) if subject == "jobs" else 5)
