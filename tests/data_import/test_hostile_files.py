"""Files that mean harm, uploaded and carried out as anybody could: each ends as records or as a reason, never as a crash,
and takes no memory to speak of."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from core.jobs.running import run_job
from core.tenancy.context import system_context
from data_import.models import ImportJob
from tests.worlds import World

JOBS = "/api/v1/data-import/jobs/"
FINAL = {"completed", "failed", "completed_with_errors", "canceled"}
pytestmark = pytest.mark.django_db


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


NAMES_AND_CITIES = '{"last_name": "last_name", "city": "city"}'
HEAD = b"last_name,city\n"
FILES: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x00",
    "a header alone": HEAD,
    "NULs": b"\x00" * 100_000,
    "NULs in cells": HEAD + b"A\x00,B\x00\n\x00,\n",
    "bytes of all kinds": bytes(range(256)) * 400,
    "bad UTF-8": HEAD + b"\xff\xfe\xfd,\xc0\xaf\nOk,Bern\n",
    "UTF-8 cut short": HEAD + b"A,\xf0\x9f\x92",
    "surrogates as UTF-8": HEAD + b"A,\xed\xa0\x80\n",
    "UTF-16": (HEAD.decode() + "Müller,Bern\n").encode("utf-16"),
    "UTF-16 of odd length": (HEAD.decode() + "Müller,Bern\n").encode("utf-16") + b"\x00",
    "UTF-16 with a lone surrogate": HEAD.decode().encode("utf-16") + b"\x00\xd8,\x00\n\x00",
    "UTF-16 without a mark": (HEAD.decode() + "A,B\n").encode("utf-16-le"),
    "UTF-32": (HEAD.decode() + "A,B\n").encode("utf-32"),
    "UTF-7": b"last_name,city\n+AGE-,+2AA-\n",
    "a mark in the middle": HEAD + b"A,\xef\xbb\xbfB\n",
    "a line of 2 MB": b"x" * 2**21,
    "a cell of 2 MB": HEAD + b"A," + b"y" * 2**21 + b"\nB,Bern\n",
    "a cell of 2 MB in quotes": HEAD + b'A,"' + b"y\n" * 2**20 + b'"\nB,Bern\n',
    "100,000 columns": b"c," * 100_000 + b"\n" + b"1," * 100_000 + b"\n",
    "a row of 100,000 cells": HEAD + b"1," * 100_000 + b"\nB,Bern\n",
    "100,000 empty lines": HEAD + b"\n" * 100_000 + b"A,B\n",
    "line ends of the old Mac": HEAD.replace(b"\n", b"\r") + b"A,B\rC,D\r",
    "other line ends": HEAD + "A,B\u2028C,D\x85E,F\x0bG,H\n".encode(),
    "nothing but quotes": b'"' * 100_000,
    "a quote never closed": HEAD + b'"A,B\nC,D\n',
    "quotes in quotes": HEAD + b'"""""""""A""",""\n',
    "backslashes": HEAD + b'"A\\",B\n\\,\\\n',
    "the same header twice": b"last_name,last_name\nA,B\n",
    "no header": b",\n,\n",
    "headers of system fields": b"last_name,company_id,id,version,deleted_at,_state\nA,x,y,z,w,v\n",
    "a header of 10,000 letters": b"last_name," + b"h" * 10_000 + b"\nA,B\n",
    "formulas": HEAD + b'=cmd|"/c calc"!A0,@SUM(1)\n+1,-1\n"=HYPERLINK(""http://x"")",\t=1\n',
    "SQL": HEAD + b"'); DROP TABLE core_user; --,%s %(x)s {0}\n",
    "markup": HEAD + b"<script>alert(1)</script>,{{7*7}}\n",
    "terminal codes": HEAD + b"\x1b[31mA\x1b[0m,\x07\x08\n",
    "the wrong way round": HEAD + "\u202eA,\u200b\ufeff\n".encode(),
    "a zip": zipped("rows.csv", HEAD + b"A,B\n"),
    "a zip bomb": zipped("rows.csv", b"0" * 50_000_000),
    "a zip that climbs out": zipped("../../etc/cron.d/x", b"* * * * * root true\n"),
    "a gzip bomb": gzip.compress(b"0" * 50_000_000),
    "a workbook": zipped("xl/workbook.xml", b"<workbook/>"),
    "a laughing billion": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + b"b" * 10_000 + b'">]><x>&a;</x>',
    "an old workbook": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 4_000,
    "a PDF": b"%PDF-1.7\n" + b"\x80" * 4_000,
    "an executable": b"MZ\x90\x00" + b"\x00" * 4_000,
    "JSON": b'[{"last_name": "A"}]',
    "a web page": b"<!DOCTYPE html><html><table><tr><td>last_name</td></tr></table></html>",
}  # fmt: skip
NAMES = [
    "../../etc/passwd",
    "a\x00.csv",
    "x" * 5_000 + ".csv",
    '"; rm -rf /',
    "ü\u202evsc.exe",
    "a\r\nX: y.csv",
    ".",
    "",
]


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.kernel.doorbell.ring", lambda *args: True)


@pytest.fixture
def work() -> Callable[[], None]:
    """Do what a worker would."""
    from django.db import connection

    def done() -> None:
        with system_context("finding jobs for a test"), connection.cursor() as cursor:
            cursor.execute("SELECT id FROM core_job WHERE kind = 'import.run' AND state = 'open'")
            ids = [job_id for (job_id,) in cursor.fetchall()]
        for job_id in ids:
            # A file that cannot be used makes a failed job, with its reason.
            run_job(job_id)
        with system_context("finding jobs for a test"), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM core_job WHERE id = ANY(%s) AND state = 'open'", [ids])
            assert cursor.fetchone() == (0,)

    return done


def post(client: Any, content: bytes, name: str = "rows.csv", mapping: str = NAMES_AND_CITIES) -> Any:
    form = {
        "file": SimpleUploadedFile("rows.csv", content, "text/csv"),
        "entity_type": "lead",
        "field_mapping": mapping,
    }
    # Django's own client cleans names; a hostile one does not.
    body = encode_multipart(BOUNDARY, form).replace(
        b'filename="rows.csv"', b'filename="' + name.encode("utf-8", "surrogatepass") + b'"'
    )
    return client.generic("POST", JOBS, body, MULTIPART_CONTENT)


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    def test_end_as_records_or_as_a_reason(self, name: str, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        made = post(client, FILES[name])
        if made.status_code != 201:
            assert made.status_code == 400, made.content
            assert made.json()["errors"][0]["path"] == "file"
            return
        job = f"{JOBS}{made.json()['id']}/"
        assert client.post(f"{job}detect/").status_code in (200, 400, 409, 422)
        started = client.post(f"{job}start/", {})
        assert started.status_code in (202, 400, 409, 422), started.content
        work()
        ended = client.get(job).json()
        if started.status_code == 202:
            # A file that cannot be used says why and waits for other settings.
            assert ended["status"] in FINAL or (ended["status"] == "mapped" and ended["error"]), ended
        for page in ("progress/", "staging/", "errors/", "preview/", "errors.csv"):
            answer = client.get(job + page)
            assert answer.status_code < 500, f"{page} {answer.content[:300]!r}"

    @pytest.mark.parametrize("name", NAMES)
    def test_may_be_called_anything(self, name: str, acme: World, settings: Any) -> None:
        made = post(acme.client(), b"last_name,city\nA,B\n", name)

        assert made.status_code in (201, 400), made.content
        stored = [path for path in settings.MEDIA_ROOT.glob("files/**/*") if path.is_file()]
        if made.status_code == 201:
            assert [path.name for path in stored] == [made.json()["file_id"]]
            assert len(made.json()["file_name"]) <= 255
            assert not set("\x00\r\n/") & set(made.json()["file_name"])
        else:
            assert stored == []

    def test_leave_no_formula_in_the_report_of_errors(self, acme: World, work: Callable[[], None]) -> None:
        client = acme.client()
        rows = b'last_name,value\nA,=1+1\nB,@SUM(1)\nC,+1+x\nD,-1-x\nE,"\t=1"\nF,"\r=1"\n'
        mapping = '{"last_name": "last_name", "value": "estimated_value"}'
        job = f"{JOBS}{post(client, rows, mapping=mapping).json()['id']}/"
        client.post(f"{job}start/", {})
        work()
        report = list(csv.DictReader(io.StringIO(client.get(f"{job}errors.csv").content.decode())))

        assert {"'=1+1", "'@SUM(1)"} <= {row["value"] for row in report}
        assert not [
            row for row in report for cell in row.values() if cell[:1] in ("=", "@", "+", "-", "\t", "\r")
        ]


PREFIX = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=".encode()
END = f"\r\n--{BOUNDARY}--\r\n".encode()
FORMS: dict[str, bytes] = {
    "nothing": b"",
    "no end": PREFIX + b'"file"; filename="a.csv"\r\n\r\nlast_name\nA',
    "no name": b"--" + BOUNDARY.encode() + b'\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx' + END,
    "no headers": b"--" + BOUNDARY.encode() + b"\r\n\r\nx" + END,
    "a text for the file": PREFIX + b'"file"\r\n\r\nlast_name' + END,
    "a file for a text": PREFIX + b'"settings"; filename="a"\r\n\r\n{}' + END,
    "another boundary": b'--other\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--other--',
    "broken base64": PREFIX + b'"file"; filename="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!' + END,
    "a header of 1 MB": PREFIX + b'"file"; filename="' + b"x" * 2**20 + b'"\r\n\r\nx' + END,
    "2,000 parts": b"".join(PREFIX + b'"x%d"\r\n\r\n1\r\n' % number for number in range(2_000)) + END,
    "NUL in a name": PREFIX + b'"fi\x00le"\r\n\r\n1' + END,
    "an unknown charset": PREFIX + b'"entity_type"\r\nContent-Type: text/plain; charset=nope\r\n\r\n\xff' + END,
    "bytes": bytes(range(256)) * 100,
}  # fmt: skip


class TestForms:
    @pytest.mark.parametrize("name", FORMS)
    def test_that_cannot_be_read_are_refused(self, name: str, acme: World) -> None:
        answer = acme.client().generic("POST", JOBS, FORMS[name], MULTIPART_CONTENT)

        assert answer.status_code in (400, 413), answer.content
        assert answer["Content-Type"] == "application/problem+json"
        with acme.acting():
            assert not ImportJob.objects.exists()
