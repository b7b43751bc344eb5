"""Founding companies and changing their settings."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from core.entities.kinds import BadValue
from core.identity.models import Company, Invitation, Membership, Registration, Role, User
from core.identity.operations import CompanySetting, create_company, get_company_setting
from core.identity.operations.companies import COMPANY_SETTINGS, COMPANY_STARTERS, slug_of
from core.kernel.errors import Invalid
from core.kernel.transactions import unit_of_work
from core.tenancy import context
from core.tenancy.context import system_context
from tests.core.identity.links import link_of
from tests.core.identity.test_members import codes
from tests.core.identity.test_sessions import login
from tests.worlds import PASSWORD, Api, make_world


def command(*args: str, **options) -> str:
    out = StringIO()
    call_command("create_company", *args, stdout=out, **options)
    return out.getvalue()


class TestCreateCompanyCommand:
    def test_founds_a_company_whose_admin_can_sign_in(self, db, monkeypatch):
        monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
        said = command(
            "Initech", "--slug=initech", "--admin-email=Bill@Initech.example", "--password-env=ADMIN_PASSWORD"
        )
        assert "bill@initech.example is its admin" in said
        body = login("bill@initech.example").json()
        assert body["company"]["slug"] == "initech"
        assert Api(body["access"]).get("/auth/me/").json()["permissions"] == ["*"]

    def test_invites_a_known_person_who_keeps_their_password(self, firms):
        said = command("Initech", "--slug=initech", "--admin-email=sales@acme.test")
        assert "sales@acme.test is invited" in said
        assert login("sales@acme.test", company="initech").status_code == 403
        token = link_of(Invitation, email="sales@acme.test", is_mailed=False)
        answer = Api().post("/auth/invitations/accept/", {"token": token, "password": PASSWORD})
        assert answer.json()["company"]["slug"] == "initech"
        assert login("sales@acme.test", company="initech").status_code == 200

    @pytest.mark.parametrize(
        ("change", "code", "word"),
        [
            ({"slug": "Not A Slug"}, 2, "slug"),
            ({"admin_email": "nobody"}, 2, "admin_email"),
            ({"slug": "acme"}, 2, "slug"),
            ({"password_env": "NOT_SET"}, 3, "NOT_SET"),
            ({"password_env": "SHORT"}, 2, "password"),
            ({"password_env": None}, 3, "--password-env"),
        ],
    )
    def test_says_what_is_wrong_and_leaves_nothing(self, firms, monkeypatch, change, code, word):
        monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
        monkeypatch.setenv("SHORT", "short")
        options = {
            "slug": "initech",
            "admin_email": "bill@initech.example",
            "password_env": "ADMIN_PASSWORD",
        } | change
        with pytest.raises(CommandError, match=word) as caught:
            command("Initech", **options)
        assert caught.value.returncode == code


class TestCreateCompany:
    def test_leaves_nothing_when_a_starter_fails(self, transactional_db, monkeypatch):
        def fails(actor, now):
            assert context.current_company_id() == actor.company_id
            raise Invalid("no")

        monkeypatch.setattr(COMPANY_STARTERS, "_entries", {"failing": fails})
        with pytest.raises(Invalid), unit_of_work():
            create_company(name="A", slug="a", admin_email="a@a.example", now=timezone.now())
        with system_context("test"), unit_of_work():
            assert not Company.objects.exists()
            assert not User.objects.exists()
            assert not Role.objects.exists()
            assert not Membership.objects.exists()

    def test_gives_the_starters_a_company_with_roles(self, db, monkeypatch):
        seen = []

        def starter(actor, now):
            seen.append((context.current_company_id(), set(Role.objects.values_list("name", flat=True))))

        monkeypatch.setattr(COMPANY_STARTERS, "_entries", {"looking": starter})
        firm = make_world("acme")
        assert seen == [(firm.company.pk, {"admin", "manager", "sales", "viewer"})]

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Müller & Söhne GmbH", "muller-sohne-gmbh"),
            ("日本", "company"),
            ("-A-", "a"),
            ("x" * 99, "x" * 64),
        ],
    )
    def test_makes_slugs_of_names(self, name, slug):
        assert slug_of(name) == slug


class TestRegister:
    def body(self, **changes):
        return {"company_name": "Initech", "email": "bill@initech.example", "first_name": "Bill"} | changes

    def register(self, **changes):
        answer = Api().post("/auth/register/", self.body(**changes))
        assert (answer.status_code, answer.content) == (202, b"")
        return link_of(Registration, email=self.body(**changes)["email"].lower())

    def confirm(self, token, **facts):
        return Api().post("/auth/register/confirm/", {"token": token, **facts})

    def test_founds_a_company_when_the_link_is_opened(self, db):
        token = self.register()
        with system_context("test"), unit_of_work():
            assert not Company.objects.exists()
            assert not User.objects.exists()
        told = Api().post("/auth/register/read/", {"token": token}).json()
        assert told == {
            "email": "bill@initech.example",
            "company_name": "Initech",
            "chooses_password": True,
        }
        answer = self.confirm(token, password=PASSWORD)
        assert answer.json()["company"]["slug"] == "initech"
        profile = Api(answer.json()["access"]).get("/auth/me/").json()
        assert (profile["role"], profile["user"]["first_name"]) == ("admin", "Bill")
        assert codes(self.confirm(token, password=PASSWORD)) == {"token_invalid"}

    def test_finds_a_free_slug(self, db):
        self.confirm(self.register(), password=PASSWORD)
        answer = self.confirm(self.register(email="peter@initech.example"), password=PASSWORD)
        assert answer.json()["company"]["slug"] == "initech-2"

    def test_answers_alike_for_a_known_person_who_signs_in_to_confirm(self, firms):
        token = self.register(email="Sales@acme.test")
        # The sandbox's link proves nothing, so that the account's password is needed.
        with system_context("test"), unit_of_work():
            Registration.objects.update(is_mailed=False)
        assert self.confirm(token).json()["code"] == "sign_in_needed"
        assert self.confirm(token, password="not the one").json()["code"] == "invalid_credentials"
        assert self.confirm(token, password=PASSWORD).json()["company"]["slug"] == "initech"
        assert login("sales@acme.test", company="acme").status_code == 200

    def test_ends_after_a_day(self, db):
        token = self.register()
        with system_context("test"), unit_of_work():
            Registration.objects.update(expires_at=timezone.now())
        assert codes(self.confirm(token, password=PASSWORD)) == {"token_invalid"}

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"password": PASSWORD}, "password"),
            ({"email": "x"}, "email"),
            ({"company_name": " "}, "company_name"),
            ({"slug": "A B"}, "slug"),
            ({"slug": "acme"}, "slug"),
            ({"is_platform_staff": True}, "is_platform_staff"),
        ],
    )
    def test_says_what_is_wrong(self, firms, change, path):
        answer = Api().post("/auth/register/", self.body(**change))
        assert answer.status_code == 400
        assert path in {error["path"] for error in answer.json()["errors"]}

    def test_keeps_the_password_rules(self, db):
        assert {
            error["path"] for error in self.confirm(self.register(), password="short").json()["errors"]
        } == {"password"}

    def test_is_slowed_down_for_one_address(self, db):
        answers = [Api().post("/auth/register/", self.body(email="x")).status_code for _ in range(12)]
        assert answers[-1] == 429


class TestCompany:
    def test_is_changed_by_who_may_manage_users(self, firms):
        changes = {
            "timezone": "Europe/Berlin",
            "default_currency": "EUR",
            "locale": "de-DE",
            "fiscal_year_start_month": 7,
        }
        before = firms.acme.api("viewer").get("/company/")
        answer = firms.acme.api("admin").patch("/company/", changes, **{"If-Match": before["ETag"]})
        assert {name: answer.json()[name] for name in changes} == changes
        assert answer.json()["version"] == before.json()["version"] + 1
        assert firms.globex.api("viewer").get("/company/").json()["timezone"] == "UTC"
        assert firms.acme.api("manager").patch("/company/", changes).status_code == 403

    def test_is_not_overwritten_unseen(self, firms):
        api = firms.acme.api("admin")
        assert api.patch("/company/", {"name": "New", "version": 1}).status_code == 200
        assert api.patch("/company/", {"name": "Newer", "version": 1}).status_code == 412

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"timezone": "Mars/Base"}, "not_a_timezone"),
            ({"timezone": 5}, "not_a_timezone"),
            ({"default_currency": "XXXX"}, "not_a_currency"),
            ({"locale": "../etc"}, "not_a_locale"),
            ({"fiscal_year_start_month": 13}, "not_a_month"),
            ({"fiscal_year_start_month": True}, "not_a_month"),
            ({"name": "\x00"}, "invalid_characters"),
            ({"name": "\ud800"}, "invalid_characters"),
            ({"name": ""}, "required"),
            ({"name": None}, "null"),
            ({"slug": "other"}, "unknown_field"),
            ({"is_active": False}, "unknown_field"),
            ({"settings": []}, "not_an_object"),
            ({"settings": {"invented": 1}}, "unknown_field"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, firms, change, code):
        answer = firms.acme.api("admin").patch("/company/", change)
        assert answer.status_code == 400
        assert codes(answer) == {code}

    def test_merges_the_settings_that_apps_declare(self, firms, monkeypatch):
        def whole(value):
            if not isinstance(value, int):
                raise BadValue("not_an_integer", "A whole number is expected.")
            return value

        monkeypatch.setattr(
            COMPANY_SETTINGS,
            "_entries",
            {"one": CompanySetting(whole, 1, ""), "two": CompanySetting(whole, 2, "")},
        )
        api = firms.acme.api("admin")
        assert api.patch("/company/", {"settings": {"one": 5}}).json()["settings"] == {"one": 5}
        assert api.patch("/company/", {"settings": {"two": 6}}).json()["settings"] == {"one": 5, "two": 6}
        assert api.patch("/company/", {"settings": {"one": None}}).json()["settings"] == {"two": 6}
        assert codes(api.patch("/company/", {"settings": {"one": "x"}})) == {"not_an_integer"}
        with system_context("test"), unit_of_work():
            company = Company.objects.get(slug="acme")
        assert (get_company_setting(company, "one"), get_company_setting(company, "two")) == (1, 6)
