"""Imports have limits that are told before anything is staged, stop within a batch, and refuse rules that cannot work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from data_import.models import ImportJob, JobStatus
from data_import.operations import commit, staging
from data_import.operations.jobs import change_job
from tests.data_import.test_api import JOBS, upload
from tests.worlds import World

pytestmark = pytest.mark.django_db
TEMPLATES = "/api/v1/data-import/templates/"
NAMES = {"Name": "name"}


def staged(job: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM data_import_importstagingrecord WHERE job_id = %s", [job])
        return int(cursor.fetchone()[0])


class TestLimits:
    def test_of_rows_is_told_when_the_file_is_looked_at(self, acme: World, settings: Any) -> None:
        settings.IMPORT_MAX_ROWS = 10
        client = acme.client()
        answers = {}
        for count in (10, 11):
            text = "Name\n" + "".join(f"Row {n}\n" for n in range(count))
            job = upload(client, text, entity_type="account").json()["id"]
            answers[count] = client.post(f"{JOBS}{job}/detect/")
        assert answers[10].status_code == 200, answers[10].content
        assert (answers[11].status_code, answers[11].json()["code"]) == (413, "too_many_rows")
        assert answers[11].json()["limit"] == 10

    def test_of_rows_does_not_mistake_lines_of_a_cell_for_rows(self, acme: World, settings: Any) -> None:
        settings.IMPORT_MAX_ROWS = 10
        client = acme.client()
        text = "Name,Note\n" + "".join(f'Row {n},"one\ntwo\nthree"\n' for n in range(9))
        job = upload(client, text, entity_type="account").json()["id"]
        assert client.post(f"{JOBS}{job}/detect/").status_code == 200

    def test_of_open_imports(self, acme: World, globex: World, settings: Any) -> None:
        settings.IMPORT_MAX_OPEN_JOBS = 1
        client = acme.client()
        job = upload(client, entity_type="account").json()["id"]
        refused = upload(client, entity_type="account")
        assert (refused.status_code, refused.json()["code"]) == (409, "too_many_open_imports")
        assert refused.json()["limit"] == 1
        assert upload(globex.client(), entity_type="account").status_code == 201
        assert client.post(f"{JOBS}{job}/cancel/").status_code == 200
        assert upload(client, entity_type="account").status_code == 201

    def test_of_staged_bytes_is_told_at_the_start(self, acme: World, settings: Any) -> None:
        client = acme.client()
        job = upload(client, "Name\nA\n", entity_type="account").json()["id"]
        assert client.post(f"{JOBS}{job}/detect/").status_code == 200
        settings.IMPORT_MAX_STAGED_MB = 0
        refused = client.post(f"{JOBS}{job}/start/", {})
        assert (refused.status_code, refused.json()["code"]) == (409, "staging_full")
        assert staged(job) == 0


class TestCancel:
    @pytest.mark.parametrize("phase", ["stage", "import"])
    def test_stops_within_a_batch(
        self,
        phase: str,
        acme: World,
        write: Callable[..., Path],
        run: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Canceled while the second of ten batches is at work, nothing of the third is done."""
        monkeypatch.setattr(staging, "BATCH_ROWS", 10)
        module: Any = staging if phase == "stage" else commit
        name = "_write_staged" if phase == "stage" else "write_batch"
        work, calls = getattr(module, name), []

        def canceling(*args: Any, **kwargs: Any) -> Any:
            done = work(*args, **kwargs)
            calls.append(1)
            if len(calls) == 2:
                job = ImportJob.objects.get()
                change_job(acme.system, job.pk, timezone.now(), status=JobStatus.CANCELED)
            return done

        monkeypatch.setattr(module, name, canceling)
        text = "Name\n" + "".join(f"Row {n}\n" for n in range(100))
        ended, job = run(write(text), "account", field_mapping=NAMES)
        assert (ended.status, job.status) == (JobStatus.CANCELED, JobStatus.CANCELED)
        assert len(calls) == 2
        assert job.created_count == (0 if phase == "stage" else 20)


class TestRules:
    @pytest.mark.parametrize(
        ("rules", "path", "code"),
        [
            (
                {"validation_rules": [{"field": "name", "rule": "regex", "pattern": "("}]},
                "0.pattern",
                "bad_pattern",
            ),
            ({"validation_rules": [{"field": "name", "rule": "regex"}]}, "0.pattern", "required"),
            ({"validation_rules": [{"field": "name", "rule": "range", "min": 1}]}, "0.rule", "does_not_fit"),
            (
                {"validation_rules": [{"field": "name", "rule": "length", "min": 5, "max": 1}]},
                "0.max",
                "out_of_range",
            ),
            ({"validation_rules": [{"field": "nobody", "rule": "required"}]}, "0.field", "unknown_field"),
            (
                {"transformation_rules": [{"field": "name", "transform": "shout"}]},
                "0.transform",
                "unknown_transform",
            ),
            (
                {"transformation_rules": [{"field": "name", "transform": "regex_replace", "pattern": "["}]},
                "0.pattern",
                "invalid",
            ),
            (
                {
                    "transformation_rules": [
                        {"field": "number_of_employees", "transform": "parse_date", "formats": ["YYYY"]}
                    ]
                },
                "0.transform",
                "does_not_fit",
            ),
        ],
    )
    def test_that_cannot_work_are_refused_when_they_are_saved(
        self, acme: World, rules: dict[str, Any], path: str, code: str
    ) -> None:
        client = acme.client()
        where = f"{next(iter(rules))}.{path}"
        body = {"name": "Accounts", "entity_type": "account", **rules}
        rows = {"operations": [{"op": "create", **body}]}
        job = upload(client, entity_type="account").json()["id"]
        for answer in (
            client.post(TEMPLATES, body),
            client.post(f"{TEMPLATES}bulk/", rows),
            client.patch(f"{JOBS}{job}/", rules),
        ):
            assert answer.status_code in (200, 400), answer.content
            faults = answer.json().get("errors") or answer.json()["results"][0]["errors"]
            assert [fault["code"] for fault in faults if fault["path"].endswith(where)] == [code], (
                answer.content
            )

    def test_that_work_are_kept(self, acme: World) -> None:
        body = {
            "name": "Accounts",
            "entity_type": "account",
            "validation_rules": [
                {"field": "name", "rule": "regex", "pattern": "[A-Z].*"},
                {"field": "number_of_employees", "rule": "range", "min": 1},
            ],
            "transformation_rules": [{"field": "name", "transform": "trim"}],
        }
        assert acme.client().post(TEMPLATES, body).status_code == 201
