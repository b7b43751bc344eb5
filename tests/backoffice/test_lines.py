"""A deal's products, edited on the deal: the operations' rules, each fault at its field, nothing half written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse

from core.changes.models import ChangeLog
from crm.models import Deal, DealProduct
from tests.backoffice.conftest import text_of
from tests.backoffice.test_writes import opened
from tests.factories.crm import make_deal, make_deal_product, make_product


@pytest.fixture
def deal(acme):
    with acme.acting() as actor:
        deal = make_deal(actor, name="Rollout", currency="USD", owner=acme.users["sales"])
        make_deal_product(actor, deal=deal.pk, name="Setup", quantity="1", unit_price="100")
        make_deal_product(actor, deal=deal.pk, name="Training", quantity="2", unit_price="50", order=1)
    return deal


NEW = "/admin/crm/deal/add/"


def address(deal: Any) -> str:
    return reverse("admin:crm_deal_change", args=[deal.pk])


def form_of(client: Any, deal: Any) -> dict[str, str]:
    """The deal's form with its lines, as the browser would send it back."""
    sent = opened(client, address(deal))
    [inline] = client.get(address(deal)).context["inline_admin_formsets"]
    formset = inline.formset
    for field in formset.management_form:
        sent[field.html_name] = str(field.value())
    for form in formset.forms:
        for bound in form:
            value = "" if bound.value() is None else str(bound.value())
            if bound.name != "DELETE":
                sent[bound.html_name] = value
                sent[bound.html_initial_name] = value
    return sent


def with_new_line(sent: dict[str, str], place: int = 2, **values: str) -> dict[str, str]:
    return (
        sent
        | {"lines-TOTAL_FORMS": str(place + 1)}
        | {f"lines-{place}-{name}": value for name, value in values.items()}
        | {f"initial-lines-{place}-quantity": "1", f"initial-lines-{place}-discount_type": "percentage"}
    )


def lines_of(world: Any, deal: Any) -> tuple[dict[str, str], str]:
    """Totals by name, and the deal's amount."""
    with world.acting():
        found = DealProduct.objects.filter(deal=deal.pk).values_list("name", "total")
        return {name: str(total) for name, total in found}, str(Deal.objects.get(pk=deal.pk).amount)


class TestLines:
    def test_are_shown_with_their_totals(self, acme, deal, office):
        page = text_of(office(acme).get(address(deal)))
        assert "Line 2" in page
        assert re.findall(r'bo-line-shown">.*?</span> ([\d.]+)', page) == ["100.00", "100.00"]

    def test_are_added_changed_and_removed_with_the_deal(self, acme, deal, office):
        client = office(acme)
        with acme.acting() as actor:
            product = make_product(actor, name="Licence", unit_price="30", currency="USD")
        sent = form_of(client, deal) | {"lines-0-quantity": "3", "lines-1-DELETE": "on"}
        sent = with_new_line(sent, product=str(product.pk), quantity="2", discount_type="percentage")
        assert client.post(address(deal), sent).status_code == 302
        assert lines_of(acme, deal) == ({"Setup": "300.00", "Licence": "60.00"}, "360.00")
        with acme.acting():
            changed = DealProduct.objects.get(name="Setup")
            log = ChangeLog.objects.filter(entity_id=changed.pk, action="update").select_related("context")
            assert [(item.context.source, item.changed_fields) for item in log] == [("admin", ["quantity"])]

    def test_left_alone_leave_no_trace(self, acme, deal, office):
        client = office(acme)
        with acme.acting():
            before = ChangeLog.objects.count()
        assert client.post(address(deal), form_of(client, deal)).status_code == 302
        with acme.acting():
            assert ChangeLog.objects.count() == before

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"lines-0-quantity": "many"}, "quantity"),
            ({"lines-0-quantity": "0"}, "quantity"),
            ({"lines-0-discount_value": "-1"}, "discount_value"),
        ],
    )
    def test_show_a_fault_at_its_field_and_nothing_is_written(self, acme, deal, office, wrong, field):
        client = office(acme)
        sent = form_of(client, deal) | wrong | {"lines-1-DELETE": "on", "name": "Renamed"}
        answer = client.post(address(deal), sent)
        assert answer.status_code == 200
        [inline] = answer.context["inline_admin_formsets"]
        first, second = inline.formset.forms
        assert list(first.errors) == [field]
        assert not second.errors
        assert not answer.context["adminform"].form.errors
        assert str(first.errors[field][0]) in text_of(answer)
        assert lines_of(acme, deal) == ({"Setup": "100.00", "Training": "100.00"}, "200.00")
        with acme.acting():
            assert Deal.objects.get(pk=deal.pk).name == "Rollout"

    def test_that_somebody_changed_meanwhile_are_not_overwritten(self, acme, deal, office):
        ada, sales = office(acme), office(acme, "sales")
        late = form_of(ada, deal) | {"lines-0-unit_price": "80"}
        assert sales.post(address(deal), form_of(sales, deal) | {"lines-0-quantity": "4"}).status_code == 302
        answer = ada.post(address(deal), late)
        assert answer.status_code == 200
        assert lines_of(acme, deal)[0]["Setup"] == "400.00"
        form = answer.context["inline_admin_formsets"][0].formset.forms[0]
        assert (form["unit_price"].value(), form["quantity"].value()) == ("80", "4")

    def test_of_another_company_cannot_be_reached(self, acme, globex, deal, office):
        with globex.acting() as actor:
            other = make_deal(actor, currency="USD")
            foreign = make_deal_product(actor, deal=other.pk, name="Canary", quantity="1", unit_price="7")
            product = make_product(actor, name="Canary product")
        client = office(acme)
        stolen = form_of(client, deal) | {"lines-0-id": str(foreign.pk), "lines-0-quantity": "9"}
        answer = client.post(address(deal), stolen)
        assert answer.status_code == 200
        assert "Canary" not in text_of(answer)
        planted = with_new_line(form_of(client, deal), product=str(product.pk), quantity="1")
        answer = client.post(address(deal), planted)
        form = answer.context["inline_admin_formsets"][0].formset.forms[2]
        assert form.errors["product"] == ["There is no such record."]
        assert "Canary" not in text_of(answer)
        assert lines_of(globex, other)[0] == {"Canary": "7.00"}

    def test_are_not_for_viewers(self, acme, deal, office):
        client = office(acme, "viewer")
        assert client.get(address(deal)).context["inline_admin_formsets"] == []
        assert client.post(address(deal), {"lines-0-quantity": "9"}).status_code == 403


class TestLinesOfANewDeal:
    @pytest.fixture
    def product(self, acme):
        with acme.acting() as actor:
            return make_product(actor, name="Licence", unit_price="30", currency="USD")

    def sent(self, client: Any, product: Any, **line: str) -> dict[str, str]:
        answer = client.get(NEW)
        [inline] = answer.context["inline_admin_formsets"]
        assert inline.formset.forms == []
        sent = {field.html_name: str(field.value()) for field in inline.formset.management_form}
        deal = {"name": "Rollout", "close_date": "2030-01-15", "currency": "USD"}
        values = {"product": str(product.pk), "quantity": "2", "discount_type": "percentage", **line}
        return with_new_line({**sent, **deal}, place=0, **values)

    def test_come_with_it(self, acme, globex, product, office):
        client = office(acme, "sales")
        answer = client.post(NEW, self.sent(client, product))
        assert answer.status_code == 302, answer.context["errors"]
        with acme.acting():
            deal = Deal.objects.get(name="Rollout")
        assert lines_of(acme, deal) == ({"Licence": "60.00"}, "60.00")
        with globex.acting():
            assert not DealProduct.objects.exists()

    @pytest.mark.parametrize(
        ("line", "field"), [({"quantity": "none"}, "quantity"), ({"quantity": "-1"}, "quantity")]
    )
    def test_are_all_there_or_nothing_is(self, acme, product, office, line, field):
        client = office(acme)
        answer = client.post(NEW, self.sent(client, product, **line))
        assert answer.status_code == 200
        [inline] = answer.context["inline_admin_formsets"]
        assert field in inline.formset.forms[0].errors
        with acme.acting():
            assert not Deal.objects.exists()
            assert not DealProduct.objects.exists()

    def test_are_not_offered_to_who_makes_no_deals(self, acme, office):
        assert office(acme, "viewer").get(NEW).status_code == 403
