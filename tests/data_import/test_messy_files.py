"""Files as other programs and people write them: right rows, or an error that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm.models import Account, Contact, Lead
from data_import.queries import staged_rows
from tests.worlds import World

pytestmark = pytest.mark.django_db

Run = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture
def errors(acme: World) -> Callable[[Any], list[tuple[int, str | None, str]]]:
    """(row, field, code) of everything that is wrong with a job's rows."""

    def found(job: Any) -> list[tuple[int, str | None, str]]:
        with acme.acting():
            return [
                (row.row_no, error["field"], error["code"])
                for row in staged_rows(job).order_by("row_no")[:500]
                for error in row.errors or ()
            ]

    return found


class TestCollectedFiles:
    def test_every_file_gives_its_records_or_a_reason(
        self, data_dir: Callable[[str], Path], run: Run, errors: Any
    ) -> None:
        folder = data_dir("messy_csv")
        expected = json.loads((folder / "expected.json").read_text())
        small = [name for name, facts in expected.items() if facts["bytes"] < 60_000 and facts["header"]]
        assert len(small) > 35
        unusable = []
        for name in small:
            facts = expected[name]
            header = next((cell for cell in facts["header"] if cell.strip()), None)
            if header is None:
                continue
            ended, job = run(folder / name, "lead", field_mapping={header: "last_name"}, dry_run=True)
            if ended.error:
                unusable.append(name)
                continue
            assert ended.counts.total == facts["data_records"] - facts["empty_records"], name
            wide = {row for row, _, code in errors(job) if code == "wrong_width"}
            said = {
                row
                for row, _, code in errors(job)
                if code in ("wrong_width", "runaway_quote", "nul", "bad_encoding")
            }
            assert {row for row, _ in facts["wrong_width_records"]} <= said, name
            assert wide <= {row for row, _ in facts["wrong_width_records"]}, name
        # Headers that stand twice or are no headers at all.
        assert len(unusable) <= 4, unusable

    def test_sums_come_out(self, data_dir: Callable[[str], Path], run: Run, acme: World) -> None:
        from django.db.models import Sum

        path = data_dir("messy_csv") / "csvkit_ks_1033_data.csv"
        mapping = {"county": "last_name", "item_name": "company_name", "total_cost": "estimated_value"}
        ended, _ = run(path, "lead", field_mapping=mapping)
        assert (ended.counts.total, ended.counts.created) == (1_575, 1_575)
        with acme.acting():
            assert float(Lead.objects.aggregate(s=Sum("estimated_value"))["s"]) == 4_126_824.62


class TestCells:
    def test_encodings_and_signs(self, run: Run, write: Write, acme: World) -> None:
        rows = "Firma;Umsatz;Straße\nMüller & Söhne;1.234,50;Große Straße 1\nÉtoile;-0;x\n"
        mapping = {"Firma": "name", "Umsatz": "annual_revenue", "Straße": "billing_street"}
        for number, encoding in enumerate(("utf-8-sig", "cp1252", "utf-16")):
            path = write(rows.replace("Müller", f"Müller{number}").encode(encoding), f"{number}.csv")
            assert run(path, "account", field_mapping=mapping)[0].counts.created == 2
        with acme.acting():
            found = Account.objects.get(name="Müller1 & Söhne")
        assert (str(found.annual_revenue), found.billing_street) == ("1234.50", "Große Straße 1")

    def test_formulas_are_texts_and_words_are_data(self, run: Run, write: Write, acme: World) -> None:
        path = write("Name,Note\n\"=cmd|' /C calc'!A0\",'+41 44\nNULL,None\n")
        run(path, "account", field_mapping={"Name": "name", "Note": "description"})
        with acme.acting():
            assert set(Account.objects.values_list("name", "description")) == {
                ("=cmd|' /C calc'!A0", "+41 44"),
                ("NULL", "None"),
            }

    def test_faults_are_of_their_row_alone(self, run: Run, write: Write, errors: Any) -> None:
        path = write(b"Name,Staff\nA,1\nB,2,3\nC\x00,4\nD,many\n,5\nE,6\n")
        mapping = {"Name": "name", "Staff": "number_of_employees"}
        ended, job = run(path, "account", field_mapping=mapping)
        assert (ended.counts.created, ended.counts.invalid) == (2, 4)
        assert errors(job) == [
            (2, None, "wrong_width"),
            (3, None, "nul"),
            (4, "number_of_employees", "invalid_number"),
            (5, "name", "required"),
        ]

    def test_whole_names_phones_and_tags(self, run: Run, write: Write, acme: World) -> None:
        path = write('Who,Phone,Labels\nDr. Ada King Lovelace,(415) 555-0132,"Math, Poetry"\n')
        ended, _ = run(
            path,
            "contact",
            field_mapping={"Who": "full_name", "Phone": "phone", "Labels": "tags"},
            transformation_rules=[
                {"field": "phone", "transform": "normalize_phone", "default_country": "US"}
            ],
        )
        assert ended.counts.created == 1, ended
        with acme.acting():
            found = Contact.objects.get()
        assert (found.first_name, found.last_name, found.phone) == ("Ada", "Lovelace", "+14155550132")
        assert found.tags == ["Math", "Poetry"]

    def test_rules_beyond_the_kind(self, run: Run, write: Write, errors: Any) -> None:
        path = write("Name,No\nA,10\nB,x-1\nC,x-1\nDDDDDD,x-2\n")
        ended, job = run(
            path,
            "account",
            field_mapping={"Name": "name", "No": "account_number"},
            validation_rules=[
                {"field": "name", "rule": "length", "max": 5},
                {"field": "account_number", "rule": "regex", "pattern": "x-[0-9]"},
            ],
        )
        assert ended.counts.created == 1
        assert errors(job) == [
            (1, "account_number", "pattern_mismatch"),
            (3, "account_number", "not_unique"),
            (4, "name", "too_long"),
        ]


class TestReferences:
    def test_names_ids_and_doubts(self, run: Run, write: Write, acme: World, errors: Any) -> None:
        client = acme.client()
        known = client.post("/api/v1/accounts/", {"name": "Known"}).json()["id"]
        for name in ("Twin", "Twin", "twin x", "Twin X"):
            client.post("/api/v1/accounts/", {"name": name})
        path = write(f"Name,Account\nA,known\nB,{known}\nC,Twin\nD,Nobody\nE,\nF,Twin X\n")
        ended, job = run(path, "contact", field_mapping={"Name": "last_name", "Account": "account"})
        assert ended.counts.created == 4
        assert errors(job) == [(3, "account", "ambiguous"), (4, "account", "does_not_exist")]

    def test_rows_below_rows_of_the_file(self, run: Run, write: Write, acme: World, errors: Any) -> None:
        path = write("Name,Above\nLeaf,Branch\nBranch,Root\nRoot,\nX,Y\nY,X\nLost,Nobody\nBelow,Lost\n")
        ended, job = run(path, "account", field_mapping={"Name": "name", "Above": "parent"})
        assert ended.counts.created == 3
        assert {(row, code) for row, _, code in errors(job)} == {
            (4, "cycle"),
            (5, "cycle"),
            (6, "does_not_exist"),
            (7, "does_not_exist"),
        }
        with acme.acting():
            assert Account.objects.get(name="Leaf").parent.parent.name == "Root"


class TestModes:
    def test_update_changes_only_what_is_given(
        self, run: Run, write: Write, acme: World, errors: Any
    ) -> None:
        body = {"name": "A", "external_id": "1", "website": "a.example", "number_of_employees": 5}
        acme.client().post("/api/v1/accounts/", body)
        path = write("No,Web,Staff\n1,,9\n2,b.example,1\n")
        ended, job = run(
            path,
            "account",
            mode="update",
            match_on="external_id",
            field_mapping={"No": "external_id", "Web": "website", "Staff": "number_of_employees"},
        )
        assert (ended.counts.updated, ended.counts.invalid) == (1, 1)
        assert errors(job) == [(2, "external_id", "does_not_exist")]
        with acme.acting():
            found = Account.objects.get()
        assert (found.website, found.number_of_employees) == ("a.example", 9)

    def test_a_dry_run_finds_what_the_operation_would_refuse(
        self, run: Run, write: Write, acme: World, errors: Any
    ) -> None:
        path = write("Name,Stage,Close\nD,Closed Lost,2024-01-31\nE,Prospecting,2024-01-31\n")
        mapping = {"Name": "name", "Stage": "stage", "Close": "close_date"}
        planned, job = run(path, "deal", field_mapping=mapping, dry_run=True)
        assert errors(job) == [(1, "lost_reason", "lost_reason_required")]
        assert (planned.counts.valid, planned.counts.invalid) == (1, 1)
        done, job = run(path, "deal", field_mapping=mapping)
        assert (done.counts.created, done.counts.failed) == (1, 1)
        assert errors(job) == [(1, "lost_reason", "lost_reason_required")]

    def test_the_same_plan_has_the_same_digest(self, run: Run, write: Write) -> None:
        path = write("Name\nA\nB\n")
        first, _ = run(path, "account", field_mapping={"Name": "name"}, dry_run=True)
        again, _ = run(path, "account", field_mapping={"Name": "name"}, dry_run=True)
        other, _ = run(path, "account", field_mapping={"Name": "legal_name"}, dry_run=True)
        assert first.plan_digest == again.plan_digest
        assert other.plan_digest != first.plan_digest


class TestUnusable:
    @pytest.mark.parametrize(
        ("content", "code"),
        [(b"", "no content"), (b"PK\x03\x04 a workbook", "not"), (b"Name\n", "no records")],
    )
    def test_is_said_in_one_line_and_writes_nothing(
        self, content: bytes, code: str, write: Write, command: Any, acme: World
    ) -> None:
        path = write(content)
        exit_code, summary = command(str(path), "--company=acme", "--entity=account", "--map=Name=name")
        assert exit_code == 2, summary
        assert code in summary["refusal"].lower()
        with acme.acting():
            assert not Account.objects.exists()

    def test_exit_codes(self, write: Write, command: Any, acme: World) -> None:
        path = write("Name,Staff\nA,1\nB,x\n")
        options = (
            str(path),
            "--company=acme",
            "--entity=account",
            "--map=Name=name",
            "--map=Staff=number_of_employees",
        )
        assert command(*options, "--dry-run")[0] == 1
        assert command(*options)[0] == 1
        assert command(*options, "--allow-errors")[0] == 0
        assert command(*options, "--company=nobody")[0] == 2

    def test_a_plan_is_carried_out_later(self, write: Write, command: Any, acme: World) -> None:
        path = write("Name\nA\nB\n")
        code, planned = command(
            str(path), "--company=acme", "--entity=account", "--map=Name=name", "--dry-run"
        )
        assert (code, planned["valid"], planned["created"]) == (0, 2, 0)
        code, done = command("--company=acme", f"--resume={planned['job']}")
        assert (code, done["created"], done["plan_digest"]) == (0, 2, planned["plan_digest"])
        code, again = command("--company=acme", f"--resume={planned['job']}")
        assert (code, again["created"]) == (0, 2), "what has ended stays as it is"
