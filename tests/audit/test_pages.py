"""The change log in the back office."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from audit.operations.seals import seal_new
from core.tenancy.context import system_context
from core.tenancy.postgresql.base import database_owner
from tests.audit.test_outputs import made
from tests.worlds import PASSWORD, World

LOG = "/admin/change-log/"


def office(world: World, role: str = "admin") -> Client:
    client = Client()
    answer = client.post(
        "/admin/login/", {"username": world.email(role), "password": PASSWORD, "next": "/admin/"}
    )
    assert answer.status_code == 302
    return client


def text(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, answer.content[:2_000]
    return str(answer.content.decode())


def account(world: World, name: str = "Acme Ltd") -> str:
    return str(world.client().post("/api/v1/accounts/", {"name": name}).json()["id"])


def change(world: World, record: str, **values: Any) -> None:
    assert world.client().patch(f"/api/v1/accounts/{record}/", values).status_code == 200


def newest(world: World, record: str) -> int:
    answer = world.client().get("/api/v1/audit/logs/", {"entity_id": record})
    return int(answer.json()["results"][0]["id"])


@pytest.fixture
def record(acme: World) -> str:
    made = account(acme)
    change(acme, made, name="Acme Inc")
    return made


class TestExplorer:
    def test_lists_what_was_asked_for(self, acme: World, record: str) -> None:
        account(acme, "Another")
        me = office(acme)
        page = text(me.get(LOG, {"entity_id": record}))
        assert "Ada Acme changed account Acme Inc" in page
        assert "Another" not in page
        assert "Acme Inc" not in text(me.get(LOG, {"entity_id": record, "action": "delete"}))

    def test_says_what_it_does_not_understand(self, acme: World) -> None:
        page = text(office(acme).get(LOG, {"entity_id": "nonsense"}))
        assert 'role="alert"' in page

    def test_tells_of_newer_entries(self, acme: World, record: str) -> None:
        me, after = office(acme), newest(acme, record)
        assert me.get(f"{LOG}news/", {"after": after, "entity_id": record}).json() == {"count": 0}
        change(acme, record, name="Acme GmbH")
        assert me.get(f"{LOG}news/", {"after": after, "entity_id": record}).json() == {"count": 1}
        assert me.get(f"{LOG}news/", {"after": "x"}).status_code == 404

    def test_asks_for_an_export_of_what_it_shows(self, acme: World, record: str) -> None:
        answer = office(acme).post(f"{LOG}export/", {"entity_id": record, "file_format": "xlsx"})
        assert answer.status_code == 302
        [made] = acme.client().get("/api/v1/audit/exports/").json()["results"]
        assert (made["filters"], made["file_format"]) == ({"entity_id": record}, "xlsx")
        assert made["id"] in answer["Location"]

    def test_counts(self, acme: World, record: str) -> None:
        page = text(office(acme).get("/admin/change-summary/", {"days": "1"}))
        assert "By kind of record" in page
        assert "?entity_type=account" in page


class TestEntry:
    def test_marks_the_words_that_changed(self, acme: World, record: str) -> None:
        page = text(office(acme).get(f"{LOG}{newest(acme, record)}/"))
        assert "Acme <del>Ltd</del>" in page
        assert "Acme <ins>Inc</ins>" in page

    def test_shows_values_as_texts(self, acme: World, record: str) -> None:
        change(acme, record, name="<script>alert(1)</script>")
        page = text(office(acme).get(f"{LOG}{newest(acme, record)}/"))
        assert "<script>alert" not in page
        assert "&lt;" in page

    def test_is_reviewed_once(self, acme: World, record: str) -> None:
        me, entry = office(acme), newest(acme, record)
        assert "The review was noted." in text(
            me.post(f"{LOG}{entry}/review/", {"note": "Fine"}, follow=True)
        )
        assert "reviewed already" in text(me.post(f"{LOG}{entry}/review/", {}, follow=True))

    def test_is_undone_unless_later_changes_stand_in_the_way(self, acme: World, record: str) -> None:
        me, entry = office(acme), newest(acme, record)
        change(acme, record, name="Acme GmbH")
        later = newest(acme, record)
        assert f"{LOG}{later}/" in text(me.post(f"{LOG}{entry}/revert/"), 409)
        assert me.post(f"{LOG}{later}/revert/").status_code == 302
        assert acme.client().get(f"/api/v1/accounts/{record}/").json()["name"] == "Acme Inc"


class TestRecord:
    def test_stands_as_it_stood(self, acme: World, record: str) -> None:
        me = office(acme)
        first = text(me.get(f"{LOG}records/account/{record}/", {"step": "1"}))
        assert "Change 1 of 2" in first
        assert "<del>Ltd</del>" in first
        assert "Change 2 of 2" in text(me.get(f"{LOG}records/account/{record}/", {"step": "99"}))
        for step in ("0", "x", "٣"):
            assert me.get(f"{LOG}records/account/{record}/", {"step": step}).status_code == 200
        assert me.get(f"{LOG}records/nonsense/{record}/").status_code == 404


class TestRights:
    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_of_other_roles_open_nothing(self, role: str, acme: World, record: str) -> None:
        me, entry = office(acme, role), newest(acme, record)
        for path in ("", "news/?after=1", f"{entry}/", f"records/account/{record}/"):
            assert me.get(f"{LOG}{path}").status_code == 403, path
        assert me.get("/admin/seals/").status_code == me.get("/admin/change-summary/").status_code == 403
        assert me.post("/admin/seals/").status_code == 403
        # Refused by a message on the page that one comes from, which is refused too.
        for path in ("export/", f"{entry}/review/", f"{entry}/revert/"):
            answer = me.post(f"{LOG}{path}")
            assert answer.status_code == 403 or me.get(answer["Location"]).status_code == 403, path
        assert "Change log" not in text(me.get("/admin/"))
        assert acme.client().get("/api/v1/audit/exports/").json()["results"] == []

    def test_of_another_company_s_entries_are_none(self, acme: World, globex: World, record: str) -> None:
        me, entry = office(globex), newest(acme, record)
        assert record not in text(me.get(LOG))
        assert "No entry matches." in text(me.get(LOG, {"entity_id": record}))
        for path in (f"{entry}/", f"records/account/{record}/", f"records/account/{uuid4()}/"):
            assert me.get(f"{LOG}{path}").status_code == 404
        for path in (f"{entry}/review/", f"{entry}/revert/"):
            assert me.post(f"{LOG}{path}").status_code == 404


@pytest.mark.django_db(transaction=True)
class TestSeals:
    def test_are_shown_and_verified(self, acme: World, record: str) -> None:
        seal_new(now=timezone.now)
        me = office(acme)
        assert "Signature holds" in text(me.get("/admin/seals/"))
        assert "are as they were sealed" in text(me.post("/admin/seals/"))
        entry = newest(acme, record)
        with (
            database_owner(),
            system_context("tampering"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute("UPDATE core_changelog SET action = 'read' WHERE id = %s", [entry])
        assert f"Entry {entry} was changed." in text(me.post("/admin/seals/"))


class TestFiles:
    def test_are_downloaded_from_the_record_s_page(self, acme: World, globex: World) -> None:
        done = made(acme)
        url = f"/admin/audit/auditlogexport/{done['id']}/"
        me = office(acme)
        assert "file/?which=file_id" in text(me.get(url))
        answer = me.get(f"{url}file/", {"which": "file_id"})
        assert b"entity_type" in b"".join(answer.streaming_content)
        assert me.get(f"{url}file/", {"which": "job_id"}).status_code == 404
        assert office(globex).get(f"{url}file/", {"which": "file_id"}).status_code == 404

    def test_of_policies_tell_how_often_they_would_have_fired(self, acme: World, record: str) -> None:
        body = {"name": "Renamed", "rules": [{"condition": "action == 'update'", "alert": True}]}
        policy = acme.client().post("/api/v1/audit/policies/", body).json()["id"]
        page = text(office(acme).get(f"/admin/audit/auditpolicy/{policy}/back-test/"))
        assert "Acme Inc" in page
