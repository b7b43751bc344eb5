"""The back office writes through the operations of the API: same rules, same log, no lost update."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from core.changes.models import ChangeLog
from core.identity.models import Role
from crm.models import Account, Deal, Lead, PipelineStage
from tests.backoffice.conftest import text_of
from tests.factories.crm import lost_reason, make_account, make_deal, make_lead


def url(model: Any, page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def opened(client: Client, address: str) -> dict[str, str]:
    """The form's fields as the browser would send them back."""
    form = client.get(address).context["adminform"].form
    sent: dict[str, str] = {}
    for name in form.fields:
        value = form.get_initial_for_field(form.fields[name], name)
        if value is not None and value is not False:
            sent[name] = "on" if value is True else str(value)
        if name != "version":
            sent[f"initial-{name}"] = str(value if value is not None else "")
    return sent


def log_of(world: Any, record_id: Any) -> list[Any]:
    with world.acting():
        return list(ChangeLog.objects.filter(entity_id=record_id).select_related("context").order_by("id"))


@pytest.fixture
def account(acme):
    with acme.acting() as actor:
        return make_account(actor, name="Fabrikam", owner=acme.users["sales"])


class TestCreate:
    def test_makes_a_record_by_the_operation(self, acme, office):
        client = office(acme)
        answer = client.post(
            url(Account, "add"),
            {
                "name": "Northwind",
                "type": "customer",
                "tags": "key account, eu",
                "annual_revenue": "1200.50",
                "currency": "EUR",
                "owner": str(acme.users["sales"]),
            },
        )
        with acme.acting():
            made = Account.objects.get(name="Northwind")
        assert answer["Location"] == url(Account, "record", made.pk)
        assert (made.tags, str(made.annual_revenue), made.owner_id) == (
            ["key account", "eu"],
            "1200.50",
            acme.users["sales"],
        )
        [entry] = log_of(acme, made.pk)
        assert (entry.action, entry.context.source, entry.context.actor_id) == (
            "create",
            "admin",
            acme.users["admin"],
        )

    def test_shows_every_fault_at_its_field(self, acme, office):
        answer = office(acme).post(
            url(Account, "add"),
            {"name": "", "email": "no address", "annual_revenue": "much", "currency": "EUR"},
        )
        assert answer.status_code == 200
        errors = answer.context["adminform"].form.errors
        assert set(errors) == {"name", "email", "annual_revenue"}
        assert "An e-mail address such as" in text_of(answer)

    def test_shows_what_the_operation_refuses_at_its_field(self, acme, office):
        client = office(acme)
        sent = {"name": "One", "account_number": "A-1"}
        assert client.post(url(Account, "add"), sent).status_code == 302
        answer = client.post(url(Account, "add"), sent)
        assert answer.status_code == 200
        assert "account_number" in answer.context["adminform"].form.errors
        with acme.acting():
            assert Account.objects.filter(account_number="A-1").count() == 1

    def test_takes_what_a_link_fills_in_and_leads_back_there(self, acme, account, office):
        client = office(acme)
        address = url(Deal, "add") + f"?account={account.pk}"
        assert "Fabrikam" in text_of(client.get(address))
        sent = {"name": "Rollout", "close_date": "2026-12-01", "account": str(account.pk)}
        sent |= {"lines-TOTAL_FORMS": "0", "lines-INITIAL_FORMS": "0"}
        assert client.post(address, sent)["Location"] == url(Account, "record", account.pk)
        assert "Rollout" in text_of(client.get(url(Account, "record", account.pk)))


class TestChange:
    def test_writes_only_what_the_person_changed(self, acme, account, office):
        client = office(acme)
        sent = opened(client, url(Account, "change", account.pk)) | {"industry": "Energy"}
        answer = client.post(url(Account, "change", account.pk), sent)
        assert answer["Location"] == url(Account, "record", account.pk)
        *_, entry = log_of(acme, account.pk)
        assert (entry.action, entry.changed_fields, entry.context.source) == ("update", ["industry"], "admin")

    def test_of_nothing_leaves_no_trace(self, acme, account, office):
        client = office(acme)
        before = len(log_of(acme, account.pk))
        sent = opened(client, url(Account, "change", account.pk))
        assert client.post(url(Account, "change", account.pk), sent).status_code == 302
        assert len(log_of(acme, account.pk)) == before

    def test_overwrites_nothing_unseen(self, acme, account, office):
        ada, sales = office(acme), office(acme, "sales")
        late = opened(ada, url(Account, "change", account.pk)) | {"industry": "Energy"}
        early = opened(sales, url(Account, "change", account.pk)) | {"phone": "+49 40 1"}
        assert sales.post(url(Account, "change", account.pk), early).status_code == 302
        answer = ada.post(url(Account, "change", account.pk), late)
        assert answer.status_code == 200
        page = text_of(answer)
        assert "Changed meanwhile by Sales Acme: Phone" in page
        form = answer.context["adminform"].form
        # What she entered is kept, what she did not touch is as it is now, and saving again goes on from there.
        assert (form["industry"].value(), form["phone"].value()) == ("Energy", "+49 40 1")
        again = {name: value for name, value in form.data.items() if name != "csrfmiddlewaretoken"}
        assert ada.post(url(Account, "change", account.pk), again).status_code == 302
        with acme.acting():
            now = Account.objects.get(pk=account.pk)
        assert (now.industry, now.phone) == ("Energy", "+49 40 1")

    def test_ignores_read_only_fields(self, acme, account, office):
        client = office(acme)
        sent = opened(client, url(Account, "change", account.pk))
        sent |= {
            "website_domain": "evil.example",
            "created_at": "2000-01-01",
            "company": "x",
            "deleted_at": "2026-01-01",
        }
        assert client.post(url(Account, "change", account.pk), sent).status_code == 302
        with acme.acting():
            assert Account.objects.get(pk=account.pk).deleted_at is None
        assert len(log_of(acme, account.pk)) == 1

    def test_of_a_role_goes_by_its_rules(self, acme, office):
        with acme.acting():
            admin = Role.objects.get(name="admin")
        client = office(acme)
        sent = opened(client, url(Role, "change", admin.pk)) | {"permissions": "read"}
        answer = client.post(url(Role, "change", admin.pk), sent)
        assert answer.status_code == 200
        assert answer.context["adminform"].form.errors


class TestDelete:
    def test_goes_to_the_recycle_bin_and_back(self, acme, account, office):
        client = office(acme)
        assert "recycle bin" in text_of(client.get(url(Account, "delete", account.pk)))
        client.post(url(Account, "delete", account.pk), {"post": "yes"})
        assert client.get(url(Account, "record", account.pk)).status_code == 404
        assert "Fabrikam" in text_of(client.get("/admin/recycle-bin/"))
        client.post("/admin/recycle-bin/restore/", {"entity": "account", "id": str(account.pk)})
        assert client.get(url(Account, "record", account.pk)).status_code == 200
        assert [entry.action for entry in log_of(acme, account.pk)] == ["create", "delete", "restore"]

    def test_that_is_refused_says_why(self, acme, office):
        with acme.acting():
            admin = Role.objects.get(name="admin")
        client = office(acme)
        answer = client.post(url(Role, "delete", admin.pk), {"post": "yes"}, follow=True)
        assert [str(message.level_tag) for message in answer.context["messages"]] == ["error"]

    def test_bin_of_another_company_stays_shut(self, acme, globex, office):
        with globex.acting() as actor:
            other = make_account(actor, name="Canary")
        office(globex).post(url(Account, "delete", other.pk), {"post": "yes"})
        client = office(acme)
        assert "Canary" not in text_of(client.get("/admin/recycle-bin/"))
        answer = client.post("/admin/recycle-bin/restore/", {"entity": "account", "id": str(other.pk)})
        assert answer.status_code == 404


class TestBulkActions:
    def run(self, client: Client, action: str, records: list[Any], **sent: str) -> Any:
        data = {
            "action": action,
            "_selected_action": [str(item.pk) for item in records],
            "confirmed": "1",
            **sent,
        }
        return client.post(url(Account, "changelist"), data)

    def test_assign_an_owner(self, acme, office):
        with acme.acting() as actor:
            made = [make_account(actor) for _ in range(3)]
        client = office(acme)
        asked = client.post(
            url(Account, "changelist"),
            {"action": "assign_owner", "_selected_action": [str(item.pk) for item in made], "index": "0"},
        )
        assert "New owner" in text_of(asked)
        assert self.run(client, "assign_owner", made, owner_id=str(acme.users["sales"])).status_code == 302
        with acme.acting():
            assert set(Account.objects.values_list("owner_id", flat=True)) == {acme.users["sales"]}
        assert log_of(acme, made[0].pk)[-1].context.source == "admin"

    def test_add_a_tag_beside_those_there(self, acme, office):
        with acme.acting() as actor:
            made = [make_account(actor, tags=["old"]), make_account(actor)]
        assert self.run(office(acme), "add_tag", made, tag="new").status_code == 302
        with acme.acting():
            assert sorted(Account.objects.values_list("tags", flat=True)) == [["new"], ["old", "new"]]

    def test_delete(self, acme, office):
        with acme.acting() as actor:
            made = [make_account(actor), make_account(actor)]
        assert self.run(office(acme), "delete_selected", made).status_code == 302
        with acme.acting():
            assert Account.objects.filter(deleted_at__isnull=True).count() == 0

    def test_say_what_is_wrong_with_the_input(self, acme, globex, office):
        with acme.acting() as actor:
            made = [make_account(actor)]
        answer = self.run(office(acme), "assign_owner", made, owner_id=str(globex.users["admin"]))
        assert answer.status_code in (200, 302)
        with acme.acting():
            assert Account.objects.get(pk=made[0].pk).owner_id != globex.users["admin"]

    def test_leave_alone_what_the_person_does_not_see(self, acme, office):
        with acme.acting() as actor:
            hidden = make_account(actor, owner=acme.users["admin"])
        self.run(office(acme, "sales"), "add_tag", [hidden], tag="mine")
        with acme.acting():
            assert Account.objects.get(pk=hidden.pk).tags == []


class TestGuidedActions:
    def test_convert_a_lead(self, acme, office):
        with acme.acting() as actor:
            lead = make_lead(actor, last_name="Sato", company_name="Sato KK", email="k@sato.example")
        client = office(acme)
        assert client.get(url(Lead, "convert", lead.pk)).status_code == 200
        sent = {"create_deal": "on", "deal_name": "Sato KK rollout", "deal_amount": "5000"}
        answer = client.post(url(Lead, "convert", lead.pk), sent)
        with acme.acting():
            deal = Deal.objects.get(lead=lead.pk)
            now = Lead.objects.get(pk=lead.pk)
        assert answer["Location"] == url(Deal, "record", deal.pk)
        assert (deal.name, str(deal.amount), now.status) == ("Sato KK rollout", "5000.00", "converted")
        assert log_of(acme, lead.pk)[-1].context.source == "admin"

    def test_show_what_conversion_refuses(self, acme, office):
        with acme.acting() as actor:
            lead = make_lead(actor, last_name="Sato", company_name="Sato KK")
        sent = {"create_deal": "on", "deal_amount": "plenty", "close_date": "some day"}
        answer = office(acme).post(url(Lead, "convert", lead.pk), sent)
        assert answer.status_code == 200
        assert set(answer.context["form"].errors) == {"deal_amount", "close_date"}
        with acme.acting():
            assert Lead.objects.get(pk=lead.pk).status == "new"

    def test_move_win_and_reopen_a_deal(self, acme, office):
        with acme.acting() as actor:
            deal = make_deal(actor)
            target = PipelineStage.objects.filter(stage_type="open").order_by("-order").first()
        client = office(acme)
        assert client.post(url(Deal, "move", deal.pk), {"stage": str(target.pk)}).status_code == 302
        with acme.acting():
            assert Deal.objects.get(pk=deal.pk).stage_id == target.pk
        client.post(url(Deal, "win", deal.pk))
        with acme.acting():
            assert Deal.objects.get(pk=deal.pk).status == "won"
        client.post(url(Deal, "reopen", deal.pk), {"stage": ""})
        with acme.acting():
            assert Deal.objects.get(pk=deal.pk).status == "open"
        page = text_of(client.get(url(Deal, "record", deal.pk)))
        assert f"Moved to {target.name}" in page

    def test_a_loss_needs_its_reason(self, acme, office):
        with acme.acting() as actor:
            deal = make_deal(actor)
            reason = lost_reason()
        client = office(acme)
        answer = client.post(url(Deal, "lose", deal.pk), {})
        assert answer.status_code == 200
        assert "lost_reason" in answer.context["form"].errors
        assert client.post(url(Deal, "lose", deal.pk), {"lost_reason": str(reason.pk)}).status_code == 302
        with acme.acting():
            assert Deal.objects.get(pk=deal.pk).status == "lost"

    def test_are_not_for_viewers(self, acme, office):
        with acme.acting() as actor:
            lead, deal = make_lead(actor), make_deal(actor)
        client = office(acme, "viewer")
        assert client.post(url(Lead, "convert", lead.pk), {}).status_code == 403
        for name in ("move", "win", "lose", "reopen"):
            assert client.post(url(Deal, name, deal.pk), {}).status_code == 403


class TestHistory:
    def test_says_who_when_whence_and_what(self, acme, account, office):
        client = office(acme)
        sent = opened(client, url(Account, "change", account.pk)) | {"owner": str(acme.users["manager"])}
        client.post(url(Account, "change", account.pk), sent)
        page = text_of(client.get(url(Account, "history", account.pk)))
        assert all(
            text in page
            for text in ("Ada Acme", "changed", "· back office", "Owner", "Sales Acme", "Manager Acme")
        )
        entry = client.get(url(Account, "history", account.pk)).context["entries"][0]
        [change] = entry.changes
        assert ("Sales Acme" in change.old, "Manager Acme" in change.new) == (True, True)
