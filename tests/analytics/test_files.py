"""Files, charts, dashboards and deliveries, each read back by a reader of its own."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pypdf
import pytest
from django.utils import timezone
from python_calamine import CalamineWorkbook

from analytics.reports.models import ReportRun
from analytics.reports.operations.delivery import hand_on_due, start_due
from analytics.reports.schedules import next_time
from core.delivery.models import EmailFile, Notification, OutgoingEmail
from core.identity.models import Company, User
from core.jobs.models import Job
from core.jobs.running import run_job
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from tests.worlds import World

pytestmark = pytest.mark.django_db

REPORTS = "/api/v1/analytics/reports/"
BODY: dict[str, Any] = {
    "name": "By stage",
    "data_source": "deals",
    "pivot_rows": ["deal_type", "stage"],
    "pivot_columns": ["source"],
    "pivot_values": [{"field": "amount", "aggregation": "sum"}, {"field": "count", "aggregation": "count"}],
    "chart_config": {"type": "bar", "x_axis": "stage", "y_axis": "amount", "color_by": "deal_type"},
}


def make(client: Any, **values: Any) -> dict[str, Any]:
    answer = client.post(REPORTS, {**BODY, **values})
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def work(job_id: Any, later: timedelta = timedelta(days=40)) -> None:
    with system_context("a worker"):
        run_job(UUID(str(job_id)), now=timezone.now() + later)


def file_of(client: Any, report: dict[str, Any], format: str, body: Any = "") -> bytes:
    answer = client.post(f"{REPORTS}{report['id']}/run/?format={format}", body)
    assert answer.status_code == 202, answer.content
    run = answer.json()
    path = f"{REPORTS}{report['id']}/runs/{run['id']}/download/"
    assert client.get(path).status_code == 409
    work(run["job"])
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def total_of(client: Any, report: dict[str, Any]) -> tuple[Decimal, int]:
    answer = client.post(f"{REPORTS}{report['id']}/run/").json()
    amount, count = answer["cells"][-1][-1]
    return Decimal(amount), count


class TestFiles:
    def test_of_every_format_hold_the_grand_total(self, acme: World) -> None:
        client = acme.client("admin")
        report = make(client)
        amount, count = total_of(client, report)

        rows = list(csv.reader(io.StringIO(file_of(client, report, "csv").decode("utf-8-sig"))))
        assert rows[-1][0] == "Total"
        assert (Decimal(rows[-1][-2]), int(rows[-1][-1])) == (amount, count)
        assert any(row[:2] == ["new_business", "Prospecting"] or row[1] == "Prospecting" for row in rows)

        sheets = CalamineWorkbook.from_filelike(io.BytesIO(file_of(client, report, "excel")))
        cells = [row for name in sheets.sheet_names for row in sheets.get_sheet_by_name(name).to_python()]
        totals = [row for row in cells if row and row[0] == "Total"]
        assert [round(Decimal(str(totals[-1][-2])), 2), int(totals[-1][-1])] == [amount, count]

        text = "\n".join(
            page.extract_text() for page in pypdf.PdfReader(io.BytesIO(file_of(client, report, "pdf"))).pages
        )
        assert f"{amount:,.2f}" in text.replace("\u00a0", " ")

        page = file_of(client, report, "html").decode()
        assert f"{amount:,.2f}" in page
        assert "<img" in page or "<svg" in page

    def test_are_for_whoever_asked_alone(self, acme: World, rooms: Any) -> None:
        client = acme.client("admin")
        report = make(client, visibility="company")
        run = client.post(f"{REPORTS}{report['id']}/run/?format=csv").json()
        work(run["job"])
        path = f"{REPORTS}{report['id']}/runs/{run['id']}/download/"
        assert acme.client("viewer").get(path).status_code == 404
        assert rooms[1].client("admin").get(path).status_code == 404
        [noted] = client.get(f"{REPORTS}{report['id']}/runs/").json()["results"]
        assert acme.client("viewer").get(f"/api/v1/files/{noted['file']}/").status_code == 404

    def test_take_filters_of_their_own(self, acme: World) -> None:
        client = acme.client("admin")
        report = make(client)
        filters = {"filters": [{"field": "currency", "operator": "eq", "value": "EUR"}]}
        expected = client.post(f"{REPORTS}{report['id']}/run/", filters).json()["cells"][-1][-1][1]
        rows = list(csv.reader(io.StringIO(file_of(client, report, "csv", filters).decode("utf-8-sig"))))
        assert int(rows[-1][-1]) == expected < 60

    @pytest.mark.django_db(transaction=True)
    def test_of_a_report_that_cannot_be_made_say_why(self, acme: World) -> None:
        client = acme.client("admin")
        report = make(client)
        for rate in client.get("/api/v1/exchange-rates/").json()["results"]:
            client.delete(f"/api/v1/exchange-rates/{rate['id']}/")
        run = client.post(f"{REPORTS}{report['id']}/run/?format=pdf").json()
        work(run["job"])
        [noted] = client.get(f"{REPORTS}{report['id']}/runs/").json()["results"]
        assert noted["status"] == "failed"
        assert "exchange rate" in noted["error"]


class TestCharts:
    @pytest.mark.parametrize(
        "kind", ["bar", "stacked_bar", "line", "area", "pie", "scatter", "heatmap", "gauge", "funnel"]
    )
    def test_of_every_type_are_one_specification(self, acme: World, kind: str) -> None:
        client = acme.client("admin")
        chart = {"type": kind, "y_axis": "amount"}
        report = make(client, chart_config=chart)
        answer = client.get(f"{REPORTS}{report['id']}/chart/?theme=dark")
        assert answer.status_code == 200, answer.content
        assert answer.json()["$schema"].endswith("v6.json")
        assert "No data" not in answer.content.decode()

    def test_draw_what_the_database_counts(self, acme: World) -> None:
        client = acme.client("admin")
        config = {"type": "bar", "x_axis": "deal_type", "y_axis": "amount"}
        report = make(client, chart_config=config)
        drawn = client.get(f"{REPORTS}{report['id']}/chart/").json()
        answer = client.post(f"{REPORTS}{report['id']}/run/").json()
        subtotals = {
            header["labels"][0]: Decimal(line[-1][0])
            for header, line in zip(answer["rows"], answer["cells"], strict=True)
            if header["kind"] == "subtotal"
        }
        values = {item["x"]: round(Decimal(item["y"]), 2) for item in drawn["data"]["values"]}
        assert values == subtotals


class TestDashboards:
    def test_show_each_report_with_the_shared_filters(self, acme: World) -> None:
        client = acme.client("admin")
        reports = [make(client, name=name) for name in ("One", "Two")]
        body = {
            "name": "Sales",
            "widgets": [{"report": item["id"], "x": place * 6} for place, item in enumerate(reports)],
            "filters": [{"field": "currency", "operator": "eq", "value": "USD"}],
        }
        made = client.post("/api/v1/analytics/dashboards/", body)
        assert made.status_code == 201, made.content
        shown = client.post(f"/api/v1/analytics/dashboards/{made.json()['id']}/run/").json()
        assert [item["title"] for item in shown["widgets"]] == ["One", "Two"]
        assert all(0 < item["pivot"]["row_count"] < 60 and item["chart"] for item in shown["widgets"])

    def test_name_only_reports_that_their_maker_sees(self, acme: World, rooms: Any) -> None:
        theirs = make(rooms[1].client("admin"))
        body = {"name": "Sales", "widgets": [{"report": theirs["id"]}]}
        answer = acme.client("admin").post("/api/v1/analytics/dashboards/", body)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["path"] == "widgets.0.report"

    def test_say_what_they_cannot_show_and_show_the_rest(self, acme: World) -> None:
        client = acme.client("manager")
        private, shared = make(client, name="Private"), make(client, name="Shared", visibility="company")
        body = {
            "name": "Sales",
            "visibility": "company",
            "widgets": [{"report": private["id"]}, {"report": shared["id"]}],
        }
        made = client.post("/api/v1/analytics/dashboards/", body).json()
        first, second = (
            acme.client("sales").post(f"/api/v1/analytics/dashboards/{made['id']}/run/").json()["widgets"]
        )
        assert (first["pivot"], bool(first["problem"])) == (None, True)
        assert second["pivot"]["row_count"] == 0


def deliveries(report_id: str) -> list[Any]:
    with system_context("looking"), unit_of_work():
        runs = ReportRun.objects.filter(report_id=report_id, trigger="schedule").order_by("created_at", "pk")
        return list(runs)


def tick(world: World, report: dict[str, Any], now: datetime) -> int:
    """What two beats and a repeated job do at this time."""
    for _ in range(2):
        with system_context("a beat"), unit_of_work():
            hand_on_due(now=now)
    started = 0
    for _ in range(2):
        with world.acting(source="task"):
            started += start_due(world.company.pk, [UUID(report["id"])], now=now)
    return started


class TestSchedules:
    @pytest.mark.parametrize(
        ("frequency", "document", "after", "expected"),
        [
            ("daily", {}, "2026-03-01T07:59:00Z", "2026-03-01T08:00:00Z"),
            ("daily", {}, "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z"),
            ("weekly", {"weekday": 5, "time": "17:30"}, "2026-03-01T00:00:00Z", "2026-03-06T17:30:00Z"),
            ("monthly", {"day": 31}, "2026-02-01T00:00:00Z", "2026-02-28T08:00:00Z"),
            ("cron", {"cron": "0 6 * * 1-5"}, "2026-03-06T06:00:00Z", "2026-03-09T06:00:00Z"),
            # Clocks go forward between these two mornings.
            ("daily", {"timezone": "Europe/Berlin"}, "2026-03-28T08:00:00Z", "2026-03-29T06:00:00Z"),
        ],
    )
    def test_are_due_by_the_clocks_of_their_zone(
        self, frequency: str, document: Any, after: str, expected: str
    ) -> None:
        found = next_time(document, frequency, "UTC", datetime.fromisoformat(after))
        assert found == datetime.fromisoformat(expected)

    def test_start_each_slot_once_and_are_mailed_once(self, acme: World) -> None:
        client = acme.client("admin")
        members = [acme.email("sales"), acme.email("viewer")]
        report = make(client, is_scheduled=True, schedule_frequency="daily", schedule_recipients=members)
        due = datetime.fromisoformat(report["next_run_at"])
        assert tick(acme, report, due + timedelta(seconds=5)) == 1
        [run] = deliveries(report["id"])
        work(run.job_id)
        with system_context("looking"), unit_of_work():
            # A worker that died before it could say so does it again.
            Job.objects.filter(pk=run.job_id).update(state="open", closed_at=None)
            mails = list(OutgoingEmail.objects.filter(kind="report", entity_id=report["id"]))
            assert sorted(mail.recipient for mail in mails) == sorted(members)
            names = [item["name"] for item in mails[0].attachments]
            assert [name.rpartition(".")[2] for name in names] == ["pdf", "png"]
            contents = [
                bytes(EmailFile.objects.get(pk=item["file"]).content) for item in mails[0].attachments
            ]
            assert contents[0].startswith(b"%PDF")
            assert contents[1].startswith(b"\x89PNG")
            assert 'src="cid:chart"' in mails[0].html
        work(run.job_id, timedelta(days=41))
        with system_context("looking"), unit_of_work():
            assert OutgoingEmail.objects.filter(kind="report", entity_id=report["id"]).count() == 2
        after = client.get(f"{REPORTS}{report['id']}/").json()
        assert datetime.fromisoformat(after["next_run_at"]) == due + timedelta(days=1)
        # The clockwork changes nothing of the report itself.
        assert after["version"] == report["version"]

    def test_give_each_recipient_what_they_see_themselves(self, acme: World) -> None:
        client = acme.client("admin")
        people = [acme.email("sales"), acme.email("viewer")]
        report = make(
            client,
            visibility="company",
            is_scheduled=True,
            schedule={"per_recipient": True},
            schedule_recipients=people,
            delivery_format="csv",
        )
        assert tick(acme, report, datetime.fromisoformat(report["next_run_at"])) == 2
        counts = {}
        for run in deliveries(report["id"]):
            work(run.job_id)
            with system_context("looking"), unit_of_work():
                mail = OutgoingEmail.objects.get(recipient=run.recipient, entity_id=report["id"])
                content = bytes(EmailFile.objects.get(pk=mail.attachments[0]["file"]).content)
            counts[run.recipient] = int(
                list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))[-1][-1] or 0
            )
        for role, email in zip(("sales", "viewer"), people, strict=True):
            shown = acme.client(role).post(f"{REPORTS}{report['id']}/run/").json()
            assert counts[email] == shown["row_count"]
        assert counts[people[0]] == 0 < counts[people[1]] == 60

    def test_write_to_strangers_only_at_domains_that_the_company_allows(self, acme: World) -> None:
        client = acme.client("admin")
        strangers = ["ada@partner.example", "eve@elsewhere.example"]
        client.patch("/api/v1/company/", {"settings": {"report_recipient_domains": ["partner.example"]}})
        report = make(client, is_scheduled=True, schedule_recipients=strangers, delivery_format="csv")
        tick(acme, report, datetime.fromisoformat(report["next_run_at"]))
        [run] = deliveries(report["id"])
        work(run.job_id)
        with system_context("looking"), unit_of_work():
            sent = list(
                OutgoingEmail.objects.filter(entity_id=report["id"]).values_list("recipient", flat=True)
            )
            assert sent == [strangers[0]]
            assert Notification.objects.filter(kind="report.failed").count() == 1
        assert strangers[1] in deliveries(report["id"])[0].error

    @pytest.mark.django_db(transaction=True)
    def test_tell_the_owner_what_could_not_be_made(self, acme: World) -> None:
        client = acme.client("admin")
        report = make(client, is_scheduled=True, schedule_recipients=[acme.email("sales")])
        for rate in client.get("/api/v1/exchange-rates/").json()["results"]:
            client.delete(f"/api/v1/exchange-rates/{rate['id']}/")
        tick(acme, report, datetime.fromisoformat(report["next_run_at"]))
        [run] = deliveries(report["id"])
        work(run.job_id)
        assert deliveries(report["id"])[0].status == "failed"
        with system_context("looking"), unit_of_work():
            [told] = Notification.objects.filter(kind="report.failed")
            assert told.recipient_id == acme.users["admin"]
            assert "exchange rate" in told.body
            assert not OutgoingEmail.objects.filter(kind="report").exists()

    def test_end_with_their_owner(self, acme: World) -> None:
        client = acme.client("manager")
        report = make(client, is_scheduled=True, schedule_recipients=[acme.email("sales")])
        with system_context("a person leaves"), unit_of_work():
            User.objects.filter(pk=acme.users["manager"]).update(is_active=False)
        assert tick(acme, report, datetime.fromisoformat(report["next_run_at"])) == 0
        after = acme.client("admin").get(f"{REPORTS}{report['id']}/").json()
        assert (after["is_scheduled"], after["next_run_at"]) == (False, None)

    def test_pause_and_go_on(self, acme: World) -> None:
        client = acme.client("admin")
        report = make(client, is_scheduled=True, schedule_recipients=[acme.email("sales")])
        path = f"{REPORTS}{report['id']}/"
        assert client.patch(path, {"is_scheduled": False}).json()["next_run_at"] is None
        assert client.patch(path, {"is_scheduled": True}).json()["next_run_at"] is not None
        answer = client.patch(path, {"schedule_frequency": "cron", "schedule": {"cron": "* * * * *"}})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "too_often")


def test_the_company_decides_where_days_begin(acme: World) -> None:
    """One record, two zones: it was made on the eve there, and on the day here."""
    client = acme.client("admin")
    days = []
    for zone in ("UTC", "Pacific/Auckland"):
        with system_context("test"), unit_of_work():
            Company.objects.filter(pk=acme.company.pk).update(timezone=zone)
        body = {"data_source": "deals", "pivot_rows": ["created_at:day"]}
        answer = client.post(f"{REPORTS}preview/", body).json()
        days.append({header["key"][0] for header in answer["rows"] if header["key"]})
    assert days[0] != days[1]


def test_what_is_kept_of_a_schedule(acme: World) -> None:
    report = make(acme.client("admin"), is_scheduled=True, schedule_recipients=["lead@example.com"])
    due = datetime.fromisoformat(report["next_run_at"])
    assert due > datetime.now(UTC)
    assert due.isoweekday() == 1
