"""Passwords and API keys: the rules of the API, and secrets that are shown once."""

from __future__ import annotations

import re

import pytest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from core.backoffice.sign_in import SignInForm
from core.changes import Rows
from core.changes.models import ChangeLog
from core.identity.models import ApiKey, Person, Role
from core.identity.operations import create_roles, update_users
from tests.backoffice.conftest import text_of
from tests.worlds import PASSWORD, Api

NEW = "three geese over the weir"
OWN = {"current_password": PASSWORD, "new_password": NEW, "repeated": NEW}
ADD = "/admin/core/apikey/add/"


def signs_in(client, email: str, password: str) -> bool:
    answer = client.post("/admin/login/", {"username": email, "password": password, "next": "/admin/"})
    return bool(answer.status_code == 302)


def is_signed_in(client) -> bool:
    return bool(client.get("/admin/").status_code == 200)


class TestOwnPassword:
    def test_is_changed_and_ends_every_other_session(self, acme, globex, office, client):
        here, elsewhere, other = office(acme, "sales"), office(acme, "sales"), office(globex, "sales")
        token = acme.api("sales")
        assert token.get("/auth/me/").status_code == 200
        assert here.post("/admin/password/", OWN)["Location"] == "/admin/"
        assert is_signed_in(here), "the one who changed it goes on"
        assert not is_signed_in(elsewhere)
        assert token.get("/auth/me/").status_code == 401
        assert is_signed_in(other), "somebody else's session is theirs"
        assert not signs_in(client, "sales@acme.test", PASSWORD)
        assert signs_in(client, "sales@acme.test", NEW)
        with acme.acting():
            entry = ChangeLog.objects.select_related("context").get(action="password_changed")
        assert (entry.entity_id, entry.context.source) == (acme.users["sales"], "admin")

    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({"current_password": "wrong"}, "current_password"),
            ({"new_password": "12345678", "repeated": "12345678"}, "new_password"),
            ({"repeated": "something else"}, "repeated"),
            ({"new_password": ""}, "new_password"),
        ],
    )
    def test_keeps_the_rules_of_the_api(self, acme, office, client, sent, field):
        here = office(acme, "sales")
        answer = here.post("/admin/password/", OWN | sent)
        assert answer.status_code == 200
        assert field in answer.context["form"].errors
        assert is_signed_in(here)
        assert signs_in(client, "sales@acme.test", PASSWORD)
        page = text_of(answer)
        assert PASSWORD not in page
        assert NEW not in page

    def test_is_linked_and_asks_for_sign_in(self, acme, office, client):
        assert "/admin/password/" in text_of(office(acme, "viewer").get("/admin/"))
        assert client.get("/admin/password/")["Location"].startswith("/admin/login/")


class TestMembersPassword:
    def test_is_set_by_who_manages_users(self, acme, office, client):
        address = reverse("admin:core_person_set_password", args=[acme.users["sales"]])
        theirs = office(acme, "sales")
        answer = office(acme).post(address, {"password": NEW})
        assert answer.status_code == 302
        assert not is_signed_in(theirs)
        assert signs_in(client, "sales@acme.test", NEW)

    def test_keeps_the_rules(self, acme, office, client):
        address = reverse("admin:core_person_set_password", args=[acme.users["sales"]])
        answer = office(acme).post(address, {"password": "12345678"})
        assert "password" in answer.context["form"].errors
        assert not signs_in(client, "sales@acme.test", "12345678")

    def test_is_nobody_elses_business(self, acme, globex, office):
        address = reverse("admin:core_person_set_password", args=[acme.users["sales"]])
        assert office(acme, "manager").post(address, {"password": NEW}).status_code == 403
        assert office(globex).post(address, {"password": NEW}).status_code == 404


class TestApiKey:
    def made(self, client, **sent):
        return client.post(ADD, {"name": "Nightly export", "words": ["read"], "single": "", **sent})

    def test_is_made_and_its_secret_shown_once(self, acme, globex, office):
        client = office(acme)
        answer = self.made(client, single="update:lead")
        [secret] = set(re.findall(r"atr_\w+\.[\w-]+", text_of(answer)))
        assert "no-store" in answer["Cache-Control"]
        with acme.acting():
            [key] = ApiKey.objects.all()
        assert (key.user_id, key.scopes) == (acme.users["admin"], ["read", "update:lead"])
        api = Api(secret, "Api-Key")
        assert api.get("/leads/").status_code == 200
        assert api.post("/leads/", {"last_name": "Sato"}).status_code == 403
        for page in ("record", "change", "history"):
            shown = text_of(client.get(reverse(f"admin:core_apikey_{page}", args=[key.pk])))
            assert secret.partition(".")[2] not in shown
        with globex.acting():
            assert not ApiKey.objects.exists()

    def test_offers_no_more_than_the_person_may(self, acme, office):
        with acme.acting() as actor:
            now = timezone.now()
            row = {"name": "keeper", "permissions": ["read", "manage_users"], "record_scope": "all"}
            role = create_roles(actor=actor, rows=Rows.of(Role, [row]), now=now).one
            row = {"id": acme.users["sales"], "role": role}
            update_users(actor=actor, rows=Rows.of(Person, [row]), now=now).raise_if_refused()
        client = office(acme, "sales")
        offered = [word for word, _ in client.get(ADD).context["form"].fields["words"].choices]
        assert offered == ["read", "manage_users"]
        for sent in ({"words": ["update"]}, {"words": ["*"]}, {"words": [], "single": "delete:lead"}):
            answer = self.made(client, **sent)
            assert answer.status_code == 200
            assert answer.context["form"].errors
        with acme.acting():
            assert not ApiKey.objects.exists()

    @pytest.mark.parametrize(
        ("sent", "field"),
        [
            ({"name": ""}, "name"),
            ({"words": []}, "single"),
            ({"single": "fly:lead"}, "single"),
            ({"expires_at": "2001-01-01T10:00"}, "expires_at"),
        ],
    )
    def test_says_what_is_wrong_at_its_field(self, acme, office, sent, field):
        answer = self.made(office(acme), **sent)
        assert list(answer.context["form"].errors) == [field]

    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_is_for_who_manages_users(self, acme, office, role):
        client = office(acme, role)
        assert client.get(ADD).status_code == 403
        assert self.made(client).status_code == 403

    def test_is_rotated_with_the_old_one_going_on(self, acme, globex, office):
        client = office(acme)
        old = re.search(r"atr_\w+\.[\w-]+", text_of(self.made(client))).group()
        with acme.acting():
            key = ApiKey.objects.get()
        address = reverse("admin:core_apikey_rotate", args=[key.pk])
        assert office(globex).post(address, {"overlap": "3600"}).status_code == 404
        new = re.search(r"atr_\w+\.[\w-]+", text_of(client.post(address, {"overlap": "3600"}))).group()
        assert new != old
        assert [Api(one, "Api-Key").get("/leads/").status_code for one in (old, new)] == [200, 200]

    def test_is_called_an_api_key(self, acme, office):
        page = text_of(office(acme).get("/admin/core/apikey/"))
        assert "API keys" in page
        assert "Api key" not in page


class TestSecondFactor:
    def test_is_not_asked_for_as_nobody_has_one(self, acme, client):
        assert "one-time-code" not in text_of(client.get("/admin/login/"))
        wrong = client.post("/admin/login/", {"username": "admin@acme.test", "password": "wrong"})
        assert "Enter your code" not in text_of(wrong)
        assert signs_in(client, "admin@acme.test", PASSWORD), "the password is all there is"

    def test_has_its_place_in_the_page(self):
        form = SignInForm()
        form.second_step = "Open your authenticator."
        page = render_to_string("backoffice/sign_in.html", {"form": form, "site_title": "Atrium CRM"})
        assert "Enter your code" in page
        assert "Open your authenticator." in page
