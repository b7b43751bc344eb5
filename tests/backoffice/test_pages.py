"""What a page says, so that whoever reads it knows what to do next."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from core.rest import listing
from data_import.models import ImportJob, JobStatus
from tests.backoffice.conftest import text_of
from tests.data_import import test_api
from tests.data_import.test_api import upload
from tests.factories.crm import make_account, make_activity, make_contact, make_deal, make_lead, make_note

pytestmark = pytest.mark.django_db


work = test_api.work


def plain(answer: Any) -> str:
    """The page's words."""
    main = text_of(answer).partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", main).split())


class TestRecordPage:
    def test_names_what_is_empty_in_one_place_and_first_what_is_there(self, acme, office):
        with acme.acting() as actor:
            account = make_account(actor, name="Fabrikam")
            make_contact(actor, last_name="Ito", account=account.pk)
        page = plain(office(acme).get(f"/admin/crm/account/{account.pk}/"))

        assert "None yet" not in page
        assert page.index("Ito") < page.index("Nothing yet") < page.index("Timeline")
        nothing = page.partition("Nothing yet")[2].partition("Timeline")[0]
        assert ("Deals Add deal" in nothing, "Contacts" in nothing) == (True, False)

    def test_says_countries_by_their_names(self, acme, office):
        with acme.acting() as actor:
            account = make_account(actor, name="Fabrikam", billing_country="IE")
        client = office(acme)

        assert "Billing country Ireland" in plain(client.get(f"/admin/crm/account/{account.pk}/"))
        form = text_of(client.get(f"/admin/crm/account/{account.pk}/change/"))
        assert re.search(r'<option value="IE" selected>\s*Ireland', form)
        assert form.index(">Albania") < form.index(">Germany") < form.index(">Zimbabwe"), (
            "in the order of names"
        )

    def test_does_not_say_the_name_once_more_among_the_rest(self, acme, office):
        with acme.acting() as actor:
            contact = make_contact(actor, first_name="Mei", last_name="Ito")
        page = plain(office(acme).get(f"/admin/crm/contact/{contact.pk}/"))

        assert "Full name" not in page

    def test_shows_addresses_that_break_where_one_reads_a_pause(self, acme, office):
        with acme.acting() as actor:
            account = make_account(
                actor, name="Fabrikam", website="https://fabrikam.example/", email="me@fabrikam.example"
            )
        page = text_of(office(acme).get(f"/admin/crm/account/{account.pk}/"))

        assert (
            'href="https://fabrikam.example/" rel="noopener noreferrer nofollow">fabrikam.example</a>' in page
        )
        assert '<a href="mailto:me@fabrikam.example">me<wbr>@fabrikam.example</a>' in page


class TestLists:
    def test_say_when_a_count_is_about_right(self, acme, office, monkeypatch):
        with acme.acting() as actor:
            for _ in range(3):
                make_lead(actor)
        client = office(acme)
        assert "3 leads" in plain(client.get("/admin/crm/lead/"))
        assert "about" not in plain(client.get("/admin/crm/lead/"))
        monkeypatch.setattr(listing, "EXACT_COUNT_LIMIT", 1)
        assert re.search(r"about [\d,]+ leads", plain(client.get("/admin/crm/lead/")))

    def test_lead_to_a_note_by_what_it_says(self, acme, office):
        with acme.acting() as actor:
            account = make_account(actor)
            note = make_note(actor, title="", body="They want two phases.", account=account.pk)
        page = text_of(office(acme).get("/admin/crm/note/"))

        assert re.search(rf'<a href="[^"]*{note.pk}[^"]*"[^>]*>They want two phases\.', page)


class TestHome:
    def test_says_what_an_activity_is_about(self, acme, office):
        with acme.acting() as actor:
            deal = make_deal(actor, name="Northwind rollout")
            make_activity(actor, subject="First call", deal=deal.pk)
        page = plain(office(acme).get("/admin/"))

        assert re.search(r"First call\s+Northwind rollout ·", page)

    def test_shows_progress_only_of_what_is_worked_on(self, acme, office):
        upload(acme.client("admin"), entity_type="account")
        client = office(acme)
        assert "Imports in progress" in plain(client.get("/admin/"))
        assert "<progress" not in text_of(client.get("/admin/"))
        with acme.acting():
            ImportJob.objects.update(status=JobStatus.IMPORTING)
        assert "<progress" in text_of(client.get("/admin/"))


class TestImport:
    def test_proposes_the_name_for_a_column_called_like_the_records(self, acme, office):
        file = SimpleUploadedFile("products.csv", b"product,series\nGTX Basic,GTX\n", "text/csv")
        client = office(acme)
        answer = client.post(
            "/admin/data_import/importjob/add/", {"file": file, "entity_type": "product", "mode": "create"}
        )
        columns = client.get(answer["Location"]).context["mapping"]["columns"]

        assert [(column["header"], column["chosen"]) for column in columns] == [
            ("product", "name"),
            ("series", "family"),
        ]

    def test_that_is_refused_says_every_reason(self, acme, office, work):
        file = SimpleUploadedFile("products.csv", b"product,series\nGTX Basic,GTX\n", "text/csv")
        client = office(acme)
        url = client.post(
            "/admin/data_import/importjob/add/", {"file": file, "entity_type": "product", "mode": "create"}
        )["Location"]
        client.post(f"{url}map/", {"column-1": "family", "mode": "create", "match_on": "sku"})
        work()
        page = plain(client.get(url))

        assert "The file cannot be imported like this." in page
        assert "Mode create matches nothing." in page
        assert "name" in page.partition("like this.")[2].partition("Which column")[0]


def test_staff_that_is_in_no_company_can_sign_out(globex, office):
    from core.identity.models import Membership, User
    from core.kernel.transactions import unit_of_work
    from core.tenancy.context import system_context

    client = office(globex)
    with system_context("test"), unit_of_work():
        User.objects.filter(pk=globex.users["admin"]).update(is_platform_staff=True)
        Membership.objects.filter(user=globex.users["admin"]).update(is_active=False)
    page = text_of(client.get("/admin/companies/"))

    assert re.search(r'<form method="post" action="/admin/logout/">.*Sign out', page, re.DOTALL)
