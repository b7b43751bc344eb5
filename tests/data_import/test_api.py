"""Imports over HTTP: upload, detect, plan, correct, start, watch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.jobs.running import run_job
from crm.models import Account
from tests.worlds import World

JOBS = "/api/v1/data-import/jobs/"
ROWS = "Company;Web;Staff\nAlpha;alpha.example;12\n=Beta;beta.example;many\nGamma;;7\n"
MAPPING = '{"Company": "name", "Web": "website", "Staff": "number_of_employees"}'

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests say themselves when the work is done; nothing commits here, so no message goes out.
    monkeypatch.setattr("core.kernel.doorbell.ring", lambda *args: True)


def upload(client: Any, text: str | bytes = ROWS, **fields: str) -> Any:
    content = text if isinstance(text, bytes) else text.encode()
    headers = {"HTTP_IDEMPOTENCY_KEY": fields.pop("key")} if "key" in fields else {}
    form = {"file": SimpleUploadedFile("companies.csv", content, "text/csv"), **fields}
    return client.generic("POST", JOBS, encode_multipart(BOUNDARY, form), MULTIPART_CONTENT, **headers)


@pytest.fixture
def work(acme: World) -> Callable[[], None]:
    """Do what a worker would."""

    def done() -> None:
        from django.db import connection

        from core.tenancy.context import system_context

        with system_context("finding jobs for a test"), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM core_job WHERE kind = 'import.run' AND state = 'open'")
            ids = [row[0] for row in cursor.fetchall()]
        for job_id in ids:
            run_job(job_id)

    return done


class TestUpload:
    def test_makes_a_job_that_belongs_to_its_maker(self, acme: World) -> None:
        answer = upload(acme.client("sales"), entity_type="account", field_mapping=MAPPING)
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert (body["status"], body["file_name"], body["file_size"]) == (
            "uploaded",
            "companies.csv",
            len(ROWS),
        )
        assert body["owner"] == str(acme.users["sales"])
        assert answer["Location"].endswith(f"{JOBS}{body['id']}/")
        assert acme.client("sales").get(f"{JOBS}{body['id']}/").status_code == 200
        assert "file_path" not in body

    def test_refuses_whom_may_not_write_the_records(self, acme: World) -> None:
        assert upload(acme.client("viewer"), entity_type="account").status_code == 403
        assert upload(acme.client("sales"), entity_type="user").status_code == 403

    def test_names_what_is_wrong(self, acme: World) -> None:
        client = acme.client()
        assert client.post(JOBS, {"entity_type": "account"}).status_code == 400
        assert upload(client, entity_type="nothing").json()["errors"][0]["path"] == "entity_type"
        assert (
            upload(client, entity_type="account", surprise="1").json()["errors"][0]["code"] == "unknown_field"
        )
        assert upload(client, entity_type="account", options='{"date_order": "ymd"}').status_code == 400
        assert upload(client, entity_type="account", settings="[1").status_code == 400

    @pytest.mark.parametrize("template", ["nonsense", "01890000-0000-7000-8000-000000000000"])
    def test_refuses_a_template_that_is_not_there(self, acme: World, template: str) -> None:
        answer = upload(acme.client(), template=template)

        assert answer.status_code == 400
        assert answer.json()["errors"] == [
            {"path": "template", "code": "does_not_exist", "detail": "There is no such record."}
        ]

    def test_the_same_request_again_is_the_same_job(self, acme: World) -> None:
        client = acme.client()
        first = upload(client, entity_type="account", key="once")
        again = upload(client, entity_type="account", key="once")
        assert again.json() == first.json()
        assert again["Idempotency-Replayed"] == "true"
        other = upload(client, ROWS + "Delta;;\n", entity_type="account", key="once")
        assert other.status_code == 422

    def test_the_file_is_private(self, acme: World, settings: Any) -> None:
        body = upload(acme.client(), entity_type="account").json()
        [path] = settings.MEDIA_ROOT.glob(f"files/{acme.company.pk}/*/{body['file_id']}")
        assert path.read_bytes() == ROWS.encode()
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0

    def test_the_file_is_read_by_those_who_see_the_import(self, acme: World, globex: World) -> None:
        file = upload(acme.client("sales"), entity_type="account").json()["file_id"]

        answers = {
            who: client.get(f"/api/v1/files/{file}/download/")
            for who, client in {
                "its owner": acme.client("sales"),
                "the manager above": acme.client("manager"),
                "a colleague who sees own records": acme.client("viewer"),
                "a neighbor": globex.client("admin"),
            }.items()
        }

        assert b"".join(answers["its owner"].streaming_content) == ROWS.encode()
        assert answers["the manager above"].status_code == 200
        assert answers["a neighbor"].status_code == 404


class TestSteps:
    def test_from_detection_to_records(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client("sales")
        job = upload(client, entity_type="account").json()["id"]
        found = client.post(f"{JOBS}{job}/detect/").json()
        assert (found["delimiter"], found["headers"]) == (";", ["Company", "Web", "Staff"])
        assert {item["column"]: item["field"] for item in found["suggestions"]}["Web"] == "website"
        changed = client.patch(
            f"{JOBS}{job}/",
            {"field_mapping": {"Company": "name", "Web": "website", "Staff": "number_of_employees"}},
        )
        assert changed.status_code == 200, changed.content
        assert client.get(f"{JOBS}{job}/preview/").status_code == 409

        assert client.post(f"{JOBS}{job}/start/", {"dry_run": True}).status_code == 202
        work()
        plan = client.get(f"{JOBS}{job}/preview/").json()
        assert plan["actions"] == {"create": 2, "update": 0}
        assert plan["create"][0]["values"] == {
            "name": "Alpha",
            "website": "alpha.example",
            "number_of_employees": "12",
        }
        rows = client.get(f"{JOBS}{job}/staging/?status=invalid").json()
        assert [row["row"] for row in rows["results"]] == [2]
        [error] = rows["results"][0]["errors"]
        assert (error["field"], error["column"], error["value"]) == ("number_of_employees", "Staff", "many")
        table = list(csv.DictReader(io.StringIO(client.get(f"{JOBS}{job}/errors.csv").content.decode())))
        assert (table[0]["row"], table[0]["column"], table[0]["value"]) == ("2", "Staff", "many")
        with acme.acting():
            assert not Account.objects.exists(), "a plan writes nothing"

        fixed = client.patch(f"{JOBS}{job}/staging/2/", {"cells": {"Staff": "30"}})
        assert (fixed.status_code, fixed.json()["status"]) == (200, "valid")
        stale = client.post(f"{JOBS}{job}/start/", {"plan_digest": plan["plan_digest"]})
        assert (stale.status_code, stale.json()["code"]) == (409, "plan_changed")
        digest = client.get(f"{JOBS}{job}/preview/").json()["plan_digest"]
        assert client.post(f"{JOBS}{job}/start/", {"plan_digest": digest}).status_code == 202
        work()
        body = client.get(f"{JOBS}{job}/").json()
        assert (body["status"], body["created_count"], body["invalid_count"]) == ("completed", 3, 0)
        progress = client.get(f"{JOBS}{job}/progress/").json()
        assert (progress["done"], progress["total"]) == (3, 3)
        with acme.acting():
            staff = dict(Account.objects.values_list("name", "number_of_employees"))
            assert staff == {"Alpha": 12, "=Beta": 30, "Gamma": 7}
            assert set(Account.objects.values_list("owner", flat=True)) == {acme.users["sales"]}
        assert client.post(f"{JOBS}{job}/start/").status_code == 409

    def test_unusable_settings_wait_for_better_ones(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        job = upload(
            client,
            "Name,Since\nA,03/04/2024\nB,05/06/2024\n",
            entity_type="contact",
            field_mapping='{"Name": "last_name", "Since": "birth_date"}',
        ).json()["id"]
        client.post(f"{JOBS}{job}/start/")
        work()
        body = client.get(f"{JOBS}{job}/").json()
        assert (body["status"], body["created_count"]) == ("mapped", 0)
        assert "'Since'" in body["error"]
        client.patch(f"{JOBS}{job}/", {"options": {"date_formats": {"Since": "DD/MM/YYYY"}}})
        client.post(f"{JOBS}{job}/start/")
        work()
        assert client.get(f"{JOBS}{job}/").json()["created_count"] == 2

    def test_canceled_is_canceled(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        job = upload(client, entity_type="account", field_mapping=MAPPING).json()["id"]
        client.post(f"{JOBS}{job}/start/")
        assert client.post(f"{JOBS}{job}/cancel/").json()["status"] == "canceled"
        work()
        with acme.acting():
            assert not Account.objects.exists()

    def test_upsert_shows_old_and_new(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        made = client.post("/api/v1/accounts/", {"name": "Alpha", "number_of_employees": 3}).json()
        job = upload(
            client, entity_type="account", field_mapping=MAPPING, mode="upsert", match_on="name"
        ).json()["id"]
        client.post(f"{JOBS}{job}/start/", {"dry_run": True})
        work()
        [sample] = client.get(f"{JOBS}{job}/preview/").json()["update"]
        assert sample["record"] == made["id"]
        assert sample["changes"] == {"website": ["", "alpha.example"], "number_of_employees": [3, "12"]}


class TestBorders:
    def test_nobody_else_sees_a_job(self, acme: World, globex: World) -> None:
        job = upload(acme.client("sales"), entity_type="account").json()["id"]
        for client in (globex.client(), globex.client("sales")):
            for tail in ("", "staging/", "preview/", "progress/", "errors.csv"):
                assert client.get(f"{JOBS}{job}/{tail}").status_code == 404
            for tail in ("detect/", "start/", "cancel/"):
                assert client.post(f"{JOBS}{job}/{tail}").status_code == 404
            assert client.patch(f"{JOBS}{job}/staging/1/", {"cells": {}}).status_code == 404
        assert acme.client("admin").get(f"{JOBS}{job}/").status_code == 200

    def test_references_reach_no_other_company(
        self, acme: World, globex: World, run: Any, write: Any
    ) -> None:
        made = globex.client().post("/api/v1/accounts/", {"name": "Elsewhere"}).json()
        path = write(f"Name,Account\nA,Elsewhere\nB,{made['id']}\nC,{'0' * 8}-0000-7000-8000-{'0' * 12}\n")
        ended, job = run(path, "contact", field_mapping={"Name": "last_name", "Account": "account"})
        assert ended.counts.invalid == 3
        with acme.acting():
            from data_import.queries import staged_rows

            errors = [row.errors[0] for row in staged_rows(job)]
        assert {error["code"] for error in errors} == {"does_not_exist"}
        assert len({error["detail"] for error in errors}) == 1

    def test_references_reach_no_record_that_is_not_seen(self, acme: World, run: Any, write: Any) -> None:
        acme.client("admin").post("/api/v1/accounts/", {"name": "Hidden"})
        path = write("Name,Account\nA,Hidden\n")
        mapping = {"Name": "last_name", "Account": "account"}
        assert run(path, "contact", role="sales", field_mapping=mapping)[0].counts.invalid == 1
        assert run(path, "contact", role="admin", field_mapping=mapping)[0].counts.created == 1


class TestTemplates:
    def test_are_checked_and_used(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        body = {"name": "Companies", "entity_type": "account", "field_mapping": {"Company": "name"}}
        made = client.post("/api/v1/data-import/templates/", body)
        assert made.status_code == 201, made.content
        bad = {**body, "name": "Bad", "options": {"date_formats": {"x": "QQ"}}}
        assert client.post("/api/v1/data-import/templates/", bad).status_code == 400
        job = upload(client, template=made.json()["id"]).json()["id"]
        client.post(f"{JOBS}{job}/start/")
        work()
        assert client.get(f"{JOBS}{job}/").json()["created_count"] == 3
        assert client.delete(f"/api/v1/data-import/templates/{made.json()['id']}/").status_code == 204
        assert client.get(f"{JOBS}{job}/").json()["template"] is None
