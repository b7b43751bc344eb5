"""What a provider hides is as if it did not exist, on every channel; what it masks is shown masked and does nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from core.access import MaskedField, UnknownField, view
from core.access.changes import visible_changes
from core.access.field_access import access_to
from core.access.modes import FieldMode, Mask, Mode
from core.conditions import compile_condition
from core.kernel.errors import Forbidden, Invalid
from core.tenancy.actors import Actor, Rights
from tests.seams.access.extensions import role_modes
from tests.worlds import World

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("plugs")]

CONTACTS = "/api/v1/contacts/"
FIRST_LETTER = Mask(lambda value: f"left({value}, 1) || '***'", lambda value: f"{value[:1]}***")
SECRET, MASKED = "canary@secret.example", "+49 30 5551234"


@pytest.fixture
def narrowed(acme: World, globex: World) -> World:
    """For sales and viewer a contact's e-mail address is hidden, its phone masked, its title read-only."""
    for role in ("sales", "viewer"):
        role_modes.narrow(
            acme.role(role).pk,
            "contact",
            email=FieldMode(Mode.HIDDEN),
            phone=FieldMode(Mode.MASK, FIRST_LETTER),
            title=FieldMode(Mode.VIEW),
        )
    return acme


@pytest.fixture
def contact(narrowed: World) -> dict[str, Any]:
    body = {
        "last_name": "Lovelace",
        "email": SECRET,
        "phone": MASKED,
        "title": "Countess",
        "owner": str(narrowed.users["sales"]),
    }
    document: dict[str, Any] = narrowed.client().post(CONTACTS, body).json()
    return document


def problem(answer: Any) -> tuple[int, Any]:
    """What a refusal says, apart from what differs between any two."""
    body = answer.json()
    body.pop("correlation_id", None)
    return answer.status_code, body


class TestReading:
    def test_shows_the_mask_and_nothing_hidden(self, narrowed: World, contact: dict[str, Any]) -> None:
        client = narrowed.client("sales")
        for path in (f"{CONTACTS}{contact['id']}/", CONTACTS, f"{CONTACTS}?fields=phone,id&cursor="):
            answer = client.get(path)
            document = answer.json()
            document = document["results"][0] if "results" in document else document
            assert document["phone"] == "+***"
            assert "email" not in document
            assert MASKED.encode() not in answer.content
            assert SECRET.encode() not in answer.content
        assert narrowed.client().get(f"{CONTACTS}{contact['id']}/").json()["email"] == SECRET

    def test_an_expanded_record_has_its_own_modes(self, narrowed: World, contact: dict[str, Any]) -> None:
        deal = {
            "name": "Engine",
            "close_date": "2026-12-31",
            "owner": str(narrowed.users["sales"]),
            "primary_contact": contact["id"],
        }
        made = narrowed.client().post("/api/v1/deals/", deal)
        assert made.status_code == 201, made.content
        answer = narrowed.client("sales").get(f"/api/v1/deals/{made.json()['id']}/?expand=primary_contact")
        detail = answer.json()["primary_contact_detail"]
        assert detail["phone"] == "+***"
        assert "email" not in detail

    @pytest.mark.parametrize(
        "query",
        [
            "{}={}",
            "{}__contains=canary",
            "{}__isnull=true",
            "ordering={}",
            "ordering=-{}",
            "fields={}",
            "expand={}",
        ],
    )
    def test_a_hidden_field_answers_like_one_that_does_not_exist(
        self, narrowed: World, contact: dict[str, Any], query: str
    ) -> None:
        client = narrowed.client("sales")
        hidden = problem(client.get(f"{CONTACTS}?{query.format('email', SECRET)}"))
        unknown = problem(client.get(f"{CONTACTS}?{query.format('eeeee', SECRET)}"))
        assert hidden[0] == 400
        assert str(hidden).replace("email", "eeeee") == str(unknown)

    @pytest.mark.parametrize(
        "query",
        ["phone=1", "phone__contains=555", "phone__isnull=false", "ordering=phone", "ordering=-phone"],
    )
    def test_nothing_is_asked_of_a_masked_field(
        self, narrowed: World, contact: dict[str, Any], query: str
    ) -> None:
        status, body = problem(narrowed.client("sales").get(f"{CONTACTS}?{query}"))
        assert status == 403
        assert [fault["code"] for fault in body["errors"]] == ["field_masked"]

    @pytest.mark.parametrize("text", ["canary", "secret example", "5551234", "Lovelace canary"])
    def test_search_finds_nothing_by_them(self, narrowed: World, contact: dict[str, Any], text: str) -> None:
        path = f"{CONTACTS}?search={text}"
        assert narrowed.client("sales").get(path).json()["results"] == []
        assert len(narrowed.client().get(path).json()["results"]) == 1

    def test_search_still_finds_by_the_others(self, narrowed: World, contact: dict[str, Any]) -> None:
        found = narrowed.client("sales").get(f"{CONTACTS}?search=love").json()["results"]
        assert [item["id"] for item in found] == [contact["id"]]

    def test_conditions_know_no_hidden_field_at_any_depth(
        self, narrowed: World, contact: dict[str, Any]
    ) -> None:
        with narrowed.acting("sales") as actor:
            deals, contacts = view("deal", actor), view("contact", actor)
            with pytest.raises(Invalid) as hidden:
                compile_condition(
                    {"field": "primary_contact.email", "operator": "eq", "value": SECRET}, deals
                )
            assert [fault.code for fault in hidden.value.faults] == ["unknown_field"]
            with pytest.raises(Forbidden):
                compile_condition({"field": "phone", "operator": "is_null"}, contacts)
            with pytest.raises(UnknownField):
                contacts.field("email")
            with pytest.raises(MaskedField):
                contacts.field("phone")

    def test_a_default_order_by_a_hidden_field_is_none(self, narrowed: World) -> None:
        role_modes.narrow(narrowed.role("sales").pk, "user", full_name=FieldMode(Mode.HIDDEN))
        answer = narrowed.client("sales").get("/api/v1/users/")
        ids = [item["id"] for item in answer.json()["results"]]
        assert ids == sorted(ids, reverse=True)

    def test_metadata_are_silent_of_what_is_hidden(self, narrowed: World) -> None:
        answer = narrowed.client("sales").get("/api/v1/metadata/entities/contact/").json()
        modes = {field["name"]: field for field in answer["fields"]}
        assert "email" not in modes
        assert modes["phone"]["mode"] == "mask"
        assert not modes["phone"]["filterable"]
        assert not modes["phone"]["sortable"]
        assert modes["title"]["mode"] == "view"

    def test_the_bin_names_no_record_by_what_is_hidden(
        self, narrowed: World, contact: dict[str, Any]
    ) -> None:
        role_modes.narrow(narrowed.role("manager").pk, "contact", last_name=FieldMode(Mode.HIDDEN))
        role_modes.narrow(narrowed.role("manager").pk, "account", name=FieldMode(Mode.MASK, FIRST_LETTER))
        owner = str(narrowed.users["sales"])
        account = narrowed.client().post("/api/v1/accounts/", {"name": "Contoso", "owner": owner}).json()
        narrowed.client().delete(f"/api/v1/accounts/{account['id']}/")
        rows = narrowed.client("manager").get("/api/v1/recycle-bin/?entity=account").json()["results"]
        assert [row["name"] for row in rows] == ["C***"]


class TestWriting:
    @pytest.mark.parametrize("method", ["patch", "put"])
    def test_a_hidden_field_cannot_be_set_like_one_that_does_not_exist(
        self, narrowed: World, contact: dict[str, Any], method: str
    ) -> None:
        write = getattr(narrowed.client("sales"), method)
        path = f"{CONTACTS}{contact['id']}/"
        hidden = problem(write(path, {"last_name": "L", "email": "x@y.example"}))
        unknown = problem(write(path, {"last_name": "L", "eeeee": "x@y.example"}))
        assert hidden[0] == 400
        assert str(hidden).replace("email", "eeeee") == str(unknown)

    @pytest.mark.parametrize("field", ["phone", "title"])
    def test_what_is_masked_or_read_only_is_forbidden_by_name(
        self, narrowed: World, contact: dict[str, Any], field: str
    ) -> None:
        status, body = problem(narrowed.client("sales").patch(f"{CONTACTS}{contact['id']}/", {field: "x"}))
        assert status == 403
        assert [(fault["path"], fault["code"]) for fault in body["errors"]] == [(field, "not_editable")]
        rows = [{"op": "update", "id": contact["id"], field: "x"}]
        answer = narrowed.client("sales").post(f"{CONTACTS}bulk/", {"operations": rows}).json()
        assert answer["results"][0]["status"] == 403

    def test_put_blanks_nothing_that_the_caller_may_not_edit(
        self, narrowed: World, contact: dict[str, Any]
    ) -> None:
        answer = narrowed.client("sales").put(f"{CONTACTS}{contact['id']}/", {"last_name": "King"})
        assert answer.status_code == 200
        assert "email" not in answer.json()
        stored = narrowed.client().get(f"{CONTACTS}{contact['id']}/").json()
        assert (stored["last_name"], stored["email"], stored["phone"], stored["title"]) == (
            "King",
            SECRET,
            MASKED,
            "Countess",
        )

    def test_a_refusal_names_no_hidden_field(self, narrowed: World) -> None:
        role_modes.narrow(narrowed.role("sales").pk, "contact", last_name=FieldMode(Mode.HIDDEN))
        answer = narrowed.client("sales").post(CONTACTS, {"first_name": "Ada"})
        assert b"last_name" not in answer.content


class TestCaching:
    def test_two_keys_of_one_role_with_other_scopes_share_nothing(self, narrowed: World) -> None:
        actor = narrowed.actor("admin")
        contact = view("contact", actor).entity

        def with_scopes(*scopes: str) -> Actor:
            rights = Rights(frozenset(scopes), "all", actor.rights.role_id, actor.rights.version)
            return Actor(actor.company_id, actor.user_id, actor.membership_id, rights)

        writing, reading = with_scopes("read", "update"), with_scopes("read")
        assert access_to(contact, writing).editable
        assert not access_to(contact, reading).editable
        assert access_to(contact, with_scopes("read", "update")) is access_to(contact, writing)

    def test_a_change_of_modes_holds_at_once(self, narrowed: World, contact: dict[str, Any]) -> None:
        client = narrowed.client("sales")
        assert "mobile" in client.get(f"{CONTACTS}{contact['id']}/").json()
        role_modes.narrow(narrowed.role("sales").pk, "contact", mobile=FieldMode(Mode.HIDDEN))
        assert "mobile" not in client.get(f"{CONTACTS}{contact['id']}/").json()

    def test_what_names_a_record_and_its_version_is_never_hidden(self, narrowed: World) -> None:
        role_modes.narrow(
            narrowed.role("sales").pk, "contact", id=FieldMode(Mode.HIDDEN), version=FieldMode(Mode.MASK)
        )
        with narrowed.acting("sales") as actor:
            assert {"id", "version"} <= set(view("contact", actor).askable)


class TestChanges:
    def test_are_shown_without_what_is_hidden_and_through_the_mask(self, narrowed: World) -> None:
        with narrowed.acting("sales") as actor:
            changes = visible_changes(
                view("contact", actor),
                ["email", "phone", "title"],
                {"email": "a@b.example", "phone": "123", "title": "Dr"},
                {"email": "c@d.example", "phone": None, "title": "Prof"},
            )
        assert changes == {"phone": ("1***", None), "title": ("Dr", "Prof")}


class TestBackOffice:
    @pytest.mark.parametrize("tail", ["", "{id}/", "{id}/change/", "{id}/history/", "?q=Lovelace"])
    def test_pages_hold_neither(
        self, narrowed: World, contact: dict[str, Any], tail: str, client: Any
    ) -> None:
        from core.identity.models import User
        from core.kernel.transactions import unit_of_work
        from core.tenancy.context import system_context

        narrowed.client().patch(f"{CONTACTS}{contact['id']}/", {"phone": MASKED + "9", "email": "n" + SECRET})
        with system_context("signing in for a test"), unit_of_work():
            user = User.objects.get(pk=narrowed.users["sales"])
        client.force_login(user)
        answer = client.get(f"/admin/crm/contact/{tail.format(id=contact['id'])}")
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "Lovelace" in text
        assert "5551234" not in text
        assert "secret.example" not in text
