"""Old imports give back the room they took."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from data_import.models import ImportJob, JobStatus
from data_import.operations.housekeeping import release_old_imports
from data_import.queries import count_rows
from tests.worlds import World


@pytest.mark.django_db
class TestOldImports:
    def test_lose_their_staged_rows_and_keep_their_counts(
        self,
        acme: World,
        globex: World,
        write: Callable[..., Path],
        run: Callable[..., tuple[Any, ImportJob]],
    ) -> None:
        file, mapping = write("Name\nKept\n"), {"Name": "name"}
        _, old = run(file, "account", field_mapping=mapping)
        _, planned = run(file, "account", field_mapping=mapping, dry_run=True)
        _, young = run(file, "account", field_mapping=mapping)
        _, foreign = run(file, "account", field_mapping=mapping, world=globex)
        with acme.acting(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE data_import_importjob SET updated_at = now() - interval '31 days' WHERE id = ANY(%s)",
                [[old.pk, planned.pk]],
            )

        now = timezone.now()
        assert release_old_imports(acme.company.pk, before=now - timedelta(days=30), now=now) == 2

        with acme.acting():
            left = {job: count_rows(acme.company.pk, job.pk).total for job in (old, planned, young)}
            assert list(left.values()) == [0, 0, 1]
            states = {
                job.pk: (job.status, job.created_count, job.staged_bytes > 0)
                for job in ImportJob.objects.all()
            }
        assert states[old.pk] == (JobStatus.COMPLETED, 1, False)
        assert states[planned.pk] == (JobStatus.CANCELED, 0, False), "nobody came back to it"
        assert states[young.pk] == (JobStatus.COMPLETED, 1, True)
        with globex.acting():
            assert count_rows(globex.company.pk, foreign.pk).total == 1

    def test_are_released_once(
        self, acme: World, write: Callable[..., Path], run: Callable[..., Any]
    ) -> None:
        run(write("Name\nKept\n"), "account", field_mapping={"Name": "name"})
        now = timezone.now() + timedelta(days=31)
        assert release_old_imports(acme.company.pk, before=now, now=now) == 1
        assert release_old_imports(acme.company.pk, before=now + timedelta(days=1), now=now) == 0
