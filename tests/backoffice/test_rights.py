"""Nobody sees or does more in the back office than through the API."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from core.access import view
from core.changes import Rows
from core.entities import entities
from core.identity.models import Person
from core.identity.operations import deactivate_users
from tests.backoffice.conftest import text_of, user_of
from tests.factories.crm import make_account, make_contact, make_deal, make_lead, make_note, make_task
from tests.worlds import PASSWORD

ROLES = ("admin", "manager", "sales", "viewer")


def url(entity_name: str, page: str, *args: object) -> str:
    meta = entities[entity_name].model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=args)


@pytest.fixture
def filled(acme, globex):
    """Records of every owner in one company, and one of each kind in the other."""
    made = {}
    with globex.acting() as actor:
        made["foreign"] = make_account(actor, name="Canary of Globex")
    with acme.acting() as actor:
        for role in ROLES:
            owner = acme.users[role]
            made[role] = make_account(actor, name=f"Account of {role}", owner=owner)
            make_lead(actor, last_name=f"Lead of {role}", owner=owner)
            deal = make_deal(actor, name=f"Deal of {role}", owner=owner, account=made[role].pk)
            make_contact(actor, last_name=f"Contact of {role}", owner=owner, account=made[role].pk)
            make_task(actor, subject=f"Task of {role}", owner=owner, deal=deal.pk)
            make_note(actor, title=f"Note of {role}", owner=owner, deal=deal.pk)
    return made


class TestLists:
    @pytest.mark.parametrize("role", ROLES)
    def test_show_what_the_api_lists(self, acme, filled, office, role):
        client = office(acme, role)
        for name in ("account", "lead", "deal", "contact", "task", "note"):
            with acme.acting(role) as actor:
                seen = {str(key) for key in view(name, actor).records().values_list("pk", flat=True)}
            page = client.get(url(name, "changelist"))
            assert page.status_code == 200
            assert {str(row.pk) for row in page.context["cl"].result_list} == seen, (name, role)

    def test_hold_nothing_of_another_company(self, acme, filled, office):
        client = office(acme)
        for entity in entities:
            page = client.get(url(entity.name, "changelist"))
            assert page.status_code == 200
            assert "Canary" not in text_of(page)
        assert "Canary" not in text_of(client.get("/admin/search/?s=canary"))
        assert client.get("/admin/options/account/?term=canary").json()["results"] == []


class TestRecords:
    @pytest.mark.parametrize("shown", ["record", "change", "history", "delete"])
    def test_of_another_company_are_not_there(self, acme, filled, office, shown):
        client = office(acme)
        foreign = client.get(url("account", shown, filled["foreign"].pk))
        never = client.get(url("account", shown, "019a0000-0000-7000-8000-000000000000"))
        assert foreign.status_code == never.status_code
        assert foreign.status_code in (302, 404)
        assert "Canary" not in text_of(foreign)

    def test_out_of_sight_are_not_there(self, acme, filled, office):
        assert office(acme, "sales").get(url("account", "record", filled["admin"].pk)).status_code == 404
        assert office(acme, "manager").get(url("account", "record", filled["sales"].pk)).status_code == 200

    def test_out_of_sight_are_not_named_either(self, acme, filled, office):
        with acme.acting() as actor:
            deal = make_deal(actor, name="Shared", owner=acme.users["sales"], account=filled["admin"].pk)
        page = text_of(office(acme, "sales").get(url("deal", "record", deal.pk)))
        assert "Account of admin" not in page
        assert "not visible to you" in page


class TestRoles:
    def test_a_viewer_reads_only(self, acme, filled, office):
        client = office(acme, "viewer")
        key = filled["viewer"].pk
        page = text_of(client.get(url("account", "record", key)))
        assert url("account", "change", key) not in page
        assert client.get(url("account", "add")).status_code == 403
        assert client.get(url("account", "delete", key)).status_code == 403
        assert client.post(url("account", "change", key), {"name": "Taken"}).status_code == 403
        assert client.get(url("account", "changelist")).context["action_form"] is None

    def test_sales_do_not_delete(self, acme, filled, office):
        client = office(acme, "sales")
        assert client.post(url("account", "delete", filled["sales"].pk), {"post": "yes"}).status_code == 403
        answer = client.post(
            url("account", "changelist"),
            {"action": "delete_selected", "_selected_action": str(filled["sales"].pk), "confirmed": "1"},
        )
        assert answer.status_code in (200, 302)
        with acme.acting() as actor:
            assert view("account", actor).records().filter(pk=filled["sales"].pk).exists()

    @pytest.mark.parametrize("role", ["manager", "sales", "viewer"])
    def test_only_who_manages_users_writes_people_and_roles(self, acme, office, role):
        client = office(acme, role)
        for name in ("user", "role"):
            assert client.get(url(name, "add")).status_code == 403
        assert client.post(url("user", "change", acme.users[role]), {"is_active": ""}).status_code == 403

    def test_what_no_operation_writes_cannot_be_written(self, acme, office):
        client = office(acme)
        for entity in entities:
            # A job of an import is made by uploading its file, a key by the page that shows its secret.
            if entity.writes.create is None and entity.name not in ("import_job", "api_key"):
                assert client.get(url(entity.name, "add")).status_code == 403

    def test_django_permissions_and_groups_are_not_shown(self, acme, office):
        assert office(acme).get("/admin/auth/group/").status_code == 404


class TestOtherDoors:
    def test_filters_beyond_the_registry_are_refused(self, acme, filled, office):
        client = office(acme)
        for query in ("secret_hash__startswith=a", "user__password__startswith=a", "nonsense=1"):
            answer = client.get(url("api_key", "changelist") + f"?{query}")
            assert answer.status_code == 302, query
            assert answer["Location"].endswith("?e=1")

    def test_options_of_a_field_are_those_the_person_sees(self, acme, filled, office):
        found = office(acme, "sales").get("/admin/options/account/?term=Account").json()["results"]
        assert [item["text"] for item in found] == ["Account of sales"]

    def test_a_reference_out_of_sight_is_as_if_it_were_not_there(self, acme, filled, office):
        client = office(acme, "sales")
        for account in (filled["admin"], filled["foreign"]):
            answer = client.post(
                url("deal", "add"),
                {
                    **{"name": "Reach", "close_date": "2026-12-01", "account": str(account.pk)},
                    **{"lines-TOTAL_FORMS": "0", "lines-INITIAL_FORMS": "0"},
                },
            )
            assert answer.status_code == 200
            assert answer.context["adminform"].form.errors["account"] == ["There is no such record."]

    def test_nobody_unsigned_gets_in(self, client, acme):
        for path in ("/admin/", "/admin/crm/account/", "/admin/options/account/", "/admin/search/?s=a"):
            answer = client.get(path)
            assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")

    def test_rights_are_current(self, acme, filled, office):
        client = office(acme, "sales")
        assert client.get(url("account", "record", filled["sales"].pk)).status_code == 200
        with acme.acting() as actor:
            rows = Rows.of(Person, [{"id": acme.users["sales"]}])
            deactivate_users(actor=actor, rows=rows, now=datetime.now(UTC)).raise_if_refused()
        assert client.get(url("account", "record", filled["sales"].pk)).status_code == 403


class TestSignIn:
    def test_unknown_and_wrong_answer_alike(self, client, acme):
        answers = [
            client.post("/admin/login/", {"username": name, "password": "wrong"})
            for name in ("admin@acme.test", "nobody@acme.test")
        ]
        shown = [str(answer.context["form"].non_field_errors()) for answer in answers]
        assert shown[0] == shown[1] != ""

    def test_is_no_way_out_of_the_site(self, client, acme):
        answer = client.post(
            "/admin/login/?next=https://evil.example/",
            {"username": "admin@acme.test", "password": PASSWORD, "next": "https://evil.example/"},
        )
        assert answer.status_code == 302
        assert answer["Location"] == "/admin/"
        assert user_of(acme, "admin").last_login is not None
