"""Exports of the log and compliance reports over HTTP, made by their jobs."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import zipfile
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from audit import exporting
from audit.models import AuditLog
from core.changes.facts import record_fact
from core.files.operations import sweep_files
from core.identity.operations import create_api_key
from core.jobs.models import Job
from core.jobs.running import run_job
from core.tenancy.context import system_context
from tests.worlds import Api, World

EXPORTS = "/api/v1/audit/exports/"
REPORTS = "/api/v1/audit/compliance-reports/"
LOGS = "/api/v1/audit/logs/"
REPORT_TYPES = ("access_review", "data_changes", "privileged_activity", "failed_logins", "retention")


def work(job_id: str) -> None:
    with system_context("a worker"):
        assert run_job(UUID(job_id), now=timezone.now() + timedelta(hours=2))


def ask(world: World, where: str = EXPORTS, role: str = "admin", **body: Any) -> dict[str, Any]:
    """Asked for, and not made yet."""
    answer = world.client(role).post(where, body)
    assert answer.status_code == 201, answer.content
    document: dict[str, Any] = answer.json()
    assert document["status"] == "pending"
    return document


def made(world: World, where: str = EXPORTS, role: str = "admin", **body: Any) -> dict[str, Any]:
    document = ask(world, where, role, **body)
    work(document["job_id"])
    found: dict[str, Any] = world.client(role).get(f"{where}{document['id']}/").json()
    assert found["status"] == "done", found
    return found


def download(world: World, document: dict[str, Any], where: str = EXPORTS, query: str = "") -> bytes:
    answer = world.client().get(f"{where}{document['id']}/download/{query}")
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def account(world: World, name: str, **values: Any) -> str:
    answer = world.client().post("/api/v1/accounts/", {"name": name, **values})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def entries_of(world: World, **query: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = world.client().get(LOGS, {"page_size": "200", **query}).json()["results"]
    return rows


class TestExports:
    def test_hold_what_the_list_shows(self, acme: World, globex: World) -> None:
        account(globex, "Theirs")
        record = account(acme, "Acme Ltd")
        acme.client().patch(f"/api/v1/accounts/{record}/", {"name": "Acme Inc"})
        listed = list(reversed(entries_of(acme, entity_type="account")))
        done = made(acme, file_format="json", filters={"entity_type": "account"})
        [table] = json.loads(download(acme, done))["tables"]
        assert done["row_count"] == len(listed) == len(table["rows"]) == 2
        assert (done["is_complete"], done["notice"]) == (True, "")
        for row, entry in zip(table["rows"], listed, strict=True):
            assert {name: row[name] for name in ("id", "action", "old_values", "new_values")} == {
                name: entry[name] for name in ("id", "action", "old_values", "new_values")
            }
        assert b"Theirs" not in download(acme, made(acme, file_format="ndjson"))

    @pytest.mark.parametrize("file_format", ["csv", "xlsx", "json", "ndjson", "pdf"])
    def test_come_in_every_format_and_calculate_nothing(self, file_format: str, acme: World) -> None:
        account(acme, "=HYPERLINK(1)")
        done = made(acme, file_format=file_format, filters={"entity_type": "account"})
        content = download(acme, done)
        if file_format == "csv":
            [row] = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
            assert row["entity_name"] == "'=HYPERLINK(1)"
        elif file_format == "xlsx":
            with zipfile.ZipFile(io.BytesIO(content)) as book:
                sheets = [book.read(name) for name in book.namelist() if "worksheets/sheet" in name]
            assert sheets
            assert not any(b"<f>" in sheet for sheet in sheets)
        elif file_format == "pdf":
            assert content.startswith(b"%PDF")
        else:
            assert b"=HYPERLINK(1)" in content

    def test_are_in_the_log_themselves(self, acme: World) -> None:
        done = made(acme, filters={"action": "login"})
        [entry] = entries_of(acme, action="export", entity_id=done["id"])
        assert (entry["entity_type"], entry["is_sensitive"]) == ("audit_log_export", True)
        assert entry["user"] == str(acme.users["admin"])
        assert entry["new_values"]["filters"] == {"action": "login"}
        assert len(entry["new_values"]["sha256"]) == 64

    def test_show_their_job(self, acme: World) -> None:
        document = ask(acme)
        job = f"/api/v1/jobs/{document['job_id']}/"
        assert acme.client().get(job).json()["state"] == "waiting"
        assert acme.client().get(f"{EXPORTS}{document['id']}/download/").status_code == 409
        work(document["job_id"])
        found = acme.client().get(job).json()
        assert (found["state"], found["progress"]["phase"]) == ("done", "reading")
        assert found["outcome"]["url"].endswith(f"/audit/exports/{document['id']}/download/")
        # A second run, after a worker that died behind its commit, makes no second file.
        before = entries_of(acme, entity_id=document["id"])
        with acme.acting():
            Job.objects.filter(pk=document["job_id"]).update(state="open", lease_until=None, closed_at=None)
        work(document["job_id"])
        assert entries_of(acme, entity_id=document["id"]) == before

    def test_can_be_canceled_and_taken_away(self, acme: World) -> None:
        document = ask(acme)
        assert acme.client().post(f"/api/v1/jobs/{document['job_id']}/cancel/", {}).status_code == 200
        assert acme.client().get(f"{EXPORTS}{document['id']}/").json()["status"] == "canceled"
        done = made(acme)
        assert acme.client().delete(f"{EXPORTS}{done['id']}/").status_code == 204
        assert acme.client().get(f"/api/v1/files/{done['file_id']}/").status_code == 404

    def test_are_read_by_whoever_asked_for_them(self, acme: World, globex: World) -> None:
        done = made(acme)
        for world, role in ((acme, "sales"), (acme, "viewer"), (globex, "admin")):
            answer = world.client(role).get(f"{EXPORTS}{done['id']}/download/")
            assert answer.status_code in (403, 404)
            assert world.client(role).get(f"/api/v1/files/{done['file_id']}/download/").status_code == 404
        assert acme.client("manager").post(EXPORTS, {}).status_code == 403
        link = acme.client().post(f"/api/v1/files/{done['file_id']}/link/", {}).json()["url"]
        opened = Api().get(link.partition("/api/v1")[2])
        assert b"".join(opened.streaming_content) == download(acme, done)

    def test_of_a_key_show_no_more_than_the_key(self, acme: World) -> None:
        account(acme, "Acme Ltd", website="https://acme.test/")
        with acme.acting() as actor:
            key = create_api_key(actor, name="k", scopes=["view_audit", "manage_audit"], now=timezone.now())
        api = Api(key.key, "Api-Key")
        asked = api.post("/audit/exports/", {"file_format": "ndjson", "filters": {"entity_type": "account"}})
        assert asked.status_code == 201, asked.content
        work(asked.json()["job_id"])
        answer = api.get(f"/audit/exports/{asked.json()['id']}/download/")
        [row] = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
        assert (row["action"], row["new_values"]) == ("create", {})

    @pytest.mark.parametrize(
        ("body", "path", "code"),
        [
            ({"file_format": "docx"}, "file_format", "not_a_choice"),
            ({"filters": {"nonsense": "1"}}, "filters.nonsense", "unknown_parameter"),
            ({"filters": {"entity_id": "1"}}, "filters.entity_id", ""),
            ({"filters": {"at__lt": "soon"}}, "filters.at__lt", ""),
            ({"filters": {"action": 5}}, "filters.action", "empty_value"),
            ({"filters": ["action"]}, "filters", "not_an_object"),
            ({"status": "done"}, "status", ""),
        ],
    )
    def test_refuse_what_they_do_not_understand(self, body: Any, path: str, code: str, acme: World) -> None:
        answer = acme.client().post(EXPORTS, body)
        assert answer.status_code == 400, answer.content
        [fault] = answer.json()["errors"]
        assert fault["path"] == path
        assert not code or fault["code"] == code

    def test_fail_when_their_owner_has_no_right_any_more(self, acme: World) -> None:
        document = ask(acme)
        with acme.acting():
            job = Job.objects.get(pk=document["job_id"])
            Job.objects.filter(pk=job.pk).update(payload={**job.payload, "user": str(acme.users["sales"])})
        with system_context("a worker"):
            run_job(job.pk, now=timezone.now() + timedelta(hours=2))
        found = acme.client().get(f"{EXPORTS}{document['id']}/").json()
        assert (found["status"], found["file_id"]) == ("failed", None)
        assert "may not see" in found["error"]

    def test_go_when_their_time_is_over(self, acme: World) -> None:
        done = made(acme)
        sweep_files(now=timezone.now() + timedelta(days=31))
        answer = acme.client().get(f"{EXPORTS}{done['id']}/download/")
        assert (answer.status_code, answer.json()["code"]) == (410, "file_expired")

    def test_take_as_much_memory_for_many_as_for_few(
        self, acme: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exporting, "PAGE", 50)
        with acme.acting():
            for number in range(1_500):
                record_fact(action="export", entity_type="account", details={"text": f"{number}" * 100})
        peaks = []
        for rows in (300, 1_500):
            with acme.acting() as actor:
                last = list(AuditLog.objects.order_by("pk").values_list("pk", flat=True)[:rows])[-1]
                tracemalloc.start()
                columns = exporting.columns_for("csv")
                read = sum(1 for _ in exporting.rows_of(actor, {}, last, columns, lambda done: None))
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
            assert read == rows
        assert peaks[1] < peaks[0] * 1.3


class TestReports:
    @pytest.mark.parametrize("report_type", REPORT_TYPES)
    def test_come_as_pdf_and_json(self, report_type: str, acme: World, globex: World) -> None:
        account(globex, "Theirs")
        record = account(acme, "Acme Ltd")
        acme.client().delete(f"/api/v1/accounts/{record}/")
        Api().post("/auth/login/", {"email": acme.email("sales"), "password": "wrong"})
        acme.client().post("/api/v1/roles/", {"name": "Auditors", "permissions": ["view_audit"]})
        done = made(acme, REPORTS, report_type=report_type)
        assert download(acme, done, REPORTS).startswith(b"%PDF")
        text = download(acme, done, REPORTS, "?file_format=json").decode()
        tables = {table["name"]: table["rows"] for table in json.loads(text)["tables"]}
        assert "globex" not in text.lower()
        if report_type == "access_review":
            assert {row["email"] for row in tables["members"]} == {acme.email(role) for role in acme.users}
            assert next(row for row in tables["roles"] if row["name"] == "Auditors")["members"] == 0
            assert "role" in {row["entity_type"] for row in tables["changes"]}
        elif report_type == "data_changes":
            counts = {(row["entity_type"], row["action"]): row["count"] for row in tables["by_kind"]}
            assert (counts["account", "create"], counts["account", "delete"]) == (1, 1)
        elif report_type == "privileged_activity":
            assert ("role", "create") in {(row["entity_type"], row["action"]) for row in tables["entries"]}
            assert "account" not in {row["entity_type"] for row in tables["entries"]}
        elif report_type == "failed_logins":
            assert {"account": acme.email("sales"), "action": "login_failed", "count": 1} in tables[
                "by_account"
            ]
        else:
            assert "account" in {row["entity_type"] for row in tables["held"]}

    def test_on_a_person_tell_what_happened_to_their_record(self, acme: World, globex: World) -> None:
        ids = [
            world.client()
            .post("/api/v1/contacts/", {"last_name": "Doe", "email": "jo@doe.test"})
            .json()["id"]
            for world in (acme, globex)
        ]
        acme.client().patch(f"/api/v1/contacts/{ids[0]}/", {"email": "joan@doe.test"})
        subject = {"report_type": "data_subject_activity", "subject_type": "contact"}
        done = made(acme, REPORTS, **subject, subject_id=ids[0])
        text = download(acme, done, REPORTS, "?file_format=json").decode()
        tables = {table["name"]: table["rows"] for table in json.loads(text)["tables"]}
        assert [row["action"] for row in tables["entries"]] == ["update", "create"]
        # Which fields, not what they said.
        assert tables["entries"][0]["changed_fields"]
        assert "joan@doe.test" not in text
        for wrong in (ids[1], str(uuid4())):
            answer = acme.client().post(REPORTS, {**subject, "subject_id": wrong})
            [fault] = answer.json()["errors"]
            assert (fault["path"], fault["code"]) == ("subject_id", "does_not_exist")

    @pytest.mark.parametrize(
        ("body", "paths"),
        [
            ({}, {"report_type"}),
            ({"report_type": "astrology"}, {"report_type"}),
            ({"report_type": "data_subject_activity"}, {"subject_type", "subject_id"}),
            ({"report_type": "retention", "subject_type": "contact"}, {"subject_type"}),
            (
                {
                    "report_type": "retention",
                    "period_start": "2026-02-01T00:00:00Z",
                    "period_end": "2026-01-01T00:00:00Z",
                },
                {"period_start"},
            ),
            ({"report_type": "retention", "period_end": "0001-01-02T00:00:00Z"}, {"period_end"}),
        ],
    )
    def test_refuse_what_cannot_be_answered(self, body: Any, paths: set[str], acme: World) -> None:
        answer = acme.client().post(REPORTS, body)
        assert answer.status_code == 400, answer.content
        assert {fault["path"] for fault in answer.json()["errors"]} == paths

    def test_are_in_the_log_and_for_those_who_manage_audit(self, acme: World, globex: World) -> None:
        done = made(acme, REPORTS, report_type="retention", name="Yearly")
        [entry] = entries_of(acme, action="export", entity_id=done["id"])
        assert entry["entity_name"] == "Yearly"
        assert acme.client("viewer").get(f"{REPORTS}{done['id']}/").status_code == 403
        assert globex.client().get(f"{REPORTS}{done['id']}/download/").status_code == 404
        wrong = acme.client().get(f"{REPORTS}{done['id']}/download/?file_format=docx")
        assert wrong.status_code == 400
