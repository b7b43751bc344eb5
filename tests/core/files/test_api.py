"""Stored files over HTTP: metadata, content in whole and in pieces, links."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from core.files.links import LinkToken, read_token
from core.files.models import StoredFile
from core.files.operations import delete_files
from tests.worlds import World

pytestmark = pytest.mark.django_db

FILES = "/api/v1/files/"
CONTENT = bytes(range(256)) * 3
Store = Callable[..., StoredFile]


def content(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


@pytest.fixture
def file(store: Store) -> StoredFile:
    return store(CONTENT, name="Größe.bin")


@pytest.fixture
def url(file: StoredFile) -> str:
    return f"{FILES}{file.pk}/download/"


@pytest.fixture
def client(acme: World) -> Any:
    return acme.client("sales")


class TestMetadata:
    def test_is_shown_to_the_owner(self, client: Any, file: StoredFile) -> None:
        body = client.get(f"{FILES}{file.pk}/").json()
        assert (body["name"], body["size"], body["content_type"]) == (
            "Größe.bin",
            len(CONTENT),
            "application/octet-stream",
        )
        assert body["sha256"] == file.sha256
        assert "storage_key" not in body

    def test_unknown_foreign_and_forbidden_files_answer_alike(
        self, acme: World, globex: World, store: Store, file: StoredFile, client: Any
    ) -> None:
        theirs = store(world=globex)
        gone = store(now=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1))
        answers = [
            caller.request_(method, f"{FILES}{key}/{tail}")
            for tail, method in (("", "GET"), ("download/", "GET"), ("link/", "POST"), ("link/", "DELETE"))
            for caller, key in (
                (_Caller(client), uuid4()),
                (_Caller(client), "nonsense"),
                (_Caller(client), theirs.pk),
                (_Caller(client), gone.pk),
                (_Caller(acme.client("admin")), file.pk),
            )
        ]
        assert {(status, code) for status, code in answers} == {(404, "not_found")}


class _Caller:
    def __init__(self, client: Any) -> None:
        self.client = client

    def request_(self, method: str, path: str) -> tuple[int, str]:
        answer = self.client.generic(method, path, {} if method == "POST" else "")
        return answer.status_code, answer.json()["code"]


class TestDownload:
    def test_sends_the_whole_as_an_attachment(self, client: Any, url: str, file: StoredFile) -> None:
        answer = client.get(url)
        assert (answer.status_code, content(answer)) == (200, CONTENT)
        assert answer["Content-Length"] == str(len(CONTENT))
        assert answer["ETag"] == f'"{file.sha256}"'
        assert answer["Accept-Ranges"] == "bytes"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.bin"
        assert "sandbox" in answer["Content-Security-Policy"]
        assert answer["Cache-Control"] == "private, no-cache"

    @pytest.mark.parametrize(
        ("name", "header"),
        [
            ("a.csv", 'attachment; filename="a.csv"'),
            ('a"b\\c;d.csv', 'attachment; filename="c;d.csv"'),
            ('a"b.csv', 'attachment; filename="a\\"b.csv"'),
            ("a\r\nX-Evil: 1.csv", 'attachment; filename="aX-Evil: 1.csv"'),
            ("\u202etxt.exe", 'attachment; filename="txt.exe"'),
        ],
    )
    def test_no_name_breaks_out_of_its_header(
        self, client: Any, store: Store, name: str, header: str
    ) -> None:
        answer = client.get(f"{FILES}{store(name=name).pk}/download/")
        assert answer["Content-Disposition"] == header
        assert "X-Evil" not in answer.headers

    def test_markup_is_never_shown_in_place(self, client: Any, store: Store) -> None:
        answer = client.get(f"{FILES}{store(b'<html><script>alert(1)</script>', name='a.txt').pk}/download/")
        assert answer["Content-Type"] == "text/html"
        assert answer["Content-Disposition"].startswith("attachment")

    def test_the_head_alone_has_no_content(
        self, client: Any, url: str, file: StoredFile, acme: World
    ) -> None:
        answer = client.head(url, HTTP_RANGE="bytes=0-1")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer["Content-Length"] == str(len(CONTENT))
        assert answer["ETag"] == f'"{file.sha256}"'
        with acme.acting():
            assert StoredFile.objects.get(pk=file.pk).download_count == 0

    def test_a_part_is_sent_as_a_part(self, client: Any, url: str) -> None:
        answer = client.get(url, HTTP_RANGE="bytes=10-19")
        assert (answer.status_code, content(answer)) == (206, CONTENT[10:20])
        assert answer["Content-Range"] == f"bytes 10-19/{len(CONTENT)}"
        assert answer["Content-Length"] == "10"
        assert content(client.get(url, HTTP_RANGE="bytes=-5")) == CONTENT[-5:]
        assert content(client.get(url, HTTP_RANGE=f"bytes={len(CONTENT) - 2}-")) == CONTENT[-2:]

    def test_a_part_behind_the_end_is_refused(self, client: Any, url: str) -> None:
        answer = client.get(url, HTTP_RANGE=f"bytes={len(CONTENT)}-")
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
        assert answer["Content-Range"] == f"bytes */{len(CONTENT)}"

    @pytest.mark.parametrize(
        ("if_range", "status"),
        [
            ("same", 206),
            ("W/same", 200),
            ('"other"', 200),
            ("date", 206),
            ("old date", 200),
            ("nonsense", 200),
        ],
    )
    def test_if_range_asks_whether_it_is_still_the_same(
        self, client: Any, url: str, file: StoredFile, if_range: str, status: int
    ) -> None:
        given = {
            "same": f'"{file.sha256}"',
            "W/same": f'W/"{file.sha256}"',
            "date": client.head(url)["Last-Modified"],
            "old date": "Sat, 01 Jan 2000 00:00:00 GMT",
        }.get(if_range, if_range)
        answer = client.get(url, HTTP_RANGE="bytes=0-9", HTTP_IF_RANGE=given)
        assert answer.status_code == status
        assert len(content(answer)) == (10 if status == 206 else len(CONTENT))

    def test_conditions_come_first(self, client: Any, url: str, file: StoredFile) -> None:
        etag = f'"{file.sha256}"'
        unchanged = client.get(url, HTTP_IF_NONE_MATCH=etag, HTTP_RANGE="bytes=0-9")
        assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", etag)
        moved_on = client.get(url, HTTP_IF_MATCH='"other"')
        assert (moved_on.status_code, moved_on.json()["code"]) == (412, "stale")

    def test_is_resumed_where_it_broke_off(self, client: Any, store: Store, acme: World) -> None:
        whole = bytes((n * 7) % 251 for n in range(100_000))
        url = f"{FILES}{store(whole, kind='large').pk}/download/"
        etag = client.head(url)["ETag"]
        got = b""
        while len(got) < len(whole):
            answer = client.get(url, HTTP_RANGE=f"bytes={len(got)}-{len(got) + 9_999}", HTTP_IF_RANGE=etag)
            assert answer.status_code == 206
            got += content(answer)
        assert got == whole
        with acme.acting():
            assert StoredFile.objects.get().download_count == 1, "pieces are one download"

    def test_an_empty_file_is_sent(self, client: Any, store: Store) -> None:
        url = f"{FILES}{store(b'').pk}/download/"
        answer = client.get(url)
        assert (answer.status_code, content(answer), answer["Content-Length"]) == (200, b"", "0")
        assert client.get(url, HTTP_RANGE="bytes=0-").status_code == 416

    def test_bytes_that_are_lost_are_no_server_error(
        self, client: Any, url: str, settings: Any, tmp_path: Any
    ) -> None:
        settings.MEDIA_ROOT = tmp_path / "lost"
        answer = client.get(url)
        assert (answer.status_code, answer.json()["code"]) == (410, "file_missing")

    def test_a_key_for_machines_reads_what_it_was_made_for(
        self, acme: World, client: Any, store: Store
    ) -> None:
        own = {kind: store(kind=kind, role="admin").pk for kind in ("note",)}
        admin = acme.client("admin")
        statuses = {}
        for scope in ("create:lead", "read"):
            made = admin.post("/api/v1/api-keys/", {"name": scope, "scopes": [scope]})
            assert made.status_code == 201, made.content
            key = Client(headers={"Authorization": f"Api-Key {made.json()['key']}"})
            statuses[scope] = key.get(f"{FILES}{own['note']}/").status_code
        assert statuses == {"create:lead": 404, "read": 200}


class TestLinks:
    @pytest.fixture
    def link(self, client: Any, file: StoredFile) -> str:
        answer = client.post(f"{FILES}{file.pk}/link/", {"expires_in": 600})
        assert answer.status_code == 201, answer.content
        assert answer["Cache-Control"] == "no-store"
        return urlsplit(answer.json()["url"]).path

    def test_open_the_file_without_signing_in(self, link: str) -> None:
        answer = Client().get(link)
        assert (answer.status_code, content(answer)) == (200, CONTENT)
        assert answer["Referrer-Policy"] == "no-referrer"
        part = Client().get(link, HTTP_RANGE="bytes=5-6")
        assert (part.status_code, content(part)) == (206, CONTENT[5:7])

    def test_are_void_when_a_single_character_differs(self, link: str) -> None:
        token = link.rstrip("/").rpartition("/")[2]
        # The last character of a signature has bits that nothing reads.
        for place in range(len(token) - 1):
            other = "A" if token[place] != "A" else "B"
            forged = token[:place] + other + token[place + 1 :]
            assert read_token(forged) is None
        for path in (f"{FILES}d/{forged}/", f"{FILES}d/nonsense/", f"{FILES}d/{'x' * 500}/", f"{FILES}d/ä/"):
            answer = Client().get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_name_no_file_of_another_company(self, acme: World, globex: World, file: StoredFile) -> None:
        token = LinkToken(globex.company.pk, file.pk, 1, timezone.now() + timedelta(hours=1)).sign()
        assert Client().get(f"{FILES}d/{token}/").status_code == 410

    def test_end_with_their_time(self, file: StoredFile) -> None:
        token = LinkToken(file.company_id, file.pk, 1, timezone.now() - timedelta(seconds=1)).sign()
        answer = Client().get(f"{FILES}d/{token}/")
        assert (answer.status_code, answer.json()["code"]) == (410, "link_expired")

    def test_end_when_they_are_revoked(self, link: str, client: Any, file: StoredFile) -> None:
        assert client.delete(f"{FILES}{file.pk}/link/").status_code == 204
        assert Client().get(link).status_code == 410
        again = client.post(f"{FILES}{file.pk}/link/").json()["url"]
        assert Client().get(urlsplit(again).path).status_code == 200

    def test_end_with_their_file(self, link: str, acme: World, file: StoredFile) -> None:
        with acme.acting() as actor:
            delete_files(actor=actor, file_ids=[file.pk], now=timezone.now())
        assert Client().get(link).status_code == 410

    def test_never_outlive_their_file(self, client: Any, store: Store) -> None:
        end = timezone.now() + timedelta(minutes=5)
        made = client.post(f"{FILES}{store(expires_at=end).pk}/link/", {"expires_in": 86_400}).json()
        assert made["expires_at"] == end.replace(microsecond=0).isoformat().replace("+00:00", "Z")

    @pytest.mark.parametrize(
        "body",
        [
            {"expires_in": 59},
            {"expires_in": 604_801},
            {"expires_in": "60"},
            {"expires_in": 60.5},
            {"expires_in": None},
            {"expires_in": True},
            {"forever": 1},
            [],
        ],
    )
    def test_take_a_short_lifetime_alone(self, client: Any, file: StoredFile, body: Any) -> None:
        assert client.post(f"{FILES}{file.pk}/link/", body).status_code == 400
