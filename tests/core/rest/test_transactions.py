"""A request is one transaction: what fails before its end leaves nothing, whatever ran before. Really committed."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.changes import Rows
from core.identity.models import AuthSession
from core.kernel.errors import Conflict
from core.kernel.transactions import retried, unit_of_work
from core.rest import encoding, idempotency
from core.tenancy.context import actor_context, system_context
from crm.models import Contact, Tag
from crm.operations.parties import create_contacts
from tests.worlds import ApiClient, World

CONTACTS = "/api/v1/contacts/"
MAYA = {"first_name": "Maya", "last_name": "Keller", "tags": ["Fair"]}


@pytest.fixture
def api(transactional_db: None, acme: World) -> ApiClient:
    return acme.client()


def kept(world: World) -> tuple[int, int]:
    """Contacts and tags."""
    with world.acting():
        return Contact.objects.count(), Tag.objects.count()


class TestOperation:
    """One that is called inside a larger piece of work ends nothing."""

    @pytest.mark.parametrize("more_statements", [0, 1])
    def test_is_undone_with_the_larger_one_that_refuses(
        self, api: ApiClient, acme: World, more_statements: int
    ) -> None:
        actor = acme.actor()

        def larger() -> None:
            rows = Rows.of(Contact, [{"last_name": "Keller"}])
            create_contacts(actor=actor, rows=rows, now=timezone.now()).raise_if_refused()
            for _ in range(more_statements):
                Contact.objects.count()
            raise Conflict

        with pytest.raises(Conflict), actor_context(actor, source="test"):
            retried(larger)
        assert kept(acme) == (0, 0)


class TestRequest:
    @pytest.mark.parametrize("method", ["post", "patch", "delete"])
    def test_leaves_nothing_when_its_answer_cannot_be_encoded(
        self, api: ApiClient, acme: World, monkeypatch: pytest.MonkeyPatch, method: str
    ) -> None:
        before = api.post(CONTACTS, MAYA)

        def fail(exchange: encoding.Exchange, answer: Any) -> None:
            if exchange.operation in ("create", "partial_update", "destroy") and answer.status_code < 300:
                raise LookupError

        monkeypatch.setattr(encoding, "DOWN", [fail])
        path = CONTACTS if method == "post" else before["Location"]
        answer = getattr(api, method)(path, {} if method == "delete" else {"last_name": "Okafor"})

        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        monkeypatch.undo()
        assert kept(acme) == (1, 1)
        assert api.get(before["Location"]).json() == before.json()

    def test_leaves_nothing_when_its_key_cannot_be_kept(
        self, api: ApiClient, acme: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(point: str) -> None:
            if point == "request.before_commit":
                raise LookupError

        monkeypatch.setattr(idempotency, "fault", fail)
        assert api.post(CONTACTS, MAYA, HTTP_IDEMPOTENCY_KEY="one").status_code == 500
        assert kept(acme) == (0, 0)
        monkeypatch.undo()
        assert api.post(CONTACTS, MAYA, HTTP_IDEMPOTENCY_KEY="one").status_code == 201
        assert kept(acme) == (1, 1)

    @pytest.mark.parametrize("method", ["post", "patch", "delete"])
    def test_writes_nothing_for_a_session_that_was_ended_meanwhile(
        self, api: ApiClient, acme: World, method: str
    ) -> None:
        before = api.post(CONTACTS, MAYA)
        with system_context("a test"), unit_of_work():
            AuthSession.objects.update(revoked_at=timezone.now())
        path = CONTACTS if method == "post" else before["Location"]
        answer = getattr(api, method)(path, {} if method == "delete" else {"last_name": "Okafor"})

        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
        assert kept(acme) == (1, 1)
        assert acme.client().get(before["Location"]).json() == before.json()


class TestIdempotency:
    def test_waits_for_locks_no_longer_than_other_requests(
        self, api: ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        once = idempotency.once

        def watched(request: Any, actor: Any, body: Any, now: Any, work: Any) -> Any:
            def looking() -> Any:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT current_setting('lock_timeout')")
                    seen.append(str(cursor.fetchone()[0]))
                return work()

            return once(request, actor, body, now, looking)

        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1700ms'")
        try:
            monkeypatch.setattr(idempotency, "once", watched)
            made = api.post(CONTACTS, MAYA, headers={"Idempotency-Key": "one"})
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
        assert made.status_code == 201, made.content
        assert seen == ["1700ms"]


class TestUpsert:
    @pytest.mark.parametrize(("header", "status"), [("nonsense", 400), ('"1"', 412), ("*", 412)])
    def test_takes_if_match_at_its_word(self, api: ApiClient, header: str, status: int) -> None:
        path = f"{CONTACTS}by-external-id/old/1/"
        assert api.put(path, MAYA, headers={"If-Match": header}).status_code == status
        assert api.put(path, MAYA).status_code == 201
        assert api.put(path, MAYA, headers={"If-Match": "*"}).status_code == 200
