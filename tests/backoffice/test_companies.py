"""One company at a time; staff of the installation visit by recorded entry, look, and change nothing."""

from __future__ import annotations

import pytest

from core.changes.models import ChangeLog
from core.identity.models import User
from core.kernel.transactions import unit_of_work
from core.tenancy.context import system_context
from crm.models import Account
from tests.backoffice.conftest import text_of
from tests.factories.crm import make_account


@pytest.fixture
def both(acme, globex):
    """Sales of Acme is a viewer in Globex too."""
    with globex.acting() as actor:
        globex.join(acme.users["sales"], "viewer")
        make_account(actor, name="Globex customer")
    with acme.acting() as actor:
        make_account(actor, name="Acme customer", owner=acme.users["sales"])


@pytest.fixture
def staff(globex):
    with system_context("test"), unit_of_work():
        User.objects.filter(pk=globex.users["admin"]).update(is_platform_staff=True)


class TestChoosing:
    def test_goes_on_in_the_other_company_with_its_rights(self, acme, both, office):
        client = office(acme, "sales")
        here = text_of(client.get("/admin/crm/account/"))
        assert ("Acme customer" in here, "Globex customer" in here, "New account" in here) == (
            True,
            False,
            True,
        )
        assert client.post("/admin/company/", {"company": "globex"})["Location"] == "/admin/"
        there = text_of(client.get("/admin/crm/account/"))
        assert ("Acme customer" in there, "Globex customer" in there, "New account" in there) == (
            False,
            True,
            False,
        )

    @pytest.mark.parametrize("slug", ["globex", "never-was", ""])
    def test_is_for_members_only(self, acme, globex, office, slug):
        client = office(acme)
        client.post("/admin/company/", {"company": slug})
        assert client.get("/admin/").context["bo"].company.slug == "acme"

    def test_leads_nowhere_else(self, acme, both, office):
        answer = office(acme, "sales").post(
            "/admin/company/", {"company": "globex", "next": "https://evil.example/"}
        )
        assert answer["Location"] == "/admin/"

    def test_is_no_link(self, acme, both, office):
        assert office(acme, "sales").get("/admin/company/?company=globex").status_code == 405


class TestStaff:
    def test_lists_companies_for_staff_only(self, acme, globex, staff, office):
        assert "Acme" in text_of(office(globex).get("/admin/companies/"))
        assert office(acme).get("/admin/companies/").status_code == 404

    def test_entry_is_recorded_and_marked(self, acme, globex, staff, office):
        client = office(globex)
        client.post("/admin/company/", {"company": "acme"})
        page = client.get("/admin/")
        assert page.context["bo"].company.slug == "acme"
        assert "You are visiting <strong>Acme</strong>" in text_of(page)
        with acme.acting():
            [entry] = ChangeLog.objects.filter(action="platform_staff_entered").select_related("context")
        assert (entry.entity_id, entry.context.actor_id, entry.is_sensitive) == (
            acme.company.pk,
            globex.users["admin"],
            True,
        )

    def test_visitors_look_and_change_nothing(self, acme, globex, staff, office):
        with acme.acting() as actor:
            account = make_account(actor, name="Acme customer")
        client = office(globex)
        client.post("/admin/company/", {"company": "acme"})
        assert "Acme customer" in text_of(client.get("/admin/crm/account/"))
        assert client.get(f"/admin/crm/account/{account.pk}/").status_code == 200
        assert client.post("/admin/crm/account/add/", {"name": "Planted"}).status_code == 403
        assert client.post(f"/admin/crm/account/{account.pk}/change/", {"name": "Changed"}).status_code == 403
        assert client.post(f"/admin/crm/account/{account.pk}/delete/", {"post": "yes"}).status_code == 403
        with acme.acting():
            assert list(Account.objects.values_list("name", flat=True)) == ["Acme customer"]

    def test_staff_without_a_company_chooses_one_first(self, acme, office, client):
        with system_context("test"), unit_of_work():
            person = User(email="ops@example.test", is_platform_staff=True, is_active=True)
            person.set_password("a quiet harbor at dawn")
            person.save()
        client.post("/admin/login/", {"username": "ops@example.test", "password": "a quiet harbor at dawn"})
        assert client.get("/admin/")["Location"] == "/admin/companies/"
        assert "Acme" in text_of(client.get("/admin/companies/"))
        client.post("/admin/company/", {"company": "acme"})
        assert client.get("/admin/").status_code == 200


class TestHeaders:
    def test_nothing_comes_from_elsewhere(self, acme, office):
        policy = office(acme).get("/admin/")["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "http" not in policy
        assert "script-src 'self' 'unsafe-eval';" in policy
