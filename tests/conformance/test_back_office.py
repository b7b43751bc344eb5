"""Every page of the back office, read off the URL resolver: nobody unsigned gets in, and a record of another company
answers like one that never was, in any place an id or a name can stand."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db.models import QuerySet
from django.test import Client, override_settings

from core.access import EntityView
from core.entities import Entity, entities
from core.entities.kinds import Kind
from core.kernel.ids import uuid7
from core.rest.views import ApiView
from tests.conformance.operations import Operation, served
from tests.conformance.rooms import Answer, Call, Rooms
from tests.conformance.slots import ghost_text
from tests.worlds import PASSWORD

FORM = "application/x-www-form-urlencoded"
# Pages that are no entity's, each with what it shows of whom.
OTHER_PAGES = {
    "/admin/": "the home page: counts of what the person sees",
    "/admin/login/": "anyone's",
    "/admin/logout/": "the person's own session",
    "/admin/jsi18n/": "words of the calendar",
    "/admin/password/": "the person's own",
    "/admin/password-reset/": "anyone's, the same answer for known and unknown addresses",
    "/admin/password-reset/new/": "whoever has a signed token",
    "/admin/invitation/": "whoever has the token of an email",
    "/admin/registration/": "whoever has the token of an email",
    "/admin/notifications/": "the person's own",
    "/admin/notifications/{notification_id}/": "the person's own; others' and those that never were are not there",
    "/admin/notifications/read-all/": "the person's own",
    "/admin/notifications/settings/": "the person's own",
    "/admin/records/{entity_name}/{record_id}/": "leads to a record's page without looking at the record",
    "/admin/emails/": "what the company sent; that of the installation for its staff",
    "/admin/emails/{email_id}/": "the same; others' and those that never were are not there",
    "/admin/emails/{email_id}/files/{number}/": "the same",
    "/admin/options/{entity_name}/": "records the person sees, by a part of their name",
    "/admin/company/": "enters one of the person's companies",
    "/admin/companies/": "all companies, for staff of the platform alone",
    "/admin/jobs/": "the long work that the person sees",
    "/admin/jobs/{job_id}/": "a job that the person sees; tests/core/jobs/test_face.py asks for others",
    "/admin/jobs/{job_id}/progress/": "the same",
    "/admin/jobs/{job_id}/cancel/": "the same",
    "/admin/jobs/{job_id}/retry/": "the same",
    "/admin/change-log/": "the company's change log; tests/audit/test_pages.py asks for others'",
    "/admin/change-log/news/": "the same, as a count",
    "/admin/change-log/export/": "makes an export of the company's log",
    "/admin/change-summary/": "counts of the company's log",
    "/admin/seals/": "the company's seals",
    "/admin/change-log/{log_id}/": "an entry of the company; others and those that never were are not there",
    "/admin/change-log/{log_id}/review/": "the same",
    "/admin/change-log/{log_id}/revert/": "the same",
    "/admin/change-log/records/{entity_type}/{record_id}/": "the same, by record",
    "/admin/reports/": "reports that the person sees",
    "/admin/reports/new/": "the builder, empty",
    "/admin/reports/preview/": "a pivot over the records that the person sees",
    "/admin/reports/save/": "takes the id of a report; tests/analytics/test_pages.py asks for others'",
    "/admin/reports/{report_id}/": "a report that the person sees; the same",
    "/admin/reports/{report_id}/records/": "the same",
    "/admin/reports/{report_id}/file/": "the same",
    "/admin/dashboards/": "dashboards that the person sees",
    "/admin/dashboards/{dashboard_id}/": "a dashboard that the person sees; others are not there",
    "/admin/territory-tree/": "the company's territories, with figures of records that the person sees",
    "/admin/territory-test/": "a record that the person sees; tests/territories/test_pages.py asks for others'",
    "/admin/recycle-bin/": "what lies in the company's bin",
    "/admin/recycle-bin/restore/": "takes ids of records in the bin",
    "/admin/search/": "what the person sees, by words",
    "/admin/{app_label}/": "a list of lists",
    "/admin/(?P{url}.*)$": "nothing: whatever is not there",
}
# Open to whoever has not signed in.
PUBLIC = {
    "/admin/login/",
    "/admin/logout/",
    "/admin/password-reset/",
    "/admin/password-reset/new/",
    "/admin/invitation/",
    "/admin/registration/",
}
OF_A_RECORD = re.compile(r"^/admin/(\w+)/(\w+)/{(?:object_id|record_id)}/(?:[\w-]+/)?$")
OF_ALL = re.compile(r"^/admin/(\w+)/(\w+)/(?:add/)?$")
VARYING_HEADERS = ("expires", "last-modified", "set-cookie")
NOISE = (
    (re.compile(r'name="csrfmiddlewaretoken" value="\w+"|csrf[\w-]*["\':= ]+\w{32,}'), "<csrf>"),
    (re.compile(r'nonce="[^"]+"'), "<nonce>"),
)


@lru_cache(maxsize=1)
def pages() -> tuple[str, ...]:
    return tuple(sorted({path for path, _ in served() if path.startswith("/admin/")}))


def entity_of(path: str) -> Entity | None:
    """The entity whose page this is."""
    found = OF_A_RECORD.match(path) or OF_ALL.match(path)
    labels = {entity.model._meta.label_lower: entity for entity in entities}
    return labels.get(f"{found[1]}.{found[2]}") if found else None


def unknown_pages(paths: tuple[str, ...]) -> list[str]:
    return [path for path in paths if path not in OTHER_PAGES and entity_of(path) is None]


def of_a_record() -> list[str]:
    return [path for path in pages() if OF_A_RECORD.match(path) and path not in OTHER_PAGES]


def lists() -> list[str]:
    return [path for path in pages() if OF_ALL.match(path) and path not in OTHER_PAGES]


def call(path: str, method: str = "GET", **query: str) -> Call:
    return Call(Operation(method, path, ApiView, ""), query=tuple(query.items()))


@pytest.fixture(scope="module")
def office(rooms: Rooms) -> Client:
    """The admin of our company, signed in to the back office."""
    client = Client(raise_request_exception=False)
    email = rooms.acme.world.email("admin")
    answer = client.post("/admin/login/", {"username": email, "password": PASSWORD, "next": "/admin/"})
    assert answer.status_code == 302
    # Signing in has changed our own rows, not theirs.
    assert rooms.fingerprint() == rooms.neighbor
    return client


def differences(rooms: Rooms, office: Any, theirs: Call, ghost: Call, values: tuple[str, str]) -> list[str]:
    """What tells the neighbor's value from one that never was."""

    def send(asked: Call, value: str) -> tuple[Answer, tuple[Any, ...]]:
        answer = rooms.send(asked, client=office, content_type=FORM, watch=asked.operation.writes)
        status, text, headers = rooms.outline(answer, value)
        for pattern, word in NOISE:
            text = pattern.sub(word, text)
        kept = {name: said for name, said in headers.items() if name not in VARYING_HEADERS}
        return answer, (status, text, kept)

    foreign, seen = send(theirs, values[0])
    _, expected = send(ghost, values[1])
    found = rooms.leaks(foreign, values[0])
    if foreign.status >= 500:
        found.append(f"answers {foreign.status}: {foreign.beside[-800:]}")
    if seen != expected:
        both = str(seen), str(expected)
        place = next((at for at, (a, b) in enumerate(zip(*both, strict=False)) if a != b), 100)
        one, other = (said[max(0, place - 100) : place + 200] for said in both)
        found.append(f"{one} where nobody's gives {other}")
    return found


class TestPages:
    def test_are_found_at_all(self) -> None:
        assert len(pages()) > 150

    def test_are_an_entity_s_or_listed(self) -> None:
        assert unknown_pages(pages()) == []

    def test_that_are_listed_exist(self) -> None:
        assert set(OTHER_PAGES) - set(pages()) == set()

    def test_that_nobody_classified_fail_by_name(self) -> None:
        assert unknown_pages((*pages(), "/admin/everything/")) == ["/admin/everything/"]

    @pytest.mark.parametrize("path", pages())
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_let_nobody_in_without_signing_in(self, path: str, method: str, rooms: Rooms) -> None:
        entity = entity_of(path)
        for value in ("crm", str(rooms.acme.record(entity.name)) if entity else "lead"):
            sent = call(re.sub(r"\(.*|{\w+}", value, path), method)
            answer = rooms.send(sent, client=Client(), content_type=FORM, watch=True)
            if path in PUBLIC:
                assert answer.status in (200, 302, 405)
            else:
                # Django's own guard sends to the sign-in; what changes nothing may say that it is not there.
                assert (answer.status, "/admin/login/" in answer.headers.get("location", "")) in (
                    (302, True),
                    (404, False),
                    (405, False),
                ), answer.status
            assert "Acme" not in answer.text


class TestRecordsOfAnotherCompany:
    @pytest.mark.parametrize("path", of_a_record())
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_are_not_there(self, path: str, method: str, rooms: Rooms, office: Any) -> None:
        entity = entity_of(path)
        assert entity is not None
        values = str(rooms.globex.record(entity.name)), str(uuid7())
        theirs, ghost = (call(re.sub(r"{\w+}", value, path), method) for value in values)

        assert differences(rooms, office, theirs, ghost, values) == []

    @pytest.mark.parametrize("path", [path for path in of_a_record() if path.count("/") == 5])
    def test_of_ours_are_there(self, path: str, rooms: Rooms, office: Any) -> None:
        """Without this the tests above would hold for pages that show nobody anything."""
        entity = entity_of(path)
        assert entity is not None
        ours = str(rooms.acme.record(entity.name))
        answer = rooms.send(call(re.sub(r"{\w+}", ours, path)), client=office, content_type=FORM)
        assert answer.status in (200, 302), answer.beside[-800:]

    @pytest.mark.parametrize("path", lists())
    def test_are_in_no_filter_and_no_form(
        self, path: str, rooms: Rooms, office: Any, request: pytest.FixtureRequest
    ) -> None:
        entity = entity_of(path)
        assert entity is not None
        ghost = str(uuid7())
        asked = [("id", str(rooms.globex.record(entity.name)))]
        for name, item in entity.fields.items():
            if item.is_relation and item.filterable:
                person = rooms.globex.world.users["sales"]
                theirs = person if item.kind is Kind.PERSON else rooms.globex.record(item.to)
                asked.append((name, str(theirs)))
        # A page takes long to make; always the id and one relation, with --long all of them.
        for name, theirs in asked if request.config.getoption("--long") else asked[:2]:
            pair = (call(path, **{name: value}) for value in (theirs, ghost))
            assert differences(rooms, office, *pair, (theirs, ghost)) == [], name
        text = "CANARY-B"
        pair = (call(path, q=value) for value in (text, ghost_text(text)))
        assert differences(rooms, office, *pair, (text, ghost_text(text))) == [], "search"

    def test_are_not_offered_or_found(self, rooms: Rooms, office: Any) -> None:
        text = "CANARY-B"
        for entity in entities:
            path = f"/admin/options/{entity.name}/"
            pair = (call(path, term=value) for value in (text, ghost_text(text)))
            assert differences(rooms, office, *pair, (text, ghost_text(text))) == [], entity.name
        pair = (call("/admin/search/", s=value) for value in (text, ghost_text(text)))
        assert differences(rooms, office, *pair, (text, ghost_text(text))) == []

    def test_do_not_come_out_of_the_bin(self, rooms: Rooms, office: Any) -> None:
        for entity in entities:
            if entity.is_soft_deleted and entity.writes.restore:
                values = str(rooms.globex.record(entity.name, 2)), str(uuid7())
                pair = (
                    Call(
                        Operation("POST", "/admin/recycle-bin/restore/", ApiView, ""),
                        body=urlencode({"entity": entity.name, "record": value, "id": value, "pk": value}),
                    )
                    for value in values
                )
                assert differences(rooms, office, *pair, values) == [], entity.name

    def test_are_seen_when_a_page_forgets_the_scope(
        self, rooms: Rooms, office: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = "/admin/crm/lead/{record_id}/"
        with override_settings(TENANCY_LOCKS=frozenset({"scope"})):
            self.test_are_not_there(path, "GET", rooms, office)
            monkeypatch.setattr(EntityView, "records", lambda self: QuerySet(self.entity.model))
            with pytest.raises(AssertionError):
                self.test_are_not_there(path, "GET", rooms, office)
