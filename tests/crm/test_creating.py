"""Creating a record, really committed: what is answered is kept, and what is refused is not."""

from __future__ import annotations

import pytest

from core.entities import entities
from core.identity.models import AuthSession
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from crm.models import Contact, Tag
from tests.worlds import ApiClient, World

CONTACTS = "/api/v1/contacts/"
MAYA = {"first_name": "Maya", "last_name": "Keller", "tags": ["Fair"]}


@pytest.fixture
def api(transactional_db: None, acme: World) -> ApiClient:
    """A client that has been answered before."""
    client = acme.client()
    assert client.get(CONTACTS).status_code == 200
    return client


def kept(world: World) -> tuple[int, int]:
    """Contacts and tags."""
    with world.acting():
        return Contact.objects.count(), Tag.objects.count()


class TestCreating:
    def test_keeps_what_it_answers(self, api: ApiClient, acme: World, globex: World) -> None:
        answer = api.post(CONTACTS, MAYA)
        assert answer.status_code == 201
        assert api.get(answer["Location"]).json() == answer.json()
        assert answer["ETag"] == '"1"'
        assert (kept(acme), kept(globex)) == ((1, 1), (0, 0))

    @pytest.mark.parametrize(
        "wrong", [{"account": "01890000-0000-7000-8000-000000000000"}, {"email": "x" * 300 + "@example.com"}]
    )
    def test_keeps_nothing_of_what_is_refused(self, api: ApiClient, acme: World, wrong) -> None:
        answer = api.post(CONTACTS, {**MAYA, **wrong})
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (400, next(iter(wrong)))
        assert kept(acme) == (0, 0)
        assert api.post(CONTACTS, MAYA).status_code == 201

    @pytest.mark.parametrize("query", ["?fields=nothing", "?expand=tags"])
    def test_keeps_nothing_that_it_cannot_show(self, api: ApiClient, acme: World, query: str) -> None:
        assert api.post(CONTACTS + query, MAYA).status_code == 400
        assert kept(acme) == (0, 0)

    def test_shows_what_was_asked_for(self, api: ApiClient) -> None:
        account = api.post("/api/v1/accounts/?fields=id", {"name": "Northwind"}).json()
        assert list(account) == ["id"]
        made = api.post(f"{CONTACTS}?expand=account&fields=account", {**MAYA, "account": account["id"]})
        assert made.json()["account_detail"]["name"] == "Northwind"

    def test_keeps_nothing_for_a_session_that_has_ended(self, api: ApiClient, acme: World) -> None:
        with system_context("a test"), unit_of_work():
            AuthSession.objects.update(revoked_at="2026-01-01T00:00:00Z")
        assert api.post(CONTACTS, MAYA).status_code == 401
        assert kept(acme) == (0, 0)

    def test_of_somebody_known_elsewhere_answers_as_of_anybody(
        self, api: ApiClient, acme: World, globex: World
    ) -> None:
        [role] = api.get("/api/v1/roles/?name=sales").json()["results"]
        known, unknown = (
            api.post("/api/v1/users/", {"email": email, "role": role["id"]})
            for email in ("sales@globex.test", "nobody@globex.test")
        )
        assert [made.status_code for made in (known, unknown)] == [201, 201]
        assert known.json()["id"] not in {str(user) for user in globex.users.values()}
        differ = {name for name, value in known.json().items() if value != unknown.json()[name]}
        assert differ <= {"id", "email", "full_name", "created_at", "updated_at", "invited_until"}

    def test_every_kind_of_record(self, api: ApiClient) -> None:
        account = api.post("/api/v1/accounts/", {"name": "Southwind"}).json()["id"]
        bodies = {
            "account": {"name": "Northwind"},
            "contact": MAYA,
            "lead": {"last_name": "Okafor", "company_name": "Okafor Ltd"},
            "deal": {"name": "Rollout", "amount": "10.00", "close_date": "2026-12-01"},
            "task": {"subject": "Call"},
            "note": {"title": "First call", "body": "Two phases.", "account": account},
            "activity": {"subject": "Call", "type": "call"},
            "product": {"name": "Seat", "sku": "S-1"},
            "lost_reason": {"name": "Merged with a rival"},
            "tag": {"name": "Later"},
        }
        for name, body in bodies.items():
            answer = api.post(f"/api/v1/{entities[name].path}/", body)
            assert answer.status_code == 201, (name, answer.json()["errors"])
            assert api.get(answer["Location"]).json() == answer.json()
