"""Contacts of deals: roles, and the one that is primary on both sides."""

from __future__ import annotations

import pytest

from core.changes import Rows
from core.changes.purging import purge_deleted
from crm.models import Account, Contact, Deal, DealContact
from crm.operations import (
    convert_lead,
    create_deal_contacts,
    create_deals,
    delete_contacts,
    delete_deal_contacts,
    update_deal_contacts,
    update_deals,
)
from tests.crm.conftest import codes
from tests.factories.crm import (
    NOW,
    make_account,
    make_contact,
    make_deal,
    make_deal_contact,
    make_lead,
)

pytestmark = pytest.mark.django_db


def primary_of(deal):
    """The primary contact on both sides, which must be the same."""
    deal.refresh_from_db()
    found = list(DealContact.objects.filter(deal=deal, is_primary=True).values_list("contact_id", flat=True))
    assert found == [deal.primary_contact_id] if deal.primary_contact_id else found == []
    return deal.primary_contact_id


class TestPrimaryContact:
    def test_of_a_new_deal_is_one_of_its_contacts(self, actor):
        contact = make_contact(actor)
        assert primary_of(make_deal(actor, primary_contact=contact.pk)) == contact.pk
        assert primary_of(make_deal(actor)) is None

    def test_set_on_the_deal_marks_the_contact_and_unmarks_the_former(self, actor, change):
        first, second = make_contact(actor), make_contact(actor)
        deal = make_deal(actor, primary_contact=first.pk)
        known = make_deal_contact(actor, deal=deal.pk, contact=second.pk, role="blocker")
        change(deal, primary_contact=second.pk)
        assert primary_of(deal) == second.pk
        known.refresh_from_db()
        assert (known.is_primary, known.role, known.version) == (True, "blocker", 2)
        change(deal, primary_contact=None)
        assert primary_of(deal) is None
        assert DealContact.objects.filter(deal=deal).count() == 2

    def test_set_on_the_contact_is_the_deals(self, actor, change):
        first, second = make_contact(actor), make_contact(actor)
        deal = make_deal(actor, primary_contact=first.pk)
        added = make_deal_contact(actor, deal=deal.pk, contact=second.pk, is_primary=True)
        assert primary_of(deal) == second.pk
        outcome = change(added, is_primary=False)
        assert primary_of(deal) is None
        assert (outcome.unchanged, outcome.versions) == (frozenset(), {0: added.version})
        assert change(added, is_primary=False).unchanged == {0}

    def test_that_is_removed_leaves_the_deal_without_one(self, actor):
        deal = make_deal(actor, primary_contact=make_contact(actor).pk)
        rows = Rows.of(DealContact, [{"id": DealContact.objects.get(deal=deal).pk}])
        delete_deal_contacts(actor=actor, rows=rows, now=NOW).raise_if_refused()
        assert primary_of(deal) is None

    def test_may_trade_places_in_one_write(self, actor):
        first, second = make_contact(actor), make_contact(actor)
        deal = make_deal(actor, primary_contact=first.pk)
        make_deal_contact(actor, deal=deal.pk, contact=second.pk)
        rows = [
            {"id": item.pk, "is_primary": item.contact_id == second.pk}
            for item in DealContact.objects.filter(deal=deal)
        ]
        update_deal_contacts(actor=actor, rows=Rows.of(DealContact, rows), now=NOW).raise_if_refused()
        assert primary_of(deal) == second.pk

    def test_is_one(self, actor):
        deal = make_deal(actor)
        rows = [{"deal": deal.pk, "contact": make_contact(actor).pk, "is_primary": True} for _ in range(2)]
        outcome = create_deal_contacts(
            actor=actor, rows=Rows.of(DealContact, rows), now=NOW, all_or_none=False
        )
        assert codes(outcome, 1) == {("is_primary", "taken")}
        assert primary_of(deal) == rows[0]["contact"]

    def test_of_a_refused_row_stays_who_it_was(self, actor):
        first, foreign = make_contact(actor), make_contact(actor)
        deal = make_deal(actor, primary_contact=first.pk)
        row = {"deal": deal.pk, "contact": foreign.pk, "is_primary": True, "role": "magician"}
        outcome = create_deal_contacts(
            actor=actor, rows=Rows.of(DealContact, [row]), now=NOW, all_or_none=False
        )
        assert codes(outcome) == {("role", "not_a_choice")}
        assert primary_of(deal) == first.pk

    def test_of_a_converted_lead_is_its_contact(self, actor):
        made = convert_lead(actor=actor, lead_id=make_lead(actor).pk, now=NOW)
        assert primary_of(Deal.objects.get(pk=made.deal_id)) == made.contact_id

    def test_goes_with_the_contact_when_the_bin_is_emptied(self, acme, globex):
        with acme.acting() as actor:
            contact = make_contact(actor)
            deal = make_deal(actor, primary_contact=contact.pk)
            delete_contacts(
                actor=actor, rows=Rows.of(Contact, [{"id": contact.pk}]), now=NOW
            ).raise_if_refused()
        purge_deleted(acme.company.pk, deleted_before=NOW.replace(year=NOW.year + 1))
        with acme.acting():
            assert primary_of(deal) is None
            assert not DealContact.objects.filter(deal=deal).exists()


class TestDealContacts:
    def test_come_once_to_a_deal_and_stay(self, actor, change):
        deal, contact = make_deal(actor), make_contact(actor)
        item = make_deal_contact(actor, deal=deal.pk, contact=contact.pk)
        row = {"deal": deal.pk, "contact": contact.pk}
        outcome = create_deal_contacts(actor=actor, rows=Rows.of(DealContact, [row]), now=NOW)
        assert codes(outcome) == {("contact", "taken")}
        assert codes(change(item, contact=make_contact(actor).pk)) == {("contact", "read_only")}
        assert codes(change(item, deal=make_deal(actor).pk)) == {("deal", "read_only")}

    def test_of_many_deals_cost_as_many_statements_as_of_one(
        self, actor, gates_known, django_assert_num_queries
    ):
        contacts = [make_contact(actor).pk, make_contact(actor).pk]
        rows = [
            {"name": str(n), "close_date": "2026-06-30", "primary_contact": contacts[0]} for n in range(500)
        ]
        with django_assert_num_queries(1):
            deals = create_deals(actor=actor, rows=Rows.of(Deal, rows), now=NOW)
        rows = [{"deal": key, "contact": contacts[1], "is_primary": True} for key in deals.ids.values()]
        with django_assert_num_queries(6):
            create_deal_contacts(actor=actor, rows=Rows.of(DealContact, rows), now=NOW).raise_if_refused()
        assert DealContact.objects.filter(is_primary=True, contact=contacts[1]).count() == 500
        assert Deal.objects.filter(primary_contact=contacts[1]).count() == 500
        rows = [{"id": key, "primary_contact": contacts[0]} for key in deals.ids.values()]
        with django_assert_num_queries(2):
            update_deals(actor=actor, rows=Rows.of(Deal, rows), now=NOW).raise_if_refused()
        assert DealContact.objects.filter(is_primary=True, contact=contacts[0]).count() == 500


class TestPrimaryContactOfAnAccount:
    def test_is_one_of_its_contacts(self, actor, change):
        account = make_account(actor)
        own, other = make_contact(actor, account=account.pk), make_contact(actor)
        assert codes(change(account, primary_contact=other.pk)) == {("primary_contact", "not_of_account")}
        change(account, primary_contact=own.pk)
        assert account.primary_contact == own

    def test_is_none_once_the_contact_has_left(self, actor, change):
        account = make_account(actor)
        contact = make_contact(actor, account=account.pk)
        change(account, primary_contact=contact.pk)
        change(contact, title="Director")
        assert Account.objects.get(pk=account.pk).primary_contact == contact
        change(contact, account=make_account(actor).pk)
        account.refresh_from_db()
        assert (account.primary_contact_id, account.version) == (None, 3)
