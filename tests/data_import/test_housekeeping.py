"""Files of uploads that were undone do not lie around for ever."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from core.jobs import enqueue, running
from core.jobs.models import Job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import company_context, system_context
from data_import.models import ImportJob
from data_import.storage import path_of, store
from tests.worlds import World


def _orphan(world: World, age: timedelta) -> Path:
    """A file whose import never came into being."""
    place = path_of(store(world.company.pk, uuid4(), [b"Name\nUndone\n"]).path)
    then = (timezone.now() - age).timestamp()
    os.utime(place, (then, then))
    return place


def _clean(world: World) -> None:
    """The nightly job, as a worker runs it."""
    company_id: UUID = world.company.pk
    with company_context(company_id), unit_of_work():
        job_id = enqueue(kind="import.remove_orphans", payload={}, now=timezone.now())
    running.run_job(job_id)
    with system_context("looking at a job"), unit_of_work():
        assert Job.objects.get(pk=job_id).state == Job.State.DONE


@pytest.mark.django_db
class TestOrphans:
    def test_old_files_without_an_import_go_and_all_others_stay(
        self,
        acme: World,
        globex: World,
        write: Callable[..., Path],
        run: Callable[..., tuple[Any, ImportJob]],
    ) -> None:
        old, young = _orphan(acme, timedelta(days=2)), _orphan(acme, timedelta(hours=23))
        of_another = _orphan(globex, timedelta(days=2))
        _, job = run(write("Name\nKept\n"), "account", field_mapping={"Name": "name"})
        imported = path_of(job.file_path)
        os.utime(imported, (0, 0))

        _clean(acme)

        assert [file.exists() for file in (old, young, of_another, imported)] == [False, True, True, True]

    def test_a_company_that_never_uploaded_has_nothing_to_clean(self, acme: World) -> None:
        _clean(acme)
        assert not (settings.MEDIA_ROOT / "imports").exists()
